"""Views of methods: against the baseline, over time, and what each kind of text earned."""

from coder_core.results.schema.declaring import Column, View, declared_table
from coder_core.results.schema.few_shot import AblationRow
from coder_core.results.schema.measures import ComparisonRow, MetricRow
from coder_core.results.schema.runs import RunRow
from coder_core.results.schema.views.common import (
    LATEST_RUN_IDS,
    NAMED_RUNS,
    RUN_COLUMNS,
    SIGNIFICANT,
    columns_of,
    names_of,
)

LATEST_METRICS = View(
    "latest_metrics",
    "The rows of `metrics` of the run of each evaluation that was started last, with the evaluation's name.",
    "SELECT run_id, runs.name, runs.dataset, runs.encoder,\n"
    f"  {names_of(MetricRow, 'metrics')}\n"
    f"FROM metrics JOIN runs USING (run_id) WHERE run_id IN ({LATEST_RUN_IDS})",
    ("metrics", "runs"),
    (*columns_of(RunRow, "run_id", "name", "dataset", "encoder"), *declared_table(MetricRow).columns[1:]),
    rows_of="latest",
)

_VERDICT = (
    "CASE WHEN versus.p_value IS NOT NULL AND versus.p_holm IS NULL THEN NULL\n"
    f"    WHEN coalesce(versus.p_holm < {SIGNIFICANT}, versus.ci_low > 0 OR versus.ci_high < 0)\n"
    "    THEN CASE WHEN versus.difference > 0 THEN 'better' ELSE 'worse' END ELSE 'undecided' END AS verdict"
)

METHOD_GAINS = View(
    "method_gains",
    "One row per run, method and accuracy: the method against its baseline, and whether chance explains the "
    "difference.",
    "SELECT named.*, versus.method, versus.baseline, versus.metric, own.value, base.value AS baseline_value,\n"
    "  versus.difference, versus.ci_low, versus.ci_high, versus.gained, versus.lost, versus.p_value, versus.p_holm,\n"
    f"  {_VERDICT},\n"
    "  versus.n, versus.protocol, versus.reads_labels, versus.reads_unlabelled_images, versus.assumes_balance,\n"
    "  versus.reads_texts, versus.controls\n"
    f"FROM comparisons AS versus JOIN ({NAMED_RUNS}) AS named USING (run_id)\n"
    "LEFT JOIN metrics AS own ON own.run_id = versus.run_id AND own.metric = versus.metric\n"
    "  AND own.method = versus.method\n"
    "LEFT JOIN metrics AS base ON base.run_id = versus.run_id AND base.metric = versus.metric\n"
    "  AND base.method = versus.baseline",
    ("comparisons", "metrics", "runs"),
    (
        *RUN_COLUMNS,
        *columns_of(ComparisonRow, "method", "baseline", "metric"),
        Column("value", "DOUBLE", "The method's accuracy, 0..1.", optional=True),
        Column("baseline_value", "DOUBLE", "The baseline's, 0..1.", optional=True),
        *columns_of(ComparisonRow, "difference", "ci_low", "ci_high", "gained", "lost", "p_value", "p_holm"),
        Column(
            "verdict",
            "VARCHAR",
            f"`better` or `worse` where `p_holm` is below {SIGNIFICANT} (for a mean over classes: where the interval "
            "leaves out 0), else `undecided`; null where p is not corrected, as for a control against a method that it "
            "does not control.",
            optional=True,
        ),
        *columns_of(ComparisonRow, "n", "protocol", "reads_labels", "reads_unlabelled_images", "assumes_balance"),
        *columns_of(ComparisonRow, "reads_texts", "controls"),
    ),
)

_SETS = (
    "SELECT run_id, kinds, regexp_replace(kinds, '[+]?[^+]*$', '') AS fewer, max(n) AS n, avg(top1) AS top1,\n"
    "    avg(mean_texts) AS mean_texts FROM ablation WHERE texts_per_class IS NULL GROUP BY run_id, kinds"
)

TEXT_KIND_GAINS = View(
    "text_kind_gains",
    "One row per run and kind of text, in the order of the text ablation: what CODER gains when this kind is added to "
    "the kinds before it.",
    f"WITH sets AS ({_SETS})\n"
    "SELECT named.*, split_part(sets.kinds, '+', -1) AS kind, sets.kinds,\n"
    "  sets.mean_texts - fewer.mean_texts AS texts_added, fewer.top1 AS top1_without, sets.top1,\n"
    "  sets.top1 - fewer.top1 AS earned, sets.n\n"
    f"FROM sets JOIN ({NAMED_RUNS}) AS named USING (run_id)\n"
    "LEFT JOIN sets AS fewer ON fewer.run_id = sets.run_id AND fewer.kinds = sets.fewer",
    ("ablation", "runs"),
    (
        *RUN_COLUMNS,
        Column("kind", "VARCHAR", "The kind that is added; with `one_to_one`, the rerank is."),
        *columns_of(AblationRow, "kinds"),
        Column("texts_added", "DOUBLE", "Descriptive texts per class that it adds, on average.", optional=True),
        Column("top1_without", "DOUBLE", "Top-1 accuracy without it, 0..1; null for the first kind.", optional=True),
        Column("top1", "DOUBLE", "Top-1 accuracy with it, all texts counting, 0..1."),
        Column("earned", "DOUBLE", "The difference, -1..1.", optional=True),
        *columns_of(AblationRow, "n"),
    ),
)

_WATCHED = {
    "dataset_key": "images",
    "labels_key": "labels",
    "encoder_key": "encoder",
    "texts_key": "texts",
    "code_version": "code",
    "device": "device",
}
"""Columns of `runs` that may differ between runs of one spec, and what such a difference is called."""
_CHANGED = ", ".join(
    f"CASE WHEN {column} <> lag({column}) OVER past THEN '{word}' END" for column, word in _WATCHED.items()
)

RUN_DRIFT = View(
    "run_drift",
    "One row per run, method and metric where an earlier run had the same specification: how far the value has moved "
    "since the last of them, and what else has changed. A version of this package that adds a setting begins a new "
    "specification.",
    "SELECT named.*, moved.* EXCLUDE (run_id)\n"
    "FROM (\n"
    "  SELECT run_id, runs.spec_key, metrics.method, metrics.metric, lag(run_id) OVER past AS previous_run_id,\n"
    "    lag(metrics.value) OVER past AS previous_value, metrics.value,\n"
    "    metrics.value - lag(metrics.value) OVER past AS change,\n"
    "    metrics.value < lag(metrics.ci_low) OVER past OR metrics.value > lag(metrics.ci_high) OVER past\n"
    "      AS is_outside,\n"
    f"    list_filter([{_CHANGED}],\n"
    "      lambda word: word IS NOT NULL) AS changed\n"
    "  FROM metrics JOIN runs USING (run_id)\n"
    "  WINDOW past AS (\n"
    "    PARTITION BY runs.spec_key, metrics.method, metrics.metric ORDER BY runs.started_at, run_id)\n"
    f") AS moved JOIN ({NAMED_RUNS}) AS named USING (run_id) WHERE previous_run_id IS NOT NULL",
    ("metrics", "runs"),
    (
        *RUN_COLUMNS,
        *columns_of(RunRow, "spec_key"),
        *columns_of(MetricRow, "method", "metric"),
        Column("previous_run_id", "VARCHAR", "The run of the same specification before it."),
        Column("previous_value", "DOUBLE", "The value then."),
        *columns_of(MetricRow, "value"),
        Column("change", "DOUBLE", "The value minus that of the previous run."),
        Column(
            "is_outside",
            "BOOLEAN",
            "Whether the value has left the 95 % interval of the previous run; null where that has none.",
            optional=True,
        ),
        Column(
            "changed",
            "VARCHAR[]",
            f"What differs between the two runs, of {', '.join(f'`{word}`' for word in _WATCHED.values())}; what an "
            "older run does not say is not in it.",
        ),
    ),
    rows_of="all",
)
