"""Classify new images with a published run: its classes, its texts, its encoder; nothing is generated.

The images go the way of a data set's images, in shards through the ledgers; labels do not exist here. Nothing is learnt
either, unless it is asked to `adapt`: then all new images together, without labels, move the classifier first.
"""

from coder_core.counted import counted
from coder_core.encoders.base import IdentifiedEncoder
from coder_core.encoders.registry import find_family
from coder_core.errors import CheckpointError, ConfigError
from coder_core.pipeline.artifact_handle import Handle
from coder_core.pipeline.artifact_types import (
    BatchAnswersArtifact,
    BatchFound,
    FewShotFitsArtifact,
    IgnoredArtifact,
    NamedPredictionsArtifact,
)
from coder_core.pipeline.run_manifest import RunManifest
from coder_core.pipeline.runner import Runner
from coder_core.recipes.adapt import Adapted, Chosen, adapt_classifier, check_adaptable
from coder_core.steps.embed_images import EmbedImages
from coder_core.steps.load_dataset import ListNewImages
from coder_core.steps.name_predictions import ExportTable, NamePredictions
from coder_core.steps.predict_images import Predict
from coder_core.steps.preflight import CheckExport, CheckStore, IdentifyEncoder

HONEST = "honest"
PREFERRED = "coder"
"""Where a run has it, and nobody names another one."""


class Predicted(Handle):
    """What came out.

    Attributes:
        run_id: Whose classes, texts and encoder.
        method: The method; of one that was adapted, that which it stands upon.
        table: One row per image, in the order of the images.
        images: Images classified.
        broken: Images that could not be read and were left out: they have a `problem` and no class.
        ignored: Files beside the images that are none.
        location: Where the table is: the file that was asked for, or the store.
        batch: What the images were taken for as a batch, where the method adapted to them.
    """

    run_id: str
    method: str
    table: NamedPredictionsArtifact
    images: int
    broken: int
    ignored: IgnoredArtifact
    location: str
    batch: BatchFound | None = None

    def describe(self) -> str:
        """What was done, in one line."""
        left_out = f", {self.broken} left out" if self.broken else ""
        batch = f"; {self.describe_batch()}" if self.batch else ""
        return f"{counted(self.images, 'image')} by {self.method} of {self.run_id}{left_out}{batch}"

    def describe_batch(self) -> str:
        """What the images were taken for, in one line; empty where nothing adapted to them."""
        return f"batch taken for {self.batch.batch}: {self.batch.reason}" if self.batch else ""


def predict(
    manifest: RunManifest,
    images: list[str],
    run: Runner,
    *,
    method: str | None = None,
    shots: int | None = None,
    output: str | None = None,
    adapt: bool = False,
) -> Predicted:
    """Say what new images show: the five best classes of each, with probabilities.

    Args:
        manifest: A published run.
        images: Files, folders and patterns, as paths or fsspec URLs.
        run: The runner.
        method: A method of that run: zero-shot, rerank, variant, control or few-shot; default: `choose_method`.
        shots: Of a few-shot method; default: the most that the run has. Its first draw classifies.
        output: A `.parquet` file to write beside the store's own table, path or fsspec URL.
        adapt: Whether all the images together, without labels, move the classifier before it answers any of them.

    Raises:
        ConfigError: The run has not the method, its features were computed elsewhere, or the method cannot adapt.
        CheckpointError: The weights are not those that the run used.
        InputError: There is no such image.
    """
    method = choose_method(manifest, method, shots=shots)
    chosen = choose_classifier(manifest, method, shots=shots)
    if adapt:
        check_adaptable(manifest, method)
    run(CheckStore())
    if output is not None:
        run(CheckExport(output=output))
    encoder = same_encoder(manifest, run(IdentifyEncoder(encoder=manifest.encoder.spec)))
    listed = run(ListNewImages(locations=tuple(images)))
    embedded = run(EmbedImages(images=listed.images, encoder=encoder))
    adapted = adapt_classifier(manifest, method, chosen, embedded, run) if adapt else Adapted(chosen)
    chosen = adapted.chosen
    predictions = run(
        Predict(classifier=chosen.artifact, part=chosen.part, images=embedded, encoder=encoder, label=method)
    )
    table = run(NamePredictions(predictions=predictions, images=embedded, classes=manifest.dataset.classes))
    location = run(ExportTable(named=table, location=output)) if output is not None else ""
    return Predicted(
        run_id=manifest.run_id,
        method=method,
        table=table,
        images=embedded.usable,
        broken=embedded.quarantined,
        ignored=listed.ignored,
        location=location or f"{run.runtime.store} (artifact {table.kind} {table.key[:12]})",
        batch=adapted.found,
    )


def choose_method(manifest: RunManifest, method: str | None = None, *, shots: int | None = None) -> str:
    """The method that is meant: the one that is named, else `coder`, else the first of the run for new images.

    Args:
        manifest: A published run.
        method: What was asked for; None: nothing.
        shots: Where a number is asked for, a few-shot method is meant.

    Raises:
        ConfigError: None was named, and the run has none for new images.
    """
    if method is not None:
        return method
    zero_shot = [] if shots is not None else _zero_shot_methods(manifest)
    names = [*zero_shot, *(name for fit in _fits(manifest, shots) for name in fit.choices)]
    if not names:
        _require_model(manifest)
        with_shots = "" if shots is None else f" with {counted(shots, 'shot')}"
        raise ConfigError(f"it has no method{with_shots} for new images.", f"run {manifest.run_id}", _known(manifest))
    return PREFERRED if PREFERRED in names else names[0]


def describe_choice(manifest: RunManifest, method: str, *, shots: int | None = None) -> str:
    """In one line, that a method was taken which nobody named; empty where that is the usual one."""
    if method == PREFERRED:
        return ""
    why = f"the run has no {PREFERRED}" if shots is None else f"the run's first with {counted(shots, 'shot')}"
    return f"method {method}: none was named, and {why}. {_known(manifest)}"


def choose_classifier(manifest: RunManifest, method: str, *, shots: int | None = None) -> Chosen:
    """The classifier of a method of a run.

    Raises:
        ConfigError: There is none for new images, or shots are asked of a method without; names those that there are.
    """
    place = f"run {manifest.run_id}"
    _require_model(manifest)
    for record in manifest.methods:
        if record.method == method and record.predictions.protocol == HONEST:
            if shots is not None:
                raise ConfigError(f"{method!r} learns from no images, so it has no shots.", place, _known(manifest))
            return Chosen(record.for_any_image)
    fits = [fit for fit in _fits(manifest, shots) if method in fit.choices]
    if fits:
        best = max(fit.shots for fit in fits)
        return Chosen(next(fit for fit in fits if fit.shots == best), method)
    with_shots = "" if shots is None else f" with {counted(shots, 'shot')}"
    raise ConfigError(f"it has no method {method!r}{with_shots} for new images.", place, _known(manifest))


def usable_methods(manifest: RunManifest) -> list[str]:
    """Methods of a run that can classify an image without labels."""
    few_shot = dict.fromkeys(
        f"{name} ({counted(fit.shots, 'shot')})" for fit in _fits(manifest) for name in fit.choices
    )
    return [*_zero_shot_methods(manifest), *few_shot]


def _zero_shot_methods(manifest: RunManifest) -> list[str]:
    return [
        record.method
        for record in manifest.methods
        if record.predictions.protocol == HONEST and not isinstance(record.classifier, BatchAnswersArtifact)
    ]


def _fits(manifest: RunManifest, shots: int | None = None) -> list[FewShotFitsArtifact]:
    """What few-shot methods have learnt; with one number of shots, where that is named."""
    draws = manifest.few_shot.draws if manifest.few_shot else ()
    return [draw.fits for draw in draws if shots in (None, draw.fits.shots)]


def _known(manifest: RunManifest) -> str:
    return f"It has: {', '.join(usable_methods(manifest)) or 'none'}."


def _require_model(manifest: RunManifest) -> None:
    if not find_family(manifest.encoder.spec.kind).embeds_images:
        raise ConfigError(
            "its features were computed elsewhere: there is no model to embed an image with.",
            f"run {manifest.run_id}",
            "Evaluate with an open_clip encoder, and predict with that run.",
        )


def same_encoder(manifest: RunManifest, found: IdentifiedEncoder) -> IdentifiedEncoder:
    """The encoder, refused where its weights are others by now: texts and images would lie in different spaces.

    Raises:
        CheckpointError: They are.
    """
    if found.key != manifest.encoder.key:
        checkpoint = getattr(found.spec, "checkpoint", found.spec.kind)
        raise CheckpointError(
            f"these weights are not those that run {manifest.run_id} used.",
            str(checkpoint),
            "Put the old ones back, or run the evaluation again.",
        )
    return found
