"""A classifier of a published run as a folder that needs neither the store nor the run any more."""

import importlib.metadata
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coder_core.input_contract import InputContract
from coder_core.pipeline.artifact_types import ClassifierArtifact, FewShotFitsArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.run_manifest import MethodRecord, RunManifest
from coder_core.pipeline.runner import Runner
from coder_core.portable.card import CalibrationCard, ClassifierCard, CutoffCard, EncoderCard, Provenance, TextCard
from coder_core.portable.writing import write_classifier
from coder_core.recipes.adapt import Chosen, inputs_of
from coder_core.recipes.compare_few_shot import draw_contracts
from coder_core.recipes.predict import choose_classifier, choose_method, same_encoder
from coder_core.recipes.rerank_uncertain import embed_validation
from coder_core.specs import EvalSpec, OpenClipEncoder
from coder_core.steps.build_classifier import read_classifier
from coder_core.steps.calibrate_export import CalibrateExport, ExportCalibration
from coder_core.steps.calibrate_method import CALIBRATED
from coder_core.steps.embed_texts import read_text_embeddings
from coder_core.steps.load_dataset import read_classes
from coder_core.steps.preflight import IdentifyEncoder
from coder_core.steps.write_texts import read_text_table

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

logger = logging.getLogger(__name__)

PRECISION = 0.95
"""Share of the answers above "none of these" that were right on validation images."""

EXPLAINABLE = ("clip", "vcd", "coder")
"""Methods whose logits are sums over texts."""


def export_classifier(
    manifest: RunManifest,
    folder: Path,
    run: Runner,
    *,
    method: str | None = None,
    shots: int | None = None,
    precision: float = PRECISION,
    with_texts: bool = True,
    with_onnx: bool = False,
    is_forced: bool = False,
) -> ClassifierCard:
    """Write a method of a run as a folder of JSON and safetensors.

    Where the run has validation images, the temperature and the threshold of "none of these" are chosen on them.

    Args:
        manifest: A published run.
        folder: Where to.
        run: The runner.
        method: A method of that run; default: `choose_method`.
        shots: Of a few-shot method; default: the most that the run has.
        precision: Share of the answers that must be right on validation images, else "none of these".
        with_texts: Whether texts and their vectors go along, for explanations.
        with_onnx: Whether an ONNX model is written, too; for linear methods.
        is_forced: Whether another classifier in the folder is replaced.

    Raises:
        ConfigError: The run has not the method, or ONNX was asked for and it is not linear.
        CheckpointError: The weights are not those that the run used.
        LabelLeakError: A validation image is a test image.
    """
    method = choose_method(manifest, method, shots=shots)
    chosen = choose_classifier(manifest, method, shots=shots)
    spec = EvalSpec.model_validate(manifest.spec)
    same_encoder(manifest, run(IdentifyEncoder(encoder=manifest.encoder.spec)))
    calibration = _calibrate(spec, manifest, chosen, precision, run)
    context = Context.open(run.runtime)
    classifier = read_classifier(context, chosen.artifact, chosen.part)
    state = classifier.state()
    record = next((record for record in manifest.methods if record.method == method), None)
    texts, vectors = _texts(context, manifest, record) if with_texts and record else ((), None)
    classes = read_classes(context, manifest.dataset.classes)
    card = ClassifierCard(
        method=method,
        shots=None if isinstance(chosen.artifact, ClassifierArtifact) else chosen.artifact.shots,
        classes=classes.names,
        class_ids=classes.stable_ids,
        kind=state.kind,
        settings=state.settings,
        encoder=_encoder(manifest),
        logit_scale=spec.logit_scale,
        calibration=_calibration(calibration, state.settings, state.kind),
        none_of_these=_cutoff(calibration),
        contract=_contract(spec, manifest, method, chosen, has_validation=calibration is not None),
        provenance=_provenance(manifest),
        texts=texts,
    )
    onnx = _onnx(classifier, card) if with_onnx else None
    return write_classifier(folder, card, state, text_vectors=vectors, onnx=onnx, is_forced=is_forced)


def _calibrate(
    spec: EvalSpec, manifest: RunManifest, chosen: Chosen, precision: float, run: Runner
) -> ExportCalibration | None:
    if spec.validation is None:
        return None
    from coder_core.evaluation.temperature import note_on_bound  # torch

    validation = embed_validation(spec.validation, inputs_of(manifest), run)
    found = run(
        CalibrateExport(
            classifier=chosen.artifact,
            part=chosen.part,
            images=validation.images,
            labels=validation.dataset.labels,
            encoder=manifest.encoder,
            precision=precision,
        )
    )
    note = None if found.temperature is None else note_on_bound(found.temperature, found.loss)
    if note is not None:
        logger.warning("temperature %.3f, chosen on %d validation images: %s", found.temperature, found.images, note)
    return found


def _calibration(found: ExportCalibration | None, settings: dict[str, Any], kind: str) -> CalibrationCard | None:
    if found is not None and found.temperature is not None:
        return CalibrationCard(temperature=found.temperature, images=found.images)
    if kind == "tempered":  # by the run: the classifier itself divides
        return CalibrationCard(temperature=float(settings["temperature"]), images=0)
    return None


def _cutoff(found: ExportCalibration | None) -> CutoffCard | None:
    if found is None or found.threshold is None:
        return None
    return CutoffCard(threshold=found.threshold, precision=found.precision, kept=found.kept, images=found.images)


def _contract(
    spec: EvalSpec, manifest: RunManifest, method: str, chosen: Chosen, *, has_validation: bool
) -> InputContract:
    record = next((record for record in manifest.methods if record.method == method), None)
    own = record.contract if record else draw_contracts(spec, manifest).get(method)
    contract = own or InputContract()
    if isinstance(chosen.artifact, FewShotFitsArtifact):
        contract = chosen.artifact.choices[chosen.part].reads(contract)
    return contract.also(labels="validation") if has_validation else contract


def _encoder(manifest: RunManifest) -> EncoderCard:
    encoder = manifest.encoder
    preprocessing = None
    if isinstance(encoder.spec, OpenClipEncoder):
        from coder_core.encoders.open_clip_loading import find_checkpoint

        config = find_checkpoint(encoder.spec).config
        size = config["model_cfg"].get("vision_cfg", {}).get("image_size")
        preprocessing = {"image_size": size, **(config.get("preprocess_cfg") or {})}
    return EncoderCard(
        key=encoder.key,
        label=encoder.label,
        dim=encoder.dim,
        settings=encoder.spec.model_dump(mode="json", exclude_none=True),
        preprocessing=preprocessing,
    )


def _provenance(manifest: RunManifest) -> Provenance:
    return Provenance(
        run_id=manifest.run_id,
        evaluation=manifest.name,
        started_at=manifest.started_at.isoformat(),
        dataset=manifest.dataset.name,
        dataset_key=manifest.dataset.images.key,
        texts_key=manifest.texts.key,
        bank_key=manifest.bank.key,
        code_version=importlib.metadata.version("coder-eval"),
    )


def _texts(
    context: Context, manifest: RunManifest, record: MethodRecord
) -> "tuple[tuple[TextCard, ...], Float[np.ndarray, 'texts dim'] | None]":
    """The texts of a method that can be explained, and their vectors; those of no other method."""
    if record.method.removesuffix(CALIBRATED) not in EXPLAINABLE:
        return (), None
    table = read_text_table(context, record.texts)
    rows = (TextCard(text=row.text, kind=row.kind, class_id=row.class_id, rival_id=row.rival_id) for row in table)
    return tuple(rows), read_text_embeddings(context, record.text_embeddings, manifest.encoder)


def _onnx(classifier: Any, card: ClassifierCard) -> bytes:
    from coder_core.classifiers import TemperedClassifier
    from coder_core.portable.onnx_export import encode_onnx

    chosen = card.calibration
    calibrated = TemperedClassifier(classifier, chosen.temperature) if chosen and chosen.images else classifier
    return encode_onnx(calibrated, method=card.method)
