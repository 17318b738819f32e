"""Views of classes: the worst ones, pairs that are confused, gains, and what added classes took."""

from coder_core.results.schema.declaring import Column, View
from coder_core.results.schema.measures import ClassComparisonRow, ClassMetricRow
from coder_core.results.schema.views.common import NAMED_RUNS, RUN_COLUMNS, SIGNIFICANT, columns_of

RIVALS = 5
"""Classes that one is taken for, as a view lists them: most images first, then by class id."""

_MISTAKES = (
    "SELECT run_id, method, class_id, sum(count)::BIGINT AS wrong,\n"
    f"    list(predicted_name ORDER BY count DESC, predicted)[:{RIVALS}] AS taken_for,\n"
    f"    list(count ORDER BY count DESC, predicted)[:{RIVALS}] AS taken_for_counts\n"
    "  FROM confusions GROUP BY run_id, method, class_id"
)

WORST_CLASSES = View(
    "worst_classes",
    "One row per run, method and class that has images: how badly the method fares on it, and what it takes it for.",
    "SELECT named.*, fares.method,\n"
    "  row_number() OVER (\n"
    "    PARTITION BY run_id, fares.method ORDER BY fares.recall, fares.n DESC, fares.class_id) AS rank,\n"
    "  fares.class_id, fares.class_name, fares.n, fares.recall, fares.precision,\n"
    "  coalesce(mistakes.wrong, 0) AS wrong, coalesce(mistakes.taken_for, []) AS taken_for,\n"
    "  coalesce(mistakes.taken_for_counts, []) AS taken_for_counts,\n"
    "  fares.protocol\n"
    f"FROM class_metrics AS fares JOIN ({NAMED_RUNS}) AS named USING (run_id)\n"
    f"LEFT JOIN ({_MISTAKES}) AS mistakes USING (run_id, method, class_id)\n"
    "WHERE fares.recall IS NOT NULL",
    ("class_metrics", "confusions", "runs"),
    (
        *RUN_COLUMNS,
        *columns_of(ClassMetricRow, "method"),
        Column("rank", "BIGINT", "From 1, the lowest recall first; of equals the class with more images."),
        *columns_of(ClassMetricRow, "class_id", "class_name", "n", "recall", "precision"),
        Column("wrong", "BIGINT", "Images of this class that are taken for another one."),
        Column("taken_for", "VARCHAR[]", f"The classes that they are taken for, most images first; {RIVALS} at most."),
        Column("taken_for_counts", "BIGINT[]", "How many images each of these classes gets."),
        *columns_of(ClassMetricRow, "protocol"),
    ),
)

_PAIRS = (
    "SELECT run_id, method, least(class_id, predicted) AS class_id, greatest(class_id, predicted) AS other_id,\n"
    "    any_value(CASE WHEN class_id < predicted THEN class_name ELSE predicted_name END) AS class_name,\n"
    "    any_value(CASE WHEN class_id < predicted THEN predicted_name ELSE class_name END) AS other_name,\n"
    "    sum(count)::BIGINT AS images,\n"
    "    coalesce(sum(count) FILTER (class_id < predicted), 0)::BIGINT AS class_as_other,\n"
    "    coalesce(sum(count) FILTER (class_id > predicted), 0)::BIGINT AS other_as_class\n"
    "  FROM confusions GROUP BY run_id, method, 3, 4"
)

MOST_CONFUSED_PAIRS = View(
    "most_confused_pairs",
    "One row per run, method and pair of classes that it confuses, in either direction.",
    "SELECT named.*, pairs.method,\n"
    "  row_number() OVER (\n"
    "    PARTITION BY run_id, pairs.method ORDER BY pairs.images DESC, pairs.class_id, pairs.other_id) AS rank,\n"
    "  pairs.class_id, pairs.class_name, pairs.other_id, pairs.other_name, pairs.images, pairs.class_as_other,\n"
    "  pairs.other_as_class, pairs.images / nullif(one.n + other.n, 0) AS share\n"
    f"FROM ({_PAIRS}) AS pairs JOIN ({NAMED_RUNS}) AS named USING (run_id)\n"
    "LEFT JOIN class_metrics AS one ON one.run_id = pairs.run_id AND one.method = pairs.method\n"
    "  AND one.class_id = pairs.class_id\n"
    "LEFT JOIN class_metrics AS other ON other.run_id = pairs.run_id AND other.method = pairs.method\n"
    "  AND other.class_id = pairs.other_id",
    ("confusions", "class_metrics", "runs"),
    (
        *RUN_COLUMNS,
        *columns_of(ClassMetricRow, "method"),
        Column("rank", "BIGINT", "From 1, the pair with most images first."),
        Column("class_id", "BIGINT", "The class of the pair with the lower id."),
        *columns_of(ClassMetricRow, "class_name"),
        Column("other_id", "BIGINT", "The other one."),
        Column("other_name", "VARCHAR", "Its name."),
        Column("images", "BIGINT", "Images of either that are taken for the other, at least 1."),
        Column("class_as_other", "BIGINT", "Those of the first that are taken for the second."),
        Column("other_as_class", "BIGINT", "Those of the second that are taken for the first."),
        Column("share", "DOUBLE", "`images` as a share of all images of both, 0..1.", optional=True),
    ),
)

CLASS_GAINS = View(
    "class_gains",
    "One row per run, method and class that has images: what the method gains on it against the baseline, and whether "
    "chance explains it.",
    "SELECT named.*, versus.method, versus.baseline, versus.class_id, versus.class_name, versus.n,\n"
    "  versus.recall_baseline, versus.recall, versus.recall - versus.recall_baseline AS difference,\n"
    "  versus.gained, versus.lost, versus.p_value, versus.p_holm,\n"
    f"  CASE WHEN versus.p_holm < {SIGNIFICANT} AND versus.gained > versus.lost THEN 'gains'\n"
    f"    WHEN versus.p_holm < {SIGNIFICANT} AND versus.gained < versus.lost THEN 'loses'\n"
    "    ELSE 'undecided' END AS verdict,\n"
    "  versus.protocol\n"
    f"FROM class_comparisons AS versus JOIN ({NAMED_RUNS}) AS named USING (run_id)",
    ("class_comparisons", "runs"),
    (
        *RUN_COLUMNS,
        *columns_of(ClassComparisonRow, "method", "baseline", "class_id", "class_name", "n"),
        *columns_of(ClassComparisonRow, "recall_baseline", "recall"),
        Column("difference", "DOUBLE", "`recall` minus `recall_baseline`, -1..1."),
        *columns_of(ClassComparisonRow, "gained", "lost", "p_value", "p_holm"),
        Column("verdict", "VARCHAR", f"`gains` or `loses` where `p_holm` is below {SIGNIFICANT}, else `undecided`."),
        *columns_of(ClassComparisonRow, "protocol"),
    ),
)

_ADDED = (
    "WITH history AS (\n"
    "  SELECT run_id, lag(run_id) OVER (PARTITION BY name ORDER BY started_at, run_id) AS previous_run_id FROM runs),\n"
    "listed AS (SELECT DISTINCT run_id, class_name FROM class_metrics),\n"
    "added AS (\n"
    "  SELECT run_id, history.previous_run_id, listed.class_name FROM listed JOIN history USING (run_id)\n"
    "  WHERE history.previous_run_id IN (SELECT run_id FROM listed) AND NOT EXISTS (\n"
    "    SELECT 1 FROM listed AS earlier\n"
    "    WHERE earlier.run_id = history.previous_run_id AND earlier.class_name = listed.class_name)),\n"
    "fares AS (\n"
    "  SELECT run_id, method, class_name, added.previous_run_id, sum(n)::BIGINT AS n,\n"
    "    sum(recall * n) / nullif(sum(n), 0) AS recall\n"
    "  FROM class_metrics JOIN added USING (run_id, class_name) GROUP BY ALL),\n"
    "took AS (\n"
    "  SELECT now.run_id, now.method, now.predicted_name AS class_name, was.label_name, count(*) AS images\n"
    "  FROM predictions AS now JOIN added ON added.run_id = now.run_id AND added.class_name = now.predicted_name\n"
    "  JOIN predictions AS was ON was.run_id = added.previous_run_id AND was.method = now.method\n"
    "    AND was.image_id = now.image_id\n"
    "  WHERE was.is_correct AND NOT now.is_correct GROUP BY ALL),\n"
    "tallies AS (\n"
    "  SELECT run_id, method, class_name, sum(images)::BIGINT AS taken,\n"
    "    list(label_name ORDER BY images DESC, label_name) AS taken_from,\n"
    "    list(images ORDER BY images DESC, label_name) AS taken_from_counts FROM took GROUP BY ALL)"
)

ADDED_CLASSES = View(
    "added_classes",
    "One row per run, method and class that the previous run of the evaluation had not, by name: how it is recognised, "
    "and which images it took that were right before. A renamed class counts as added here (`coder-eval compare` knows "
    "better).",
    f"{_ADDED}\n"
    "SELECT named.*, fares.previous_run_id, fares.method, fares.class_name, fares.n, fares.recall,\n"
    "  CASE WHEN EXISTS (SELECT 1 FROM class_metrics AS was\n"
    "      WHERE was.run_id = fares.previous_run_id AND was.method = fares.method)\n"
    "    THEN coalesce(tallies.taken, 0) END AS taken,\n"
    "  coalesce(tallies.taken_from, []) AS taken_from, coalesce(tallies.taken_from_counts, []) AS taken_from_counts\n"
    f"FROM fares JOIN ({NAMED_RUNS}) AS named USING (run_id)\n"
    "LEFT JOIN tallies USING (run_id, method, class_name)",
    ("class_metrics", "predictions", "runs"),
    (
        *RUN_COLUMNS,
        Column("previous_run_id", "VARCHAR", "The run of the same evaluation before it."),
        *columns_of(ClassMetricRow, "method"),
        Column("class_name", "VARCHAR", "Name of the added class."),
        Column("n", "BIGINT", "Its images."),
        Column("recall", "DOUBLE", "Share of them that are found, 0..1; null without images.", optional=True),
        Column(
            "taken",
            "BIGINT",
            "Images of both runs that were right in the previous one and are now wrongly taken for it; null where the "
            "previous run had not this method.",
            optional=True,
        ),
        Column("taken_from", "VARCHAR[]", "The classes of these images, most images first, then by name."),
        Column("taken_from_counts", "BIGINT[]", "How many images of each."),
    ),
    rows_of="previous",
)
