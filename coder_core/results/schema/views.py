"""Views beside the tables: questions that analysts ask again and again, with a name."""

from coder_core.results.schema.declaring import View

_LATEST_RUNS = "SELECT arg_max(run_id, (started_at, run_id)) FROM runs GROUP BY name"

LATEST_METRICS = View(
    "latest_metrics",
    "The rows of `metrics` of the run of each evaluation that was started last, with the evaluation's name.",
    "SELECT run_id, runs.name, runs.dataset, runs.encoder, metrics.* EXCLUDE (run_id)\n"
    f"FROM metrics JOIN runs USING (run_id) WHERE run_id IN ({_LATEST_RUNS})",
    ("metrics", "runs"),
)
LATEST_PREDICTIONS = View(
    "latest_predictions",
    "The rows of `predictions` of the run of each evaluation that was started last, with the evaluation's name.",
    "SELECT run_id, runs.name, runs.dataset, runs.encoder, predictions.* EXCLUDE (run_id)\n"
    f"FROM predictions JOIN runs USING (run_id) WHERE run_id IN ({_LATEST_RUNS})",
    ("predictions", "runs"),
)
COSTS = View(
    "costs",
    "One row per run and kind of text that a language model was asked for, with calls, tokens and dollars where they "
    "are known; a run that asked for none has one row without a kind. Seconds and embedded texts and images are the "
    "run's, and the same in each of its rows.",
    "SELECT run_id, runs.name, runs.started_at,\n"
    "  date_diff('microsecond', runs.started_at, runs.finished_at) / 1e6 AS seconds,\n"
    "  runs.texts_embedded, runs.texts_reused, runs.images_embedded, runs.images_reused,\n"
    "  spent.kind, spent.asked, spent.generated + spent.failed AS calls, spent.prompt_tokens,\n"
    "  spent.completion_tokens, spent.cost_usd\n"
    "FROM runs LEFT JOIN generation AS spent USING (run_id)",
    ("runs", "generation"),
)
