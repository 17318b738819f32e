"""Views of images: what every method says about each, side by side, and which are wrong whoever is asked."""

from coder_core.results.schema.declaring import Column, View, declared_table
from coder_core.results.schema.measures import PredictionRow
from coder_core.results.schema.runs import RunRow
from coder_core.results.schema.views.common import LATEST_RUN_IDS, NAMED_RUNS, RUN_COLUMNS, columns_of, names_of

CONTROL_PREFIX = "control_"
"""Before the name of a control: a method on texts that lost their meaning, whose answers say nothing of an image."""

LATEST_PREDICTIONS = View(
    "latest_predictions",
    "The rows of `predictions` of the run of each evaluation that was started last, with the evaluation's name.",
    "SELECT run_id, runs.name, runs.dataset, runs.encoder,\n"
    f"  {names_of(PredictionRow, 'predictions')}\n"
    f"FROM predictions JOIN runs USING (run_id) WHERE run_id IN ({LATEST_RUN_IDS})",
    ("predictions", "runs"),
    (*columns_of(RunRow, "run_id", "name", "dataset", "encoder"), *declared_table(PredictionRow).columns[1:]),
    rows_of="latest",
)

_MOST_SHOTS = "SELECT run_id, max((shots, -seed)) AS most FROM few_shot_predictions GROUP BY run_id"
_ANSWERS = (
    "SELECT run_id, method, image_id, location, label, label_name, predicted_name, probability, is_correct\n"
    "  FROM predictions\n"
    "  UNION ALL\n"
    "  SELECT run_id, method || '@' || shots, image_id, NULL, label, label_name, predicted_name, probability,\n"
    "    is_correct\n"
    f"  FROM few_shot_predictions JOIN ({_MOST_SHOTS}) USING (run_id) WHERE (shots, -seed) = most"
)

IMAGE_PREDICTIONS = View(
    "image_predictions",
    "One row per run and image: where it is, what it shows, and what every method says, side by side. "
    "`predicted['coder']` is CODER's answer; a few-shot method is there with most shots, first draw: "
    "`predicted['tip_adapter@16']`.",
    "SELECT named.*, sides.* EXCLUDE (run_id)\n"
    "FROM (\n"
    "  SELECT run_id, image_id, any_value(location) AS location, any_value(label) AS label,\n"
    "    any_value(label_name) AS label_name, count(*) AS methods, count(*) FILTER (is_correct) AS methods_right,\n"
    "    map(list(method ORDER BY method), list(predicted_name ORDER BY method)) AS predicted,\n"
    "    map(list(method ORDER BY method), list(probability ORDER BY method)) AS probability,\n"
    "    map(list(method ORDER BY method), list(is_correct ORDER BY method)) AS is_correct\n"
    f"  FROM ({_ANSWERS}) GROUP BY run_id, image_id\n"
    f") AS sides JOIN ({NAMED_RUNS}) AS named USING (run_id)",
    ("predictions", "few_shot_predictions", "runs"),
    (
        *RUN_COLUMNS,
        *columns_of(PredictionRow, "image_id", "location", "label", "label_name"),
        Column("methods", "BIGINT", "Methods that say something about it, controls, too."),
        Column("methods_right", "BIGINT", "Those of them that are right; 0 where the image has no label."),
        Column("predicted", "MAP(VARCHAR, VARCHAR)", "Method -> name of the class that it predicts."),
        Column("probability", "MAP(VARCHAR, DOUBLE)", "Method -> its probability of that class, 0..1, or null."),
        Column("is_correct", "MAP(VARCHAR, BOOLEAN)", "Method -> whether it is right, or null without a label."),
    ),
)

_VOTES = (
    "SELECT run_id, image_id, predicted, any_value(location) AS location, any_value(label) AS label,\n"
    "    any_value(label_name) AS label_name, any_value(predicted_name) AS predicted_name, count(*) AS votes,\n"
    "    max(probability) AS probability, count(*) FILTER (NOT is_correct) AS wrong\n"
    "  FROM (\n"
    "    SELECT run_id, image_id, predicted, location, label, label_name, predicted_name, probability, is_correct\n"
    f"    FROM predictions WHERE NOT starts_with(method, '{CONTROL_PREFIX}')\n"
    "    UNION ALL\n"
    "    SELECT run_id, image_id, predicted, NULL, label, label_name, predicted_name, probability, is_correct\n"
    "    FROM few_shot_predictions\n"
    "  ) GROUP BY run_id, image_id, predicted"
)

IMAGES_WRONG_EVERYWHERE = View(
    "images_wrong_everywhere",
    "One row per run and labelled image that no method gets right, controls left out, few-shot methods in every draw: "
    "images that are hard, or whose label is wrong (all agree, and are sure).",
    "SELECT named.*, hard.* EXCLUDE (run_id)\n"
    "FROM (\n"
    "  SELECT run_id, image_id, any_value(location) AS location, any_value(label) AS label,\n"
    "    any_value(label_name) AS label_name, sum(votes)::BIGINT AS answers,\n"
    "    list(predicted_name ORDER BY votes DESC, predicted) AS taken_for,\n"
    "    list(votes ORDER BY votes DESC, predicted) AS taken_for_counts,\n"
    "    max(votes) / sum(votes) AS agreement, max(probability) AS highest_probability\n"
    f"  FROM ({_VOTES}) GROUP BY run_id, image_id HAVING sum(votes) = sum(wrong)\n"
    f") AS hard JOIN ({NAMED_RUNS}) AS named USING (run_id)",
    ("predictions", "few_shot_predictions", "runs"),
    (
        *RUN_COLUMNS,
        *columns_of(PredictionRow, "image_id", "location", "label", "label_name"),
        Column("answers", "BIGINT", "Answers about it: one per method, and per few-shot method, shots and draw."),
        Column("taken_for", "VARCHAR[]", "The classes that it is taken for, most answers first, then by class id."),
        Column("taken_for_counts", "BIGINT[]", "How many answers each of these classes has."),
        Column("agreement", "DOUBLE", "Share of the answers that name the most frequent of them, 0..1."),
        Column("highest_probability", "DOUBLE", "The highest probability that a wrong answer has.", optional=True),
    ),
)
