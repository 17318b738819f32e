"""What an evaluation found, small enough to be handed on: numbers for people; everything else is in the tables."""

from datetime import datetime

from coder_core.pipeline.artifact_handle import Handle
from coder_core.pipeline.step import StepRecord
from coder_core.results.schema import ComparisonRow, FewShotSummaryRow, MetricRow


class EvalResult(Handle):
    """What an evaluation found, and what it cost.

    Attributes:
        run_id: The run.
        name: The evaluation.
        store: Where its tables are.
        metrics: Every method's numbers.
        comparisons: Every method against the baseline.
        few_shot: Means over draws.
        has_ablation: Whether the text ablation is in the tables.
        texts_embedded: In this run.
        texts_reused: Found in the ledger.
        images_embedded: In this run.
        images_reused: Found in the ledger.
        images_quarantined: Images that could not be read.
        images_ignored: Files under class folders that are no images.
        class_count: Classes.
        image_count: Images classified.
        started_at: UTC.
        seconds: From start to publication.
        records: What every step did.
        notes: What to know about the numbers, one line each: texts that are missing, classes that are alike.
    """

    run_id: str
    name: str
    store: str
    metrics: tuple[MetricRow, ...]
    comparisons: tuple[ComparisonRow, ...]
    few_shot: tuple[FewShotSummaryRow, ...]
    has_ablation: bool
    texts_embedded: int
    texts_reused: int
    images_embedded: int
    images_reused: int
    images_quarantined: int
    images_ignored: int
    class_count: int
    image_count: int
    started_at: datetime
    seconds: float
    records: tuple[StepRecord, ...]
    notes: tuple[str, ...] = ()
