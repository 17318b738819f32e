"""Why did this run decide so about this image? The texts that made the decision, from what the run left in the store.

Nothing is embedded again: vectors come from the ledgers, the artifacts from the run's rows in table `artifacts`. The
shares of all texts add up exactly to the margin between the winner and the class it is compared with.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.classes import ClassList
from coder_core.coder.explain import Explanation, explain_coder, explain_means, explain_rerank
from coder_core.errors import ConfigError, QueryError
from coder_core.evaluation.predictions import RERANK_METHOD, Predictions
from coder_core.specs import Runtime
from coder_core.steps.encoding import EncoderHandle, open_encoder, open_ledger
from coder_core.steps.past_runs import PastRun, read_past_run
from coder_core.steps.predictions import predictions_from_arrow
from coder_core.steps.text_embeddings import read_text_embeddings
from coder_core.steps.texts import read_text_table
from coder_core.steps.workplace import open_store
from coder_core.storage.artifacts import ArtifactStore
from coder_core.texts.kinds import TextKind
from coder_core.texts.layout import TextLayout, build_layout
from coder_core.texts.sentences import TextTable

EXPLAINABLE = ("clip", "vcd", "coder", RERANK_METHOD)
"""Methods whose score is a sum over texts with weights that add up to nothing between two classes."""


class TextShare(NamedTuple):
    """What one text adds to the margin: above 0 it speaks for the winner."""

    share: float
    cosine: float
    kind: str
    about: str
    text: str


class Decision(NamedTuple):
    """One decision, explained.

    Args:
        image_id: The image.
        method: Who decided.
        winner: What it said.
        rival: The class it is compared with.
        margin: The winner's score minus the rival's: of logits; of cosines where one-to-one texts decided.
        unit: `logits` or `cosines`.
        shares: Largest first; they add up to the margin.
        note: What else to know, e.g. what stage 1 said.
    """

    image_id: str
    method: str
    winner: str
    rival: str
    margin: float
    unit: str
    shares: tuple[TextShare, ...]
    note: str


class _Scene(NamedTuple):
    """Where to look: the store, the run, its encoder and classes."""

    artifacts: ArtifactStore
    run: PastRun
    encoder: EncoderHandle
    classes: ClassList


class _Seen(NamedTuple):
    """What a decision was made from."""

    image: Float[Tensor, " dim"]
    vectors: Float[Tensor, "texts dim"]
    table: TextTable
    layout: TextLayout


def explain_decision(
    run_id: str, image_id: str, runtime: Runtime, *, method: str = "coder", rival: str | None = None
) -> Decision:
    """Explain what a method of a run said about an image.

    Args:
        run_id: A published run.
        image_id: As the data set names it; table `predictions` lists them.
        runtime: Where the store is.
        method: One of `EXPLAINABLE` that the run has.
        rival: Name of the class to compare with; default: the runner-up, or what the rerank overruled.

    Raises:
        QueryError: There is no such run, image or class.
        ConfigError: The run lacks the method, or the method cannot be explained text by text.
        StoreError: Something of the run is not in the store any more.
    """
    artifacts = open_store(runtime)
    run = read_past_run(artifacts, run_id)
    _check_method(run, method)
    scene = _Scene(artifacts, run, open_encoder(run.spec.encoder), run.classes(artifacts))
    said = _find_prediction(scene, method, image_id)
    if method != RERANK_METHOD:
        return _explain_first_look(scene, said, rival, method)
    if _was_gated(scene, image_id):
        return _explain_second_look(scene, said, rival)
    note = "stage 1 was certain enough: there was no second look, and its logits decided"
    return _explain_first_look(scene, said, rival, "coder")._replace(method=method, note=note)


def _explain_first_look(scene: _Scene, said: Predictions, rival: str | None, method: str) -> Decision:
    """Explain by the texts of each class."""
    winner, other = _sides(said, scene.classes, rival)
    seen = _see(scene, said.image_ids[0], texts_step="write_texts", vectors_step="embed_texts")
    scale = scene.run.spec.logit_scale
    found = _EXPLAINERS[method](
        seen.image, seen.vectors, seen.layout, winner=winner, runner_up=other, logit_scale=scale
    )
    return _decision(said, found, seen.table, scene.classes, unit="logits")


def _explain_second_look(scene: _Scene, said: Predictions, rival: str | None) -> Decision:
    """Explain by the one-to-one texts, between the candidates that stage 1 had named."""
    (image_id,), names = said.image_ids, scene.classes.names
    before = _find_prediction(scene, "coder", image_id)
    candidates = [int(class_id) for class_id in before.top_ids[0, : scene.run.spec.rerank.candidates]]
    is_changed = int(said.top_ids[0, 0]) != candidates[0]
    winner, other = _sides(said, scene.classes, rival or (names[candidates[0]] if is_changed else None))
    seen = _see(scene, image_id, texts_step="write_pair_texts", vectors_step="embed_pair_texts")
    found = explain_rerank(seen.image, seen.vectors, seen.layout, candidates=candidates, winner=winner, runner_up=other)
    gap = float(np.subtract(*before.top_probabilities[0, :2])) if len(candidates) > 1 else 1.0
    note = f"stage 1 said {names[candidates[0]]}, {gap:.3f} ahead of the next"
    note += "; the second look changed that" if is_changed else ""
    return _decision(said, found, seen.table, scene.classes, unit="cosines")._replace(note=note)


_EXPLAINERS: Mapping[str, Callable[..., Explanation]] = {
    "clip": partial(explain_means, kind=TextKind.CLASS_NAME),
    "vcd": partial(explain_means, kind=TextKind.ATTRIBUTE),
    "coder": explain_coder,
}


def _check_method(run: PastRun, method: str) -> None:
    place, known = f"run {run.run_id}", [name for name in EXPLAINABLE if name in run.spec.methods]
    if method not in EXPLAINABLE:
        raise ConfigError(
            f"{method!r} cannot be explained text by text.", place, f"Of this run these can: {', '.join(known)}."
        )
    if method not in run.spec.methods:
        raise ConfigError(f"it does not have the method {method!r}.", place, f"Of this run: {', '.join(known)}.")


def _find_prediction(scene: _Scene, method: str, image_id: str) -> Predictions:
    columns = ("image_id", "top_ids", "top_probabilities")
    return predictions_from_arrow(_find_row(scene, "predictions", f"predict_{method}", image_id, columns), method)


def _was_gated(scene: _Scene, image_id: str) -> bool:
    columns = ("image_id", "gated")
    row = _find_row(scene, "predictions", f"predict_{RERANK_METHOD}", image_id, columns)
    return bool(row.column("gated")[0].as_py())


def _find_row(scene: _Scene, kind: str, step: str, image_id: str, columns: Sequence[str]) -> pa.Table:
    """The row of one image in an artifact, looked for part by part."""
    artifact = scene.run.one(kind, step)
    for part in scene.artifacts.parts(artifact):
        table = scene.artifacts.read_part(artifact, part.name, columns)
        place = table.column("image_id").index(image_id).as_py()
        if place >= 0:
            return table.slice(place, 1)
    raise QueryError(
        f"there is no image {image_id!r}.",
        f"run {scene.run.run_id}",
        "List them: SELECT image_id FROM predictions (broken images are in table quarantine).",
    )


def _see(scene: _Scene, image_id: str, *, texts_step: str, vectors_step: str) -> _Seen:
    """Read the image's vector, the texts, and theirs."""
    artifacts, encoder, run = scene.artifacts, scene.encoder, scene.run
    row = _find_row(scene, "image_embeddings", "embed_images", image_id, ("image_id", "key"))
    image = open_ledger(artifacts, "image_embeddings", encoder).read(row.column("key").to_pylist())[0]
    table = read_text_table(artifacts, run.one("texts", texts_step))
    vectors = read_text_embeddings(artifacts, run.one("text_embeddings", vectors_step), encoder)
    return _Seen(torch.from_numpy(np.array(image)), torch.from_numpy(np.array(vectors)), table, build_layout(table))


def _sides(said: Predictions, classes: ClassList, rival: str | None) -> tuple[int, int]:
    best = [int(class_id) for class_id in said.top_ids[0]]
    if rival is None:
        if len(best) < 2:
            raise ConfigError("there is one class only.", "explanation", "A decision needs two.")
        return best[0], best[1]
    if rival not in classes.names:
        raise QueryError(f"there is no class {rival!r}.", "--rival", "List them: SELECT class_name FROM class_metrics.")
    return best[0], classes.names.index(rival)


def _decision(said: Predictions, found: Explanation, table: TextTable, classes: ClassList, *, unit: str) -> Decision:
    texts = table.unique_texts()
    shares = tuple(
        TextShare(part.contribution, part.cosine, str(part.kind), classes.names[part.class_id], texts[part.column])
        for part in found.contributions
    )
    winner, rival = (classes.names[class_id] for class_id in (found.winner, found.runner_up))
    return Decision(said.image_ids[0], said.method, winner, rival, found.margin, unit, shares, note="")
