"""The result tables of a run, one writer each: large ones part by part, so that no table is in memory as a whole."""

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from coder_core.atg.generation_report import GenerationReport, merge_reports
from coder_core.classes import ClassList
from coder_core.evaluation.predictions import Predictions
from coder_core.pipeline.artifact_types import BatchFound, FewShotPredictionsArtifact, TextsArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.pace import Pace
from coder_core.pipeline.run_manifest import MethodRecord, RerankRecord, RunManifest
from coder_core.pipeline.step import StepRecord
from coder_core.redaction import redact_all
from coder_core.results.schema import (
    AblationRow,
    ArtifactRow,
    ConfusedPairRow,
    FewShotPredictionRow,
    GenerationRow,
    IgnoredRow,
    PairBudgetRow,
    PredictionRow,
    QuarantineRow,
    RerankRow,
    TextRow,
    ThresholdRow,
    TimingRow,
    TransductionRow,
)
from coder_core.steps.count_confused_pairs import PAIRS, read_budget
from coder_core.steps.embed_images import broken_rows
from coder_core.steps.load_dataset import LabelParts
from coder_core.steps.predict_few_shot import few_shot_predictions_in
from coder_core.steps.predict_images import COLUMNS, predictions_from_arrow
from coder_core.steps.write_texts import read_text_table, read_texts_and_pairs
from coder_core.texts.bank import ClassPair
from coder_core.texts.kinds import TextKind

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from coder_core.evaluation.labels import LabelTable

Tables = Iterator[tuple[type[Any], "Sequence[Any] | pa.Table"]]


def account_tables(records: Sequence[StepRecord]) -> Tables:
    """What every step did, and what it made."""
    yield TimingRow, [_timing_row(record) for record in records]
    made = dict.fromkeys((record.step, record.kind, record.key, record.rows) for record in records if record.kind)
    yield ArtifactRow, [ArtifactRow(step=step, kind=kind, key=key, rows=rows) for step, kind, key, rows in made]


def _timing_row(record: StepRecord) -> TimingRow:
    pace = record.pace or Pace()
    return TimingRow(
        step=record.step,
        seconds=record.seconds,
        rows=record.rows,
        computed=record.computed,
        items_per_second=pace.items_per_second,
        **{f"{name}_share": pace.share(name) for name in ("device", "decode", "read", "write")},
    )


def generation_tables(reports: Sequence[GenerationReport]) -> Tables:
    """What a language model was asked for, kind by kind."""
    if reports:
        yield GenerationRow, questions_by_kind(reports)


def questions_by_kind(reports: Sequence[GenerationReport]) -> list[GenerationRow]:
    """Add up what the chunks of a class list were asked for."""
    report = merge_reports(reports)
    return [
        GenerationRow(
            kind=count.kind,
            asked=count.generated + count.reused + count.failed,
            generated=count.generated,
            reused=count.reused,
            failed=count.failed,
            prompt_tokens=count.prompt_tokens,
            completion_tokens=count.completion_tokens,
            cost_usd=count.cost_usd if report.is_priced else None,
        )
        for count in report.counts
    ]


def text_tables(context: Context, manifest: RunManifest, classes: ClassList) -> Tables:
    """The texts of stage 1 and, after them, those that tell pairs apart."""
    pair_texts = next((record.texts for record in manifest.methods if record.texts != manifest.texts), None)
    texts = read_texts_and_pairs(context, manifest.texts, pair_texts if manifest.rerank else None)
    names = classes.names
    yield (
        TextRow,
        [
            TextRow(
                text_id=text_id,
                class_id=row.class_id,
                class_name=names[row.class_id],
                kind=str(row.kind),
                rival_name=None if row.rival_id is None else names[row.rival_id],
                text=row.text,
                phrase=str(row.phrase),
                source=row.source,
            )
            for text_id, row in enumerate(texts)
        ],
    )


def prediction_tables(context: Context, manifest: RunManifest, labels: LabelParts, classes: ClassList) -> Tables:
    """What every method said about every image, part by part."""
    parts = [part.name for part in context.parts(manifest.images)]
    for record in manifest.methods:
        said = record.predictions
        for part in context.each(parts, f"writing predictions of {record.method}", total=len(parts), unit="parts"):
            table = context.read_part(said, part, COLUMNS)
            predictions = predictions_from_arrow(table, record.method, protocol=said.protocol)
            own = labels.beside(part, predictions.image_ids)
            yield PredictionRow, _prediction_table(predictions, own, classes, _locations(context, manifest, part))


def few_shot_prediction_tables(
    context: Context, said: FewShotPredictionsArtifact, labels: LabelParts, classes: ClassList
) -> Tables:
    """What every few-shot method of a draw said, part by part."""
    import numpy as np
    import pyarrow as pa

    parts = context.parts(said)
    for part in context.each(parts, "writing few-shot predictions", total=len(parts), unit="parts"):
        table = context.read_part(said, part.name)
        for method in said.methods:
            predictions, uncalibrated = few_shot_predictions_in(table, said, method)
            rows = _best_class_columns(predictions, labels.beside(part.name, predictions.image_ids), classes)
            shots, seed = (pa.repeat(number, len(table)) for number in (said.shots, said.seed))
            plain = pa.array(uncalibrated[:, 0].astype(np.float64))
            yield (
                FewShotPredictionRow,
                pa.table({**rows, "shots": shots, "seed": seed, "probability_uncalibrated": plain}),
            )


def quarantine_tables(context: Context, manifest: RunManifest) -> Tables:
    """Images that could not be read."""
    if not manifest.images.quarantined:
        return
    parts = context.parts(manifest.images)
    for part in context.each(parts, "listing the quarantine", total=len(parts), unit="parts"):
        rows = broken_rows(context.read_part(manifest.images, part.name, ["image_id", "problem"])).to_pylist()
        if rows:
            locations = _locations(context, manifest, part.name)
            found = [QuarantineRow(**row, location=locations.get(row["image_id"])) for row in rows]
            yield QuarantineRow, found


def ignored_tables(context: Context, manifest: RunManifest) -> Tables:
    """What lies beside the images and is none."""
    yield IgnoredRow, context.read(manifest.dataset.ignored)


def ablation_tables(context: Context, manifest: RunManifest) -> Tables:
    """What every number and kind of texts is worth."""
    if manifest.ablation is not None:
        yield AblationRow, context.read(manifest.ablation)


def rerank_tables(context: Context, manifest: RunManifest, classes: ClassList) -> Tables:
    """The gate, its search, the pairs that mattered, and what a budget buys."""
    if manifest.rerank is None:
        return
    method, record = manifest.method("coder_rerank"), manifest.rerank
    yield RerankRow, [_rerank_row(context, method, record)]
    yield ThresholdRow, record.threshold.tried
    yield ConfusedPairRow, _pair_rows(context, method.texts, record, classes)
    yield PairBudgetRow, read_budget(context, record.confused)


def transduction_tables(manifest: RunManifest) -> Tables:
    """What every transduction took the batch for, those of few-shot draws last."""
    rows = [_transduction_row(found.method, found) for found in manifest.transductions]
    for draw in manifest.few_shot.draws if manifest.few_shot else ():
        fits = draw.fits
        rows += [_transduction_row(name, found, shots=fits.shots, seed=fits.seed) for name, found in fits.found.items()]
    if rows:
        yield TransductionRow, rows


def _transduction_row(
    method: str, found: BatchFound, *, shots: int | None = None, seed: int | None = None
) -> TransductionRow:
    columns: dict[str, Any] = {name: getattr(found, name) for name in BatchFound.model_fields}
    return TransductionRow(method=method, shots=shots, seed=seed, **columns)


def _prediction_table(
    predictions: Predictions, labels: "LabelTable", classes: ClassList, locations: dict[str, str]
) -> "pa.Table":
    import numpy as np
    import pyarrow as pa

    top_ids = predictions.top_ids.astype(np.int64)
    is_true = top_ids == labels.align(predictions)[:, None]
    true_probability = np.where(is_true, predictions.top_probabilities.astype(np.float64), 0.0).sum(axis=1)
    return pa.table(
        {
            **_best_class_columns(predictions, labels, classes),
            "top5": _lists(top_ids),
            "protocol": pa.repeat(predictions.protocol, len(predictions)),
            "location": _column_of(locations, predictions.image_ids),
            "true_probability": pa.array(true_probability, mask=~is_true.any(axis=1)),
        }
    )


def _best_class_columns(predictions: Predictions, labels: "LabelTable", classes: ClassList) -> dict[str, "pa.Array"]:
    """The best class of every image beside the true one."""
    import numpy as np
    import pyarrow as pa

    from coder_core.storage.tables import ids_to_arrow

    label_ids, first = labels.align(predictions), predictions.top_ids[:, 0].astype(np.int64)
    names = pa.array(classes.names, type=pa.string())
    return {
        "method": pa.repeat(predictions.method, len(predictions)),
        "image_id": ids_to_arrow(predictions.image_ids),
        "label": pa.array(label_ids),
        "label_name": names.take(pa.array(label_ids)),
        "predicted": pa.array(first),
        "predicted_name": names.take(pa.array(first)),
        "probability": pa.array(predictions.top_probabilities[:, 0].astype(np.float64)),
        "is_correct": pa.array(label_ids == first),
    }


def _locations(context: Context, manifest: RunManifest, part: str) -> dict[str, str]:
    """Where the images of a part are, without secrets; empty where they are no files."""
    if "location" not in context.columns(manifest.dataset.images):
        return {}
    listing = context.read_part(manifest.dataset.images, part, ["image_id", "location"])
    locations = redact_all(listing.column("location").to_pylist())
    return dict(zip(listing.column("image_id").to_pylist(), locations, strict=True))


def _column_of(locations: dict[str, str], image_ids: Sequence[str]) -> "pa.Array":
    import pyarrow as pa

    if not locations:
        return pa.nulls(len(image_ids), pa.string())
    return pa.array([locations.get(name) for name in image_ids], type=pa.string())


def _lists(matrix: "np.ndarray") -> "pa.ListArray":
    import numpy as np
    import pyarrow as pa

    offsets = np.arange(0, matrix.size + 1, matrix.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(matrix.reshape(-1)))


def _rerank_row(context: Context, method: MethodRecord, record: RerankRecord) -> RerankRow:
    """What happened, added up from the rows of every image."""
    import pyarrow.compute as pc

    table = context.read(method.predictions, ["gated", "changed", "pairs_wanted", "pairs_missing", "pairs_one_sided"])
    incomplete = pc.greater(pc.add(table.column("pairs_missing"), table.column("pairs_one_sided")), 0)
    sums = {name: int(pc.sum(table.column(name)).as_py() or 0) for name in table.column_names}
    return RerankRow(
        threshold=record.threshold.threshold,
        threshold_source=record.threshold.source,
        candidates=record.candidates,
        images=len(table),
        **sums,
        images_incomplete=int(pc.sum(incomplete).as_py() or 0),
        protocol=method.predictions.protocol,
    )


def _pair_rows(
    context: Context, texts: TextsArtifact, record: RerankRecord, classes: ClassList
) -> list[ConfusedPairRow]:
    class_ids, rival_ids, images_of = (
        column.to_pylist() for column in context.read_part(record.confused, PAIRS).columns
    )
    pairs = list(zip(class_ids, rival_ids, strict=True))
    texts_of = _texts_by_pair(context, texts, set(pairs))
    return [
        ConfusedPairRow(
            rank=rank,
            class_id=low,
            class_name=classes.names[low],
            rival_id=high,
            rival_name=classes.names[high],
            images=images,
            texts=texts_of.get((low, high), 0),
            rival_texts=texts_of.get((high, low), 0),
        )
        for rank, ((low, high), images) in enumerate(zip(pairs, images_of, strict=True))
    ]


def _texts_by_pair(context: Context, texts: TextsArtifact, wanted: Collection[ClassPair]) -> dict[ClassPair, int]:
    found: dict[ClassPair, int] = {}
    for row in read_text_table(context, texts):
        if row.kind is not TextKind.ONE_TO_ONE or row.rival_id is None:
            continue
        pair = (row.class_id, row.rival_id)
        if pair in wanted or pair[::-1] in wanted:
            found[pair] = found.get(pair, 0) + 1
    return found
