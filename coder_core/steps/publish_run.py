"""The end of a run: its tables are written, and last its row of `runs`. Until that is there, nobody sees any of it.

Every row can be traced: the row of `runs` has the keys of images, labels, encoder and texts and the whole spec, the
table `artifacts` has the key of everything that was made, and the run's manifest has all of it typed.
"""

import importlib.metadata
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

from coder_core.atg.generation_report import GenerationReport
from coder_core.counted import counted
from coder_core.encoders.registry import find_family
from coder_core.fingerprint import NotIdentity, canonical_json, key_of
from coder_core.input_contract import InputContract
from coder_core.method_texts import METHOD_KINDS, class_ids_without_texts, reads_texts
from coder_core.pipeline.artifact_types import MeasurementArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.eval_result import EvalResult
from coder_core.pipeline.run_manifest import RunManifest, encode_run_manifest
from coder_core.pipeline.step import Step, StepRecord
from coder_core.results.schema import (
    ClassComparisonRow,
    ClassMetricRow,
    ComparisonRow,
    ConfusionComparisonRow,
    ConfusionRow,
    FewShotReliabilityRow,
    FewShotRow,
    FewShotSummaryRow,
    GenerationRow,
    MetricRow,
    ReliabilityRow,
    RunRow,
)
from coder_core.specs import RERANK, EvalSpec
from coder_core.steps.assemble_bank import read_bank
from coder_core.steps.load_dataset import LabelParts, read_classes
from coder_core.steps.measure_method import read_rows
from coder_core.steps.run_tables import (
    Tables,
    ablation_tables,
    account_tables,
    few_shot_prediction_tables,
    generation_tables,
    ignored_tables,
    prediction_tables,
    quarantine_tables,
    questions_by_kind,
    rerank_tables,
    text_tables,
    transduction_tables,
)
from coder_core.steps.select_texts import SUPPORT_SELECTED
from coder_core.steps.write_texts import CONTROL_PREFIX, read_text_table
from coder_core.texts.bank_checks import equal_classes_warning
from coder_core.texts.kinds import TextKind

if TYPE_CHECKING:
    pass

CONTRACT = tuple(InputContract().columns())
"""The columns that say what a method has read."""

CALIBRATION = (
    "expected_calibration_error",
    "expected_calibration_error_by_chance",
    "expected_calibration_error_uncalibrated",
    "negative_log_likelihood",
    "negative_log_likelihood_uncalibrated",
)
"""Columns of `few_shot` whose means over draws are columns of its summary."""

STAGE1: Mapping[str, str] = {RERANK: "coder", SUPPORT_SELECTED: "coder"}
"""Methods that look again at what another one, which reads the texts of stage 1, has said."""

MEASURED_TABLES = (ClassMetricRow, ConfusionRow, ClassComparisonRow, ConfusionComparisonRow, ReliabilityRow)
"""Tables whose rows go from the measurements into the results as they are."""


class PublishRun(Step[EvalResult]):
    """Write the result tables of a run and make it visible.

    Raises:
        StoreError: The store refuses.
    """

    spec: EvalSpec
    manifest: RunManifest
    measured: tuple[MeasurementArtifact, ...]
    few_shot: tuple[MeasurementArtifact, ...]
    generation: Annotated[tuple[GenerationReport, ...], NotIdentity("what was asked, not what was found")] = ()
    accounts: Annotated[tuple[StepRecord, ...], NotIdentity("what the run did, not what it found")]
    engine: Annotated[str, NotIdentity("who ran the steps")]

    def run(self, context: Context) -> EvalResult:
        """Write, and publish last."""
        from coder_core.results.writing import RunWriter

        metrics = self._metrics(context)
        comparisons = self._comparisons(context)
        few_shot: list[FewShotRow] = read_all(context, self.few_shot, FewShotRow)
        summaries = summarise_draws(few_shot)
        row = self._run_row(context, metrics)
        with RunWriter(context.artifacts.store, self.manifest.run_id) as writer:
            small: Tables = iter(
                (
                    (MetricRow, metrics),
                    (ComparisonRow, comparisons),
                    (FewShotRow, few_shot),
                    (FewShotSummaryRow, summaries),
                )
            )
            for row_class, rows in chain(small, self._tables(context)):  # never all at once: predictions are many
                writer.append(row_class, rows)
            row = replace(row, finished_at=max(datetime.now(UTC), row.started_at))  # a clock may go backwards
            writer.publish(row, encode_run_manifest(self.manifest))
        return self._result(context, row, metrics, comparisons, summaries)

    def _metrics(self, context: Context) -> list[MetricRow]:
        """Every method's numbers, and how many classes it could judge by their names only."""
        table = read_text_table(context, self.manifest.texts)
        methods = {record.method for record in self.manifest.methods}
        missing = {
            method: len(class_ids_without_texts(STAGE1.get(method, method), table))
            for method in methods
            if reads_texts(STAGE1.get(method, method))
        }
        rows: list[MetricRow] = read_all(context, self.measured, MetricRow)
        return [replace(row, classes_without_texts=missing.get(row.method)) for row in rows]

    def _comparisons(self, context: Context) -> list[ComparisonRow]:
        """Every method against the baseline, corrected together."""
        from coder_core.evaluation.comparisons import correct_comparisons

        return correct_comparisons(read_all(context, self.measured, ComparisonRow))

    def _tables(self, context: Context) -> Tables:
        manifest = self.manifest
        classes = read_classes(context, manifest.dataset.classes)
        labels = LabelParts(context, manifest.dataset.labels, "test")
        draws = manifest.few_shot.draws if manifest.few_shot else ()
        measured = ((table, read_rows(context, one, table)) for table in MEASURED_TABLES for one in self.measured)
        return chain(
            measured,
            ((FewShotReliabilityRow, read_rows(context, one, FewShotReliabilityRow)) for one in self.few_shot),
            prediction_tables(context, manifest, labels, classes),
            *(few_shot_prediction_tables(context, draw.predictions, labels, classes) for draw in draws),
            text_tables(context, manifest, classes),
            rerank_tables(context, manifest, classes),
            transduction_tables(manifest),
            ablation_tables(context, manifest),
            quarantine_tables(context, manifest),
            ignored_tables(context, manifest),
            generation_tables(self.generation),
            account_tables(self.accounts),
        )

    def _run_row(self, context: Context, metrics: Sequence[MetricRow]) -> RunRow:
        manifest, spec = self.manifest, self.spec
        best = _best_method(metrics)
        return RunRow(
            name=spec.name,
            spec_key=key_of(spec),
            spec_json=canonical_json(spec),
            started_at=manifest.started_at,
            finished_at=manifest.started_at,
            encoder=manifest.encoder.label,
            learnt_logit_scale=manifest.encoder.logit_scale,
            learnt_logit_bias=manifest.encoder.logit_bias,
            dataset=manifest.dataset.name,
            class_count=manifest.dataset.classes.class_count,
            image_count=manifest.images.usable,
            text_count=manifest.text_embeddings.rows,
            **self._embedding_counts(context),
            images_quarantined=manifest.images.quarantined,
            images_ignored=manifest.dataset.ignored.count,
            device=self._device(context),
            code_version=importlib.metadata.version("coder-eval"),
            dataset_key=manifest.dataset.images.key,
            labels_key=manifest.dataset.labels.key,
            encoder_key=manifest.encoder.key,
            texts_key=manifest.texts.key,
            engine=self.engine,
            best_method=best.method if best else None,
            best_top1=best.value if best else None,
        )

    def _embedding_counts(self, context: Context) -> dict[str, int]:
        """Texts of stage 1, of pairs and of controls (a text may stand in several), and the images under test."""
        embeddings = {record.text_embeddings.key: record.text_embeddings for record in self.manifest.methods}
        embeddings[self.manifest.text_embeddings.key] = self.manifest.text_embeddings
        keys = {key for found in embeddings.values() for key in context.read(found).column("key").to_pylist()}
        texts = sum(record.computed for record in self.accounts if record.kind == "text_embeddings")
        own = [record for record in self.accounts if record.key == self.manifest.images.key]
        images = sum(record.computed for record in own)
        return {
            "texts_embedded": texts,
            "texts_reused": len(keys) - texts,
            "images_embedded": images,
            "images_reused": self.manifest.images.usable - images,
        }

    def _device(self, context: Context) -> str:
        """Where models ran in this run; `none` where none did."""
        was_used = any(record.computed for record in self.accounts if record.kind.endswith("_embeddings"))
        if not was_used or not find_family(self.manifest.encoder.spec.kind).needs_device:
            return "none"
        from coder_core.encoders.device import choose_device

        return choose_device(context.runtime.device)

    def _result(
        self,
        context: Context,
        row: RunRow,
        metrics: Sequence[MetricRow],
        comparisons: Sequence[ComparisonRow],
        few_shot: Sequence[FewShotSummaryRow],
    ) -> EvalResult:
        return EvalResult(
            **{name: getattr(row, name) for name in EvalResult.model_fields if hasattr(row, name)},
            run_id=self.manifest.run_id,
            store=context.runtime.store,
            metrics=tuple(metrics),
            comparisons=tuple(comparisons),
            few_shot=tuple(few_shot),
            has_ablation=self.manifest.ablation is not None,
            seconds=(row.finished_at - row.started_at).total_seconds(),
            records=self.accounts,
            notes=notes_on_run(context, self.manifest, metrics, questions_by_kind(self.generation)),
        )


def notes_on_run(
    context: Context, manifest: RunManifest, metrics: Sequence[MetricRow], asked: Sequence[GenerationRow]
) -> tuple[str, ...]:
    """What to know about the numbers of a run, one line each."""
    classes = read_classes(context, manifest.dataset.classes)
    alike = equal_classes_warning(classes, read_bank(context, manifest.bank, classes))
    notes = notes_on_texts(metrics, manifest.dataset.classes.class_count)
    notes += notes_on_generation(metrics, asked)
    notes += [record.note for record in manifest.methods if record.note is not None]
    return (*notes, *([f"{alike} Where they tie, the first of them counts."] if alike else []))


def notes_on_texts(metrics: Sequence[MetricRow], class_count: int) -> list[str]:
    """Which methods had to judge classes by their names alone."""
    missing = {row.method: row.classes_without_texts for row in metrics if row.classes_without_texts}
    return [
        f"{method} had no text about {number} of {counted(class_count, 'class')}: it judged them by their names alone"
        for method, number in missing.items()
    ]


def notes_on_generation(metrics: Sequence[MetricRow], asked: Sequence[GenerationRow]) -> list[str]:
    """Which kinds of text a language model was asked for in vain, and which methods did without them."""
    methods = dict.fromkeys(row.method for row in metrics)
    notes = []
    for row in asked:
        readers = [name for name in methods if row.kind in METHOD_KINDS.get(STAGE1.get(name, name), ())]
        readers += [RERANK] if row.kind == TextKind.ONE_TO_ONE and RERANK in methods else []
        if row.failed and readers:
            notes.append(
                f"{row.failed} of {counted(row.asked, 'question')} for texts of the kind {row.kind} have no usable "
                f"answer: {', '.join(readers)} did without these"
            )
    return notes


def read_all(context: Context, measured: Iterable[MeasurementArtifact], row_class: type[Any]) -> list[Any]:
    """The rows of one table over all measurements."""
    return [row for artifact in measured for row in read_rows(context, artifact, row_class)]


def summarise_draws(rows: Sequence[FewShotRow]) -> list[FewShotSummaryRow]:
    """Means over draws, by method and shots, and the standard deviation (n - 1) of top-1; that of one draw is null."""
    groups: dict[tuple[str, int], list[FewShotRow]] = defaultdict(list)
    for row in rows:
        groups[row.method, row.shots].append(row)
    return [
        FewShotSummaryRow(
            method=method,
            shots=shots,
            draws=len(found),
            top1=statistics.fmean(row.top1 for row in found),
            top1_std=statistics.stdev(row.top1 for row in found) if len(found) > 1 else None,
            calibrated_on="+".join(sorted({row.calibrated_on for row in found if row.calibrated_on})) or None,
            **_columns_over_draws(found),
        )
        for (method, shots), found in groups.items()
    ]


def _columns_over_draws(rows: Sequence[FewShotRow]) -> dict[str, Any]:
    """What all draws have read, and the means of their calibration."""
    means = {name: _mean_of(rows, name) for name in CALIBRATION}
    return {name: getattr(rows[-1], name) for name in CONTRACT} | means


def _mean_of(rows: Sequence[FewShotRow], name: str) -> float | None:
    """The mean of a column; None where a row has none."""
    values = [getattr(row, name) for row in rows]
    return None if None in values else statistics.fmean(values)


def _best_method(metrics: Sequence[MetricRow]) -> MetricRow | None:
    """The best method by top-1 accuracy, the first of equals; a control is none."""
    candidates = [row for row in metrics if row.metric == "top1" and not row.method.startswith(CONTROL_PREFIX)]
    return max(candidates, key=lambda row: row.value, default=None)
