"""Questions that analysts ask, with the SQL that answers each: `coder-eval query --example NAME`, docs/questions.md.

Each stands here twice: by a named view, and as it had to be written over the tables alone. A test compares the answers.
"""

import difflib
from collections.abc import Iterator
from typing import NamedTuple

from coder_core.errors import QueryError

__all__ = ["EXAMPLES", "Example", "find_example", "list_examples"]

WHICH = "{which}"
"""The place in the SQL for the condition on runs."""
_LATEST = "is_latest"
_LATEST_BY_HAND = "run_id IN (SELECT arg_max(run_id, (started_at, run_id)) FROM runs GROUP BY name)"


class Example(NamedTuple):
    """A question.

    Args:
        name: On the command line.
        question: In English.
        by_view: The SQL by a named view, with `{which}` for the condition on runs where it is about single runs.
        by_hand: The same over tables.
    """

    name: str
    question: str
    by_view: str
    by_hand: str

    @property
    def is_about_runs(self) -> bool:
        """Whether it may be asked of one run."""
        return WHICH in self.by_view

    def sql(self, run_id: str | None = None) -> str:
        """The SQL by a view, about the latest run of each evaluation, or about one run."""
        return self.by_view.replace(WHICH, _LATEST if run_id is None else f"run_id = '{run_id}'")

    def sql_by_hand(self) -> str:
        """The SQL over tables, about the latest run of each evaluation."""
        return self.by_hand.replace(WHICH, _LATEST_BY_HAND)


_ALL = (
    Example(
        "latest-runs",
        "What is the newest result of every evaluation, and did it get better?",
        "SELECT name, started_at, dataset, encoder, best_method, best_top1, change\nFROM latest_runs ORDER BY name",
        """\
SELECT name, started_at, dataset, encoder, best_method, best_top1,
  best_top1 - (SELECT arg_max(b.best_top1, (b.started_at, b.run_id)) FROM runs AS b
    WHERE b.name = a.name AND (b.started_at, b.run_id) < (a.started_at, a.run_id)) AS change
FROM runs AS a WHERE {which} ORDER BY name""",
    ),
    Example(
        "methods",
        "Which methods beat the baseline, by how much, and may that be chance?",
        """\
SELECT name, method, baseline, value, difference, ci_low, ci_high, p_holm, verdict
FROM method_gains WHERE {which} AND metric = 'top1' ORDER BY name, baseline, value DESC, method""",
        """\
SELECT runs.name, c.method, c.baseline, m.value, c.difference, c.ci_low, c.ci_high, c.p_holm,
  CASE WHEN c.p_holm IS NULL THEN NULL WHEN c.p_holm >= 0.05 THEN 'undecided'
    WHEN c.difference > 0 THEN 'better' ELSE 'worse' END AS verdict
FROM comparisons AS c JOIN runs USING (run_id)
JOIN metrics AS m ON m.run_id = c.run_id AND m.method = c.method AND m.metric = c.metric
WHERE c.{which} AND c.metric = 'top1' ORDER BY runs.name, c.baseline, m.value DESC, c.method""",
    ),
    Example(
        "worst-classes",
        "Which ten classes does CODER recognise worst, and what does it take them for?",
        """\
SELECT name, class_name, n, recall, taken_for, taken_for_counts
FROM worst_classes WHERE {which} AND method = 'coder' AND rank <= 10 ORDER BY name, rank""",
        """\
SELECT runs.name, c.class_name, c.n, c.recall,
  coalesce((SELECT list(predicted_name ORDER BY count DESC, predicted) FROM confusions AS f
    WHERE f.run_id = c.run_id AND f.method = c.method AND f.class_id = c.class_id), [])[:5] AS taken_for,
  coalesce((SELECT list(count ORDER BY count DESC, predicted) FROM confusions AS f
    WHERE f.run_id = c.run_id AND f.method = c.method AND f.class_id = c.class_id), [])[:5] AS taken_for_counts
FROM class_metrics AS c JOIN runs USING (run_id)
WHERE c.{which} AND c.method = 'coder' AND c.n > 0
QUALIFY row_number() OVER (PARTITION BY c.run_id ORDER BY c.recall, c.n DESC, c.class_id) <= 10
ORDER BY runs.name, c.recall, c.n DESC, c.class_id""",
    ),
    Example(
        "confused-pairs",
        "Which ten pairs of classes does CODER confuse most, in which direction?",
        """\
SELECT name, class_name, other_name, images, class_as_other, other_as_class, share
FROM most_confused_pairs WHERE {which} AND method = 'coder' AND rank <= 10 ORDER BY name, rank""",
        """\
WITH pairs AS (
  SELECT run_id, method, least(label, predicted) AS one, greatest(label, predicted) AS other, count(*) AS images,
    count(*) FILTER (label < predicted) AS class_as_other, count(*) FILTER (label > predicted) AS other_as_class
  FROM predictions WHERE {which} AND method = 'coder' AND label <> predicted GROUP BY ALL)
SELECT runs.name, a.class_name, b.class_name AS other_name, images, class_as_other, other_as_class,
  images / (a.n + b.n) AS share
FROM pairs JOIN runs USING (run_id)
JOIN class_metrics AS a ON a.run_id = pairs.run_id AND a.method = pairs.method AND a.class_id = one
JOIN class_metrics AS b ON b.run_id = pairs.run_id AND b.method = pairs.method AND b.class_id = other
QUALIFY row_number() OVER (PARTITION BY pairs.run_id ORDER BY images DESC, one, other) <= 10
ORDER BY runs.name, images DESC, one, other""",
    ),
    Example(
        "text-kinds",
        "What did each kind of text earn, added to those before it?",
        """\
SELECT name, kind, texts_added, top1_without, top1, earned
FROM text_kind_gains WHERE {which} ORDER BY name, length(kinds)""",
        """\
WITH sets AS (
  SELECT run_id, kinds, avg(top1) AS top1, avg(mean_texts) AS texts
  FROM ablation WHERE {which} AND texts_per_class IS NULL GROUP BY ALL)
SELECT runs.name, list_last(string_split(a.kinds, '+')) AS kind, a.texts - b.texts AS texts_added,
  b.top1 AS top1_without, a.top1, a.top1 - b.top1 AS earned
FROM sets AS a JOIN runs USING (run_id)
LEFT JOIN sets AS b ON b.run_id = a.run_id AND a.kinds = b.kinds || '+' || list_last(string_split(a.kinds, '+'))
ORDER BY runs.name, length(a.kinds)""",
    ),
    Example(
        "wrong-everywhere",
        "Which images are wrong under every method? Where all agree and are sure, look at the label.",
        """\
SELECT name, image_id, label_name, taken_for[1] AS taken_for, agreement, highest_probability, location
FROM images_wrong_everywhere WHERE {which}
ORDER BY agreement DESC, highest_probability DESC, name, image_id LIMIT 20""",
        """\
WITH answers AS (
  SELECT run_id, image_id, location, label_name, predicted, predicted_name, probability, is_correct
  FROM predictions WHERE {which} AND method NOT LIKE 'control%'
  UNION ALL
  SELECT run_id, image_id, NULL, label_name, predicted, predicted_name, probability, is_correct
  FROM few_shot_predictions WHERE {which}),
votes AS (
  SELECT run_id, image_id, predicted, any_value(predicted_name) AS predicted_name, count(*) AS n
  FROM answers GROUP BY ALL),
hard AS (
  SELECT run_id, image_id, any_value(label_name) AS label_name, any_value(location) AS location, count(*) AS answers,
    max(probability) AS highest_probability
  FROM answers GROUP BY ALL HAVING bool_and(NOT is_correct))
SELECT runs.name, hard.image_id, hard.label_name, arg_max(predicted_name, (n, -predicted)) AS taken_for,
  max(n) / answers AS agreement, hard.highest_probability, hard.location
FROM hard JOIN votes USING (run_id, image_id) JOIN runs USING (run_id)
GROUP BY name, hard.image_id, label_name, answers, highest_probability, location
ORDER BY agreement DESC, highest_probability DESC, name, image_id LIMIT 20""",
    ),
    Example(
        "class-gains",
        "On which classes does CODER gain or lose against the baseline, beyond chance?",
        """\
SELECT name, class_name, n, recall_baseline, recall, gained, lost, p_holm, verdict
FROM class_gains WHERE {which} AND method = 'coder' AND verdict <> 'undecided' ORDER BY name, difference, class_name""",
        """\
SELECT runs.name, class_name, n, recall_baseline, recall, gained, lost, p_holm,
  CASE WHEN gained > lost THEN 'gains' ELSE 'loses' END AS verdict
FROM class_comparisons JOIN runs USING (run_id)
WHERE {which} AND method = 'coder' AND p_holm < 0.05 AND gained <> lost
ORDER BY runs.name, recall - recall_baseline, class_name""",
    ),
    Example(
        "drift",
        "Has a repeated evaluation moved, and what changed beside it?",
        """\
SELECT name, started_at, method, previous_value, value, change, is_outside, changed
FROM run_drift WHERE {which} AND metric = 'top1' ORDER BY name, started_at, method""",
        """\
WITH own AS (SELECT * FROM metrics JOIN runs USING (run_id) WHERE metric = 'top1'),
pairs AS (
  SELECT a.*, b.value AS previous_value, b.ci_low AS low, b.ci_high AS high,
    [CASE WHEN a.dataset_key <> b.dataset_key THEN 'images' END,
     CASE WHEN a.labels_key <> b.labels_key THEN 'labels' END,
     CASE WHEN a.encoder_key <> b.encoder_key THEN 'encoder' END,
     CASE WHEN a.texts_key <> b.texts_key THEN 'texts' END,
     CASE WHEN a.code_version <> b.code_version THEN 'code' END,
     CASE WHEN a.device <> b.device THEN 'device' END] AS words
  FROM own AS a JOIN own AS b ON a.spec_key = b.spec_key AND a.method = b.method
    AND (b.started_at, b.run_id) < (a.started_at, a.run_id)
  QUALIFY row_number() OVER (PARTITION BY a.run_id, a.method ORDER BY b.started_at DESC, b.run_id DESC) = 1)
SELECT name, started_at, method, previous_value, value, value - previous_value AS change,
  value < low OR value > high AS is_outside, list_filter(words, lambda word: word IS NOT NULL) AS changed
FROM pairs WHERE {which} ORDER BY name, started_at, method""",
    ),
    Example(
        "costs",
        "What did the last runs take, in seconds and dollars?",
        """\
SELECT name, started_at, seconds, texts_embedded, images_embedded, calls, cost_usd
FROM run_costs ORDER BY started_at DESC, run_id DESC LIMIT 20""",
        """\
SELECT name, started_at,
  (epoch_us(finished_at) - epoch_us(started_at)) / 1e6 AS seconds,
  texts_embedded, images_embedded, coalesce(calls, 0) AS calls,
  CASE WHEN engine IS NOT NULL AND coalesce(unknown, 0) = 0 THEN coalesce(cost_usd, 0) END AS cost_usd
FROM runs
LEFT JOIN (SELECT run_id, sum(generated + failed)::BIGINT AS calls, sum(cost_usd) AS cost_usd,
    count(*) FILTER (cost_usd IS NULL AND generated + failed > 0) AS unknown
  FROM generation GROUP BY run_id) USING (run_id)
ORDER BY started_at DESC, run_id DESC LIMIT 20""",
    ),
    Example(
        "added-classes",
        "Which classes are new since the run before, and what did they take from old ones?",
        """\
SELECT name, class_name, n, recall, taken, taken_from, taken_from_counts
FROM added_classes WHERE {which} AND method = 'coder' ORDER BY name, taken DESC, class_name""",
        """\
WITH pairs AS (
  SELECT run_id, name, lag(run_id) OVER (PARTITION BY name ORDER BY started_at, run_id) AS before FROM runs),
own AS (
  SELECT pairs.*, c.class_name, c.n, c.recall FROM class_metrics AS c JOIN pairs USING (run_id)
  WHERE c.{which} AND c.method = 'coder' AND before IN (SELECT run_id FROM class_metrics)
    AND c.class_name NOT IN (SELECT o.class_name FROM class_metrics AS o WHERE o.run_id = before)),
took AS (
  SELECT own.run_id, own.class_name, was.label_name, count(*) AS images
  FROM own JOIN predictions AS now ON now.run_id = own.run_id AND now.predicted_name = own.class_name
  JOIN predictions AS was ON was.run_id = own.before AND was.image_id = now.image_id AND was.method = now.method
  WHERE now.method = 'coder' AND was.is_correct AND NOT now.is_correct GROUP BY ALL)
SELECT name, class_name, n, recall, coalesce(sum(images), 0)::BIGINT AS taken,
  coalesce(list(label_name ORDER BY images DESC, label_name) FILTER (images > 0), []) AS taken_from,
  coalesce(list(images ORDER BY images DESC, label_name) FILTER (images > 0), []) AS taken_from_counts
FROM own LEFT JOIN took USING (run_id, class_name) GROUP BY run_id, name, class_name, n, recall
ORDER BY name, taken DESC, class_name""",
    ),
    Example(
        "side-by-side",
        "Where do CLIP and CODER say different things, image by image?",
        """\
SELECT name, image_id, label_name, predicted['clip'] AS clip, predicted['coder'] AS coder, location
FROM image_predictions WHERE {which} AND predicted['clip'] <> predicted['coder'] ORDER BY name, image_id LIMIT 20""",
        """\
SELECT runs.name, a.image_id, a.label_name, a.predicted_name AS clip, b.predicted_name AS coder, a.location
FROM predictions AS a JOIN predictions AS b USING (run_id, image_id) JOIN runs USING (run_id)
WHERE a.{which} AND a.method = 'clip' AND b.method = 'coder' AND a.predicted_name <> b.predicted_name
ORDER BY runs.name, a.image_id LIMIT 20""",
    ),
)
EXAMPLES: dict[str, Example] = {example.name: example for example in _ALL}
"""Every question by name."""


def find_example(name: str) -> Example:
    """Return a question by its name.

    Raises:
        QueryError: There is no such question; names the nearest one.
    """
    if name not in EXAMPLES:
        near = [known for known in EXAMPLES if name in known] or difflib.get_close_matches(name, EXAMPLES, n=1)
        hint = f"Did you mean {near[0]!r}? " if near and name else ""
        raise QueryError(f"there is no question {name!r}.", "--example", f"{hint}There are: {', '.join(EXAMPLES)}.")
    return EXAMPLES[name]


def list_examples() -> Iterator[str]:
    """Yield a line for every question: its name, and what it asks."""
    width = max(map(len, EXAMPLES))
    yield from (f"{example.name:{width}}  {example.question}" for example in EXAMPLES.values())
