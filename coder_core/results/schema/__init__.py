"""Every result table, documented in this one place: one frozen dataclass per table, and the views beside them.

`coder-eval tables` and docs/tables.md print it, `arrow_rows` checks every written row against it, and `warehouse` types
its views by it. Times are UTC. A column that may be null says so in its type (`float | None`); a column that is younger
than a run is null in the rows of that run, whatever its type says.
"""

from coder_core.errors import StoreError
from coder_core.results.schema.declaring import (
    IS_LATEST,
    RUN_COLUMN,
    RUN_ID,
    Column,
    ColumnType,
    RowClass,
    Table,
    View,
    declared_table,
    result_table,
)
from coder_core.results.schema.few_shot import (
    AblationRow,
    FewShotPredictionRow,
    FewShotReliabilityRow,
    FewShotRow,
    FewShotSummaryRow,
)
from coder_core.results.schema.measures import (
    ClassComparisonRow,
    ClassMetricRow,
    ComparisonRow,
    ConfusionComparisonRow,
    ConfusionRow,
    MetricRow,
    PredictionRow,
    ReliabilityRow,
)
from coder_core.results.schema.row_parts import ReliabilityBin
from coder_core.results.schema.runs import ArtifactRow, IgnoredRow, QuarantineRow, RunRow, TimingRow
from coder_core.results.schema.texts import (
    ConfusedPairRow,
    GenerationRow,
    PairBudgetRow,
    RerankRow,
    TextRow,
    ThresholdRow,
)
from coder_core.results.schema.transductions import TransductionRow
from coder_core.results.schema.views import VIEWS

__all__ = [
    "IS_LATEST",
    "RUNS",
    "RUN_COLUMN",
    "RUN_ID",
    "TABLES",
    "VIEWS",
    "AblationRow",
    "ArtifactRow",
    "ClassComparisonRow",
    "ClassMetricRow",
    "Column",
    "ColumnType",
    "ComparisonRow",
    "ConfusedPairRow",
    "ConfusionComparisonRow",
    "ConfusionRow",
    "FewShotPredictionRow",
    "FewShotReliabilityRow",
    "FewShotRow",
    "FewShotSummaryRow",
    "GenerationRow",
    "IgnoredRow",
    "MetricRow",
    "PairBudgetRow",
    "PredictionRow",
    "QuarantineRow",
    "ReliabilityBin",
    "ReliabilityRow",
    "RerankRow",
    "RowClass",
    "RunRow",
    "Table",
    "TextRow",
    "ThresholdRow",
    "TimingRow",
    "TransductionRow",
    "View",
    "result_table",
    "table_of",
]

TABLES: dict[str, Table] = {
    table.name: table
    for table in map(
        declared_table,
        (
            RunRow,
            MetricRow,
            ComparisonRow,
            PredictionRow,
            ClassMetricRow,
            ConfusionRow,
            ClassComparisonRow,
            ConfusionComparisonRow,
            ReliabilityRow,
            TextRow,
            GenerationRow,
            TimingRow,
            ArtifactRow,
            RerankRow,
            ThresholdRow,
            ConfusedPairRow,
            PairBudgetRow,
            TransductionRow,
            FewShotRow,
            FewShotSummaryRow,
            FewShotPredictionRow,
            FewShotReliabilityRow,
            AblationRow,
            QuarantineRow,
            IgnoredRow,
        ),
    )
}
"""Every result table by name, in the order in which people are shown them."""
RUNS = declared_table(RunRow).name


def table_of(table: RowClass | str) -> Table:
    """Return a result table by its name or by the class of its rows.

    Raises:
        StoreError: When there is no such table.
    """
    if not isinstance(table, str):
        return declared_table(table)
    if table not in TABLES:
        raise StoreError(f"There is no result table {table!r}.", remedy=f"The tables are: {', '.join(TABLES)}.")
    return TABLES[table]
