"""From predictions to results: every method is measured, and the run becomes visible as a whole."""

from collections.abc import Sequence

from coder_core.atg.generation_report import GenerationReport
from coder_core.input_contract import InputContract
from coder_core.pipeline.artifact_types import MeasurementArtifact
from coder_core.pipeline.eval_result import EvalResult
from coder_core.pipeline.run_manifest import RunManifest
from coder_core.pipeline.runner import Runner
from coder_core.recipes.compare_few_shot import draw_contracts
from coder_core.specs import EvalSpec
from coder_core.steps.image_groups import groups_of
from coder_core.steps.measure_few_shot import MeasureFewShot
from coder_core.steps.measure_method import MeasureMethod
from coder_core.steps.publish_run import PublishRun


def publish(spec: EvalSpec, manifest: RunManifest, generation: Sequence[GenerationReport], run: Runner) -> EvalResult:
    """Measure every method and every draw, write the result tables, make the run visible."""
    measured, few_shot = measure_methods(spec, manifest, run), measure_draws(spec, manifest, run)
    return run(
        PublishRun(
            spec=spec,
            manifest=manifest,
            measured=tuple(measured),
            few_shot=tuple(few_shot),
            generation=tuple(generation),
            accounts=tuple(run.records),
            engine=run.engine,
        )
    )


def measure_methods(spec: EvalSpec, manifest: RunManifest, run: Runner) -> list[MeasurementArtifact]:
    """What every method is worth, beside the baseline and, of a control, beside what it controls."""
    predictions = {record.method: record.predictions for record in manifest.methods}
    return run.each(
        MeasureMethod(
            method=record.method,
            predictions=record.predictions,
            contract=record.contract or InputContract(),
            baseline=spec.baseline,
            baseline_predictions=predictions.get(spec.baseline) if record.method != spec.baseline else None,
            controls=record.controls,
            controlled_predictions=predictions.get(record.controls) if record.controls else None,
            groups=groups_of(spec),
            classifier=record.classifier,
            images=manifest.images,
            encoder=manifest.encoder,
            labels=manifest.dataset.labels,
            classes=manifest.dataset.classes,
        )
        for record in manifest.methods
    )


def measure_draws(spec: EvalSpec, manifest: RunManifest, run: Runner) -> list[MeasurementArtifact]:
    """What the few-shot methods of every draw are worth; nothing where there are none."""
    contracts = draw_contracts(spec, manifest)
    return run.each(
        MeasureFewShot(
            fits=draw.fits,
            predictions=draw.predictions,
            contracts={name: contracts[name] for name in draw.fits.choices},
            groups=groups_of(spec),
            images=manifest.images,
            encoder=manifest.encoder,
            labels=manifest.dataset.labels,
        )
        for draw in (manifest.few_shot.draws if manifest.few_shot else ())
    )
