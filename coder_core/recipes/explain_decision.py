"""Why did a run decide so about an image? The texts that made the decision, from what the run left in the store.

Nothing is embedded again: vectors come from the ledgers, artifacts from the run's manifest. The shares of all texts add
up exactly to the margin between the winner and the class it is compared with.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.classes import ClassList
from coder_core.coder.text_shares import Explanation, explain_coder, explain_means, explain_rerank
from coder_core.embedding.ledgers import open_ledger
from coder_core.errors import ConfigError, QueryError
from coder_core.evaluation.predictions import Predictions
from coder_core.loops import each
from coder_core.pipeline.artifact_handle import ArtifactHandle
from coder_core.pipeline.context import Context
from coder_core.pipeline.run_manifest import MethodRecord, RunManifest
from coder_core.recipes.decision import Decision, TextShare
from coder_core.specs import RERANK
from coder_core.steps.embed_texts import read_text_embeddings
from coder_core.steps.load_dataset import read_classes
from coder_core.steps.predict_images import COLUMNS, predictions_from_arrow
from coder_core.steps.write_texts import read_text_table
from coder_core.texts.kinds import TextKind
from coder_core.texts.sentences import TextTable
from coder_core.texts.text_layout import TextLayout, build_layout

EXPLAINABLE = ("clip", "vcd", "coder", RERANK)
"""Methods whose score is a sum over texts with weights that add up to nothing between two classes."""

PREFERRED = "coder"


class _Texts(NamedTuple):
    """What a method reads of the classes."""

    vectors: Float[Tensor, "texts dim"]
    table: TextTable
    layout: TextLayout
    unique: tuple[str, ...]


class Asked(NamedTuple):
    """One decision that is to be explained.

    Args:
        image_id: As the data set names it; table `predictions` lists them.
        method: One of `EXPLAINABLE` that the run has.
        rival: Name of the class to compare with; default: the runner-up, or what the rerank overruled.
    """

    image_id: str
    method: str = "coder"
    rival: str | None = None


class _Run:
    """Where to look: what was found for the images in question is kept, so that many decisions cost one reading."""

    def __init__(self, context: Context, manifest: RunManifest, image_ids: Collection[str]) -> None:
        self.context, self.manifest = context, manifest
        self.classes: ClassList = read_classes(context, manifest.dataset.classes)
        self._image_ids = frozenset(image_ids)
        self._rows: dict[tuple[str, Sequence[str]], dict[str, pa.Table]] = {}
        self._texts: dict[str, _Texts] = {}
        self._vectors: dict[str, Float[Tensor, " dim"]] = {}

    def row(self, artifact: ArtifactHandle, image_id: str, columns: Sequence[str]) -> pa.Table:
        """The row of one image in an artifact.

        Raises:
            QueryError: There is none.
        """
        if (artifact.key, columns) not in self._rows:
            self._rows[artifact.key, columns] = self._find_rows(artifact, columns)
        if (found := self._rows[artifact.key, columns].get(image_id)) is None:
            raise QueryError(
                f"there is no image {image_id!r}.",
                f"run {self.manifest.run_id}",
                "List them: SELECT image_id FROM predictions (broken images are in table quarantine).",
            )
        return found

    def texts(self, record: MethodRecord) -> _Texts:
        """The texts of a method, and their vectors."""
        if record.text_embeddings.key not in self._texts:
            table = read_text_table(self.context, record.texts)
            vectors = read_text_embeddings(self.context, record.text_embeddings, self.manifest.encoder)
            found = _Texts(torch.from_numpy(vectors), table, build_layout(table), tuple(table.unique_texts()))
            self._texts[record.text_embeddings.key] = found
        return self._texts[record.text_embeddings.key]

    def vector(self, image_id: str) -> Float[Tensor, " dim"]:
        """The image's own vector."""
        row = self.row(self.manifest.images, image_id, ("image_id", "key"))
        (key,) = row.column("key").to_pylist()
        if not self._vectors:
            rows = self._rows[self.manifest.images.key, ("image_id", "key")].values()
            keys = list(dict.fromkeys(one for row in rows for one in row.column("key").to_pylist() if one is not None))
            ledger = open_ledger(self.context, "image_embeddings", self.manifest.encoder)
            self._vectors = dict(zip(keys, map(torch.from_numpy, ledger.read(keys)), strict=True))
        return self._vectors[key]

    def _find_rows(self, artifact: ArtifactHandle, columns: Sequence[str]) -> dict[str, pa.Table]:
        """The rows of the images in question, looked for part by part until all are found."""
        found: dict[str, pa.Table] = {}
        wanted = pa.array(sorted(self._image_ids))
        for part in each(self.context.parts(artifact)):
            table = self.context.read_part(artifact, part.name, columns)
            own = table.filter(pc.is_in(table.column("image_id"), value_set=wanted))
            found |= {name: own.slice(at, 1) for at, name in enumerate(own.column("image_id").to_pylist())}
            if len(found) == len(self._image_ids):
                break
        return found


def explain_decision(
    context: Context, manifest: RunManifest, image_id: str, *, method: str | None = None, rival: str | None = None
) -> Decision:
    """Explain what a method of a run said about an image.

    Args:
        context: The store.
        manifest: A published run.
        image_id: As the data set names it; table `predictions` lists them.
        method: One of `EXPLAINABLE` that the run has; default: `choose_explainable`.
        rival: Name of the class to compare with; default: the runner-up, or what the rerank overruled.

    Raises:
        QueryError: There is no such image or class.
        ConfigError: The run lacks the method, or the method cannot be explained text by text.
        StoreError: Something of the run is not in the store any more.
    """
    method = choose_explainable(manifest) if method is None else method
    (found,) = explain_decisions(context, manifest, [Asked(image_id, method, rival)])
    return found


def choose_explainable(manifest: RunManifest) -> str:
    """Whose decision is meant where nobody says: `coder`, or the first method of the run that can be explained.

    Raises:
        ConfigError: The run has none; names those that it has.
    """
    known = _explainable(manifest)
    if not known:
        raise ConfigError(
            "none of its methods can be explained text by text.", f"run {manifest.run_id}", _own(manifest)
        )
    return PREFERRED if PREFERRED in known else known[0]


def explain_decisions(context: Context, manifest: RunManifest, asked: Sequence[Asked]) -> list[Decision]:
    """Explain many decisions of a run: texts, vectors and predictions are read once for all of them.

    Args:
        context: The store.
        manifest: A published run.
        asked: Which decisions.

    Returns:
        One explanation for each, in order.

    Raises:
        QueryError: There is no such image or class.
        ConfigError: The run lacks a method, or a method cannot be explained text by text.
        StoreError: Something of the run is not in the store any more.
    """
    for method in dict.fromkeys(one.method for one in asked):
        _check_method(manifest, method)
    run = _Run(context, manifest, {one.image_id for one in asked})
    return [_explain(run, *one) for one in each(asked)]


def _explain(run: _Run, image_id: str, method: str, rival: str | None) -> Decision:
    predicted = _find_prediction(run, method, image_id)
    if method != RERANK:
        decision = _explain_stage1(run, predicted, rival, method)
    elif _was_gated(run, image_id):
        decision = _explain_stage2(run, predicted, rival)
    else:
        note = "stage 1 was certain enough: there was no second look, and its logits decided"
        decision = _explain_stage1(run, predicted, rival, "coder")._replace(method=method, note=note)
    row = run.row(run.manifest.dataset.labels, image_id, ("image_id", "label_id"))
    label = row.column("label_id")[0].as_py()
    return decision._replace(truth=run.classes.names[label])


def _explain_stage1(run: _Run, predicted: Predictions, rival: str | None, method: str) -> Decision:
    """Explain by the texts of each class."""
    winner, other = _sides(predicted, run.classes, rival)
    texts, image = run.texts(run.manifest.method(method)), run.vector(predicted.image_ids[0])
    scale = float(run.manifest.spec["logit_scale"])
    found = _EXPLAINERS[method](image, texts.vectors, texts.layout, winner=winner, runner_up=other, logit_scale=scale)
    return _decision(predicted, found, texts, run.classes, unit="logits")


def _explain_stage2(run: _Run, predicted: Predictions, rival: str | None) -> Decision:
    """Explain by the one-to-one texts, between the candidates that stage 1 had named."""
    (image_id,), names = predicted.image_ids, run.classes.names
    before = _find_prediction(run, "coder", image_id)
    width = run.manifest.rerank.candidates if run.manifest.rerank else 0
    candidates = [int(class_id) for class_id in before.top_ids[0, :width]]
    is_changed = int(predicted.top_ids[0, 0]) != candidates[0]
    winner, other = _sides(predicted, run.classes, rival or (names[candidates[0]] if is_changed else None))
    texts, image = run.texts(run.manifest.method(RERANK)), run.vector(image_id)
    found = explain_rerank(image, texts.vectors, texts.layout, candidates=candidates, winner=winner, runner_up=other)
    gap = float(np.subtract(*before.top_probabilities[0, :2])) if len(candidates) > 1 else 1.0
    note = f"stage 1 said {names[candidates[0]]}, {gap:.3f} ahead of the next"
    note += "; the second look changed that" if is_changed else ""
    return _decision(predicted, found, texts, run.classes, unit="cosines")._replace(note=note)


_EXPLAINERS: Mapping[str, Callable[..., Explanation]] = {
    "clip": partial(explain_means, kind=TextKind.CLASS_NAME),
    "vcd": partial(explain_means, kind=TextKind.ATTRIBUTE),
    "coder": explain_coder,
}


def _check_method(manifest: RunManifest, method: str) -> None:
    known = _explainable(manifest)
    if method in known:
        return
    is_known = method in EXPLAINABLE
    problem = (
        f"it does not have the method {method!r}." if is_known else f"{method!r} cannot be explained text by text."
    )
    remedy = f"Of this run these can be explained: {', '.join(known)}." if known else _own(manifest)
    raise ConfigError(problem, f"run {manifest.run_id}", remedy)


def _explainable(manifest: RunManifest) -> list[str]:
    own = {record.method for record in manifest.methods}
    return [name for name in EXPLAINABLE if name in own]


def _own(manifest: RunManifest) -> str:
    few_shot = {name for draw in manifest.few_shot.draws for name in draw.fits.choices} if manifest.few_shot else set()
    own = [*(record.method for record in manifest.methods), *sorted(few_shot)]
    return f"It has: {', '.join(own) or 'none'}; {', '.join(EXPLAINABLE)} can be explained."


def _find_prediction(run: _Run, method: str, image_id: str) -> Predictions:
    record = run.manifest.method(method)
    return predictions_from_arrow(run.row(record.predictions, image_id, COLUMNS), method)


def _was_gated(run: _Run, image_id: str) -> bool:
    row = run.row(run.manifest.method(RERANK).predictions, image_id, ("image_id", "gated"))
    return bool(row.column("gated")[0].as_py())


def _sides(predicted: Predictions, classes: ClassList, rival: str | None) -> tuple[int, int]:
    best = [int(class_id) for class_id in predicted.top_ids[0]]
    if rival is None:
        if len(best) < 2:
            raise ConfigError("there is one class only.", "explanation", "A decision needs two.")
        return best[0], best[1]
    if rival not in classes.names:
        raise QueryError(f"there is no class {rival!r}.", "--rival", "List them: SELECT class_name FROM class_metrics.")
    return best[0], classes.names.index(rival)


def _decision(predicted: Predictions, found: Explanation, texts: _Texts, classes: ClassList, *, unit: str) -> Decision:
    shares = tuple(
        TextShare(
            part.contribution, part.cosine, str(part.kind), classes.names[part.class_id], texts.unique[part.column]
        )
        for part in found.contributions
    )
    winner, rival = (classes.names[class_id] for class_id in (found.winner, found.runner_up))
    (image_id,) = predicted.image_ids
    return Decision(image_id, predicted.method, winner, rival, found.margin, unit, shares, note="", truth="")
