"""Views of runs: the latest of each evaluation, and what each run cost."""

from coder_core.results.schema.declaring import Column, View
from coder_core.results.schema.runs import RunRow
from coder_core.results.schema.texts import GenerationRow
from coder_core.results.schema.views.common import NAMED_RUNS, RUN_COLUMNS, columns_of

_SECONDS_SQL = "date_diff('microsecond', runs.started_at, runs.finished_at) / 1e6 AS seconds"
_SECONDS = Column("seconds", "DOUBLE", "From its start to its publication.")
_CALLS = Column("calls", "BIGINT", "Questions that a model was asked in this run, answered or not.")

LATEST_RUNS = View(
    "latest_runs",
    "One row per evaluation: its run that was started last, beside the run before it.",
    f"SELECT run_id, name, started_at, {_SECONDS_SQL},\n"
    "  dataset, encoder, class_count, image_count, text_count, best_method, best_top1,\n"
    "  lag(run_id) OVER history AS previous_run_id, best_top1 - lag(best_top1) OVER history AS change,\n"
    "  count(*) OVER (PARTITION BY name) AS run_count\n"
    "FROM runs WINDOW history AS (PARTITION BY name ORDER BY started_at, run_id)\n"
    "QUALIFY run_id = arg_max(run_id, (started_at, run_id)) OVER (PARTITION BY name)",
    ("runs",),
    (
        *columns_of(RunRow, "run_id", "name", "started_at"),
        _SECONDS,
        *columns_of(RunRow, "dataset", "encoder", "class_count", "image_count", "text_count"),
        *columns_of(RunRow, "best_method", "best_top1"),
        Column("previous_run_id", "VARCHAR", "The run of the same evaluation before it.", optional=True),
        Column("change", "DOUBLE", "`best_top1` minus that of the previous run, -1..1.", optional=True),
        Column("run_count", "BIGINT", "Runs of the evaluation so far."),
    ),
    rows_of="all",
)

_SPENT = (
    "SELECT run_id, sum(generated + failed)::BIGINT AS calls, sum(prompt_tokens)::BIGINT AS prompt_tokens,\n"
    "    sum(completion_tokens)::BIGINT AS completion_tokens, sum(cost_usd) AS cost_usd,\n"
    "    bool_or(generated + failed > 0 AND cost_usd IS NULL) AS is_unknown FROM generation GROUP BY run_id"
)

RUN_COSTS = View(
    "run_costs",
    "One row per run: what it found, how long it took, and what it cost.",
    "SELECT named.*, runs.dataset, runs.encoder, runs.class_count, runs.image_count,\n"
    f"  runs.best_method, runs.best_top1, {_SECONDS_SQL},\n"
    "  runs.texts_embedded, runs.images_embedded, coalesce(spent.calls, 0) AS calls,\n"
    "  spent.prompt_tokens, spent.completion_tokens,\n"
    "  CASE WHEN runs.engine IS NULL OR spent.is_unknown THEN NULL ELSE coalesce(spent.cost_usd, 0) END AS cost_usd\n"
    f"FROM runs JOIN ({NAMED_RUNS}) AS named USING (run_id)\n"
    f"LEFT JOIN ({_SPENT}) AS spent USING (run_id)",
    ("runs", "generation"),
    (
        *RUN_COLUMNS,
        *columns_of(RunRow, "dataset", "encoder", "class_count", "image_count", "best_method", "best_top1"),
        _SECONDS,
        *columns_of(RunRow, "texts_embedded", "images_embedded"),
        _CALLS,
        *columns_of(GenerationRow, "prompt_tokens", "completion_tokens"),
        Column(
            "cost_usd",
            "DOUBLE",
            "What language models took for this run, in US dollars: 0 where none was asked, null where a price is "
            "unknown, or the run is older than the table `generation`.",
            optional=True,
        ),
    ),
)

COSTS = View(
    "costs",
    "One row per run and kind of text that a language model was asked for, with calls, tokens and dollars where they "
    "are known; a run that asked for none has one row without a kind. Seconds and embedded texts and images are the "
    "run's, and the same in each of its rows.",
    f"SELECT run_id, runs.name, runs.started_at,\n  {_SECONDS_SQL},\n"
    "  runs.texts_embedded, runs.texts_reused, runs.images_embedded, runs.images_reused,\n"
    "  spent.kind, spent.asked, spent.generated + spent.failed AS calls, spent.prompt_tokens,\n"
    "  spent.completion_tokens, spent.cost_usd\n"
    "FROM runs LEFT JOIN generation AS spent USING (run_id)",
    ("runs", "generation"),
    (
        *columns_of(RunRow, "run_id", "name", "started_at"),
        _SECONDS,
        *columns_of(RunRow, "texts_embedded", "texts_reused", "images_embedded", "images_reused"),
        *columns_of(GenerationRow, "kind", "asked"),
        _CALLS,
        *columns_of(GenerationRow, "prompt_tokens", "completion_tokens", "cost_usd"),
    ),
)
