"""Every view against counting in plain Python, from answers that are known image by image."""

from collections import Counter
from datetime import timedelta
from typing import Any

import duckdb
import pytest

from coder_core.results.run_compaction import compact_results
from coder_core.results.schema import (
    TABLES,
    VIEWS,
    AblationRow,
    ComparisonRow,
    GenerationRow,
    MetricRow,
)
from coder_core.results.warehouse import Warehouse
from coder_core.results.writing import RunWriter
from coder_core.storage.sql_guard import read_only_tree, walk
from coder_core.storage.store import Store
from tests.coder_core.results.analyst_rows import HOSTILE, make_answers, probability_of, write
from tests.coder_core.results.result_rows import START, old_run, publish, run_row
from tests.rows import rows_of

pytestmark = pytest.mark.slow

BIRDS = ["wren", "robin", "owl", "crow", "kite", "heron", "gull"]
ANSWERS = {
    answers.run_id: answers
    for answers in (
        make_answers("flags-1", "flags", HOSTILE[:5], day=1),
        make_answers("flags-2", "flags", HOSTILE, day=2),
        make_answers("birds-1", "birds", BIRDS[:5], day=3),
        make_answers("birds-2", "birds", BIRDS, day=4),
    )
}
LATEST = {"flags-2", "birds-2"}
PREVIOUS = {"flags-2": "flags-1", "birds-2": "birds-1"}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Two evaluations of two runs each, and one that failed half way."""
    store = Store(str(tmp_path_factory.mktemp("views")))
    for run_id, answers in ANSWERS.items():
        write(store, answers, few_shot=run_id == "birds-2")
    write(store, make_answers("flags-9", "flags", BIRDS, day=9), is_published=False)
    return Warehouse(store)


def asked(warehouse: Warehouse, sql: str) -> list[dict[str, Any]]:
    result = warehouse.query(sql)
    return [dict(zip(result.columns, row, strict=True)) for row in result.rows]


@pytest.mark.parametrize("view", VIEWS.values(), ids=lambda view: view.name)
def test_columns_are_those_that_are_documented(disk_store: Store, view: Any) -> None:
    described = Warehouse(disk_store).query(f"DESCRIBE {view.name}").rows
    assert [row[:2] for row in described] == [(column.name, column.type) for column in view.columns]
    assert all(column.description.endswith(".") for column in view.columns)


def test_worst_classes(warehouse: Warehouse) -> None:
    rows = asked(warehouse, "FROM worst_classes")
    assert len(rows) == sum(3 * (len(answers.classes) - 1) for answers in ANSWERS.values())
    for row in rows:
        answers = ANSWERS[row["run_id"]]
        images = answers.images(row["class_id"])
        said = answers.methods[row["method"]]
        wrong = Counter(said[image] for image in images if said[image] != row["class_id"])
        rivals = sorted(wrong.items(), key=lambda rival: (-rival[1], rival[0]))[:5]
        assert (row["name"], row["is_latest"]) == (answers.name, answers.run_id in LATEST)
        assert (row["n"], row["wrong"]) == (len(images), wrong.total())
        assert row["recall"] == pytest.approx(1 - wrong.total() / len(images))
        assert row["class_name"] == answers.classes[row["class_id"]]
        assert row["taken_for"] == [answers.classes[rival] for rival, _ in rivals]
        assert row["taken_for_counts"] == [count for _, count in rivals]
    ranked = sorted((row for row in rows if (row["run_id"], row["method"]) == ("birds-2", "coder")), key=by_rank)
    assert [row["rank"] for row in ranked] == [1, 2, 3, 4, 5, 6]
    assert ranked == sorted(ranked, key=lambda row: (row["recall"], -row["n"], row["class_id"]))


def by_rank(row: dict[str, Any]) -> Any:
    return row["rank"]


def test_most_confused_pairs(warehouse: Warehouse) -> None:
    rows = asked(warehouse, "FROM most_confused_pairs ORDER BY run_id, method, rank")
    found = {(row["run_id"], row["method"], row["class_id"], row["other_id"]): row for row in rows}
    expected = Counter(
        (run_id, method, *sorted((answers.labels[image], predicted)))
        for run_id, answers in ANSWERS.items()
        for method, said in answers.methods.items()
        for image, predicted in said.items()
        if answers.labels[image] != predicted
    )
    assert {key: row["images"] for key, row in found.items()} == dict(expected)
    for (run_id, method, one, other), row in found.items():
        answers = ANSWERS[run_id]
        said = answers.methods[method]
        assert (row["class_name"], row["other_name"]) == (answers.classes[one], answers.classes[other])
        assert row["class_as_other"] == sum(said[image] == other for image in answers.images(one))
        assert row["other_as_class"] == sum(said[image] == one for image in answers.images(other))
        both = len(answers.images(one)) + len(answers.images(other))
        assert row["share"] == pytest.approx(row["images"] / both)
    own = [row for row in rows if (row["run_id"], row["method"]) == ("flags-1", "clip")]
    assert own == sorted(own, key=lambda row: (-row["images"], row["class_id"], row["other_id"]))


def test_class_gains(warehouse: Warehouse) -> None:
    rows = asked(warehouse, "FROM class_gains")
    assert {row["verdict"] for row in rows} == {"gains", "loses", "undecided"}
    for row in rows:
        answers = ANSWERS[row["run_id"]]
        base, own = (answers.hits(method, row["class_id"]) for method in ("clip", "coder"))
        assert row["difference"] == pytest.approx((len(own) - len(base)) / row["n"])
        assert (row["gained"], row["lost"]) == (len(own - base), len(base - own))
        certain = row["class_id"] % 2 == 0  # as `analyst_rows` says it
        verdict = "gains" if len(own) > len(base) else "loses" if len(own) < len(base) else "undecided"
        assert row["verdict"] == (verdict if certain else "undecided")


def test_images_side_by_side(warehouse: Warehouse) -> None:
    rows = asked(warehouse, "FROM image_predictions")
    assert len(rows) == 40 * len(ANSWERS)
    for row in rows:
        answers, image = ANSWERS[row["run_id"]], row["image_id"]
        said = {method: own[image] for method, own in answers.methods.items()}
        if row["run_id"] == "birds-2":
            said["tip_adapter@4"] = answers.labels[image] if int(image.rpartition("/")[2]) % 2 else said["clip"]
        label = answers.labels[image]
        assert (row["location"], row["label"], row["label_name"]) == (f"/images/{image}", label, answers.classes[label])
        assert row["predicted"] == {method: answers.classes[class_id] for method, class_id in said.items()}
        assert row["is_correct"] == {method: class_id == label for method, class_id in said.items()}
        assert row["probability"]["clip"] == probability_of("clip", image)
        assert (row["methods"], row["methods_right"]) == (len(said), list(said.values()).count(label))


def test_images_wrong_under_every_method(warehouse: Warehouse) -> None:
    """Controls do not count; what a few-shot method gets right in one draw is no image of these."""
    rows = {(row["run_id"], row["image_id"]): row for row in asked(warehouse, "FROM images_wrong_everywhere")}
    expected = {
        (run_id, image): [answers.methods["clip"][image], answers.methods["coder"][image]]
        for run_id, answers in ANSWERS.items()
        for image, label in answers.labels.items()
        if label not in {answers.methods["clip"][image], answers.methods["coder"][image]}
        and not (run_id == "birds-2" and int(image.rpartition("/")[2]) % 2)
    }
    assert rows.keys() == expected.keys()
    assert len({run_id for run_id, _ in rows}) == 4
    for (run_id, image), (clip, coder) in expected.items():
        answers, row = ANSWERS[run_id], rows[run_id, image]
        votes = Counter({clip: 1}) + Counter({coder: 1}) + Counter({clip: 4 if run_id == "birds-2" else 0})
        order = sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))
        assert row["taken_for"] == [answers.classes[class_id] for class_id, _ in order]
        assert row["taken_for_counts"] == [count for _, count in order]
        assert (row["answers"], row["agreement"]) == (votes.total(), pytest.approx(order[0][1] / votes.total()))
        assert row["highest_probability"] == max(probability_of(method, image) for method in ("clip", "coder"))
        assert (row["location"], row["label"]) == (f"/images/{image}", answers.labels[image])


def test_added_classes_and_what_they_took(warehouse: Warehouse) -> None:
    rows = asked(warehouse, "FROM added_classes")
    found = {(row["run_id"], row["method"], row["class_name"]): row for row in rows}
    added = [("flags-2", HOSTILE[5]), ("birds-2", "heron"), ("birds-2", "gull")]
    methods = ("clip", "coder", "control_waffle")
    assert found.keys() == {(run_id, method, name) for run_id, name in added for method in methods}
    for (run_id, method, name), row in found.items():
        after, before = ANSWERS[run_id], ANSWERS[PREVIOUS[run_id]]
        class_id = after.classes.index(name)
        taken = Counter(
            before.classes[before.labels[image]]
            for image, predicted in after.methods[method].items()
            if predicted == class_id != after.labels[image]
            and before.methods[method].get(image) == before.labels.get(image, -1)
        )
        n = len(after.images(class_id))
        assert (row["previous_run_id"], row["n"]) == (before.run_id, n)
        assert row["recall"] == (pytest.approx(len(after.hits(method, class_id)) / n) if n else None)
        assert row["taken"] == taken.total()
        order = sorted(taken.items(), key=lambda one: (-one[1], one[0]))
        assert list(zip(row["taken_from"], row["taken_from_counts"], strict=True)) == order
    assert sum(row["taken"] for row in rows) > 0


def test_methods_against_the_baseline(disk_store: Store) -> None:
    metric = rows_of(MetricRow, n=100, protocol="honest", ci_low=None, ci_high=None, **dict.fromkeys(CONTRACT))
    row = rows_of(
        ComparisonRow, n=100, gained=9, lost=3, p_value=None, protocol="honest", **dict.fromkeys(CONTRACT[:5])
    )
    with RunWriter(disk_store, "run") as writer:
        values = {"clip": 0.5, "coder": 0.7, "vcd": 0.4, "rerank": 0.6}
        writer.append(MetricRow, [metric(name, "top1", value) for name, value in values.items()])
        writer.append(MetricRow, [metric(name, "mean_per_class_accuracy", 0.1) for name in values])
        compared = [
            ("coder", "clip", "top1", 0.2, 0.1, 0.3, 0.01, None),
            ("vcd", "clip", "top1", -0.1, -0.2, -0.01, 0.04, None),
            ("rerank", "clip", "top1", 0.1, 0.01, 0.2, 0.05, None),  # an interval does not overrule p
            ("rerank", "coder", "top1", -0.1, -0.2, 0.0, 0.3, "coder"),
            ("coder", "clip", "mean_per_class_accuracy", 0.2, 0.1, 0.3, None, None),
            ("vcd", "clip", "mean_per_class_accuracy", -0.1, -0.2, 0.1, None, None),
            ("rerank", "clip", "mean_per_class_accuracy", 0.0, None, None, None, None),
        ]
        writer.append(ComparisonRow, [row(*values) for values in compared])
        writer.publish(run_row(), b"{}")
    found = asked(Warehouse(disk_store), "FROM method_gains")
    told = {(one["method"], one["baseline"], one["metric"]): one for one in found}
    assert len(found) == len(told) == len(compared)
    verdicts = ["better", "worse", "undecided", "undecided", "better", "undecided", "undecided"]
    assert [told[values[:3]]["verdict"] for values in compared] == verdicts
    assert [told[values[:3]]["difference"] for values in compared] == [values[3] for values in compared]
    own = told["rerank", "coder", "top1"]
    assert (own["value"], own["baseline_value"], own["controls"]) == (0.6, 0.7, "coder")


CONTRACT = (
    "reads_labels",
    "reads_unlabelled_images",
    "assumes_balance",
    "reads_texts",
    "groups",
    "classes_without_texts",
)


def test_what_each_kind_of_text_earned(disk_store: Store) -> None:
    """Draws with fewer texts do not count; a set whose smaller one was not measured has nothing to be compared with."""
    row = rows_of(AblationRow, n=10, ci_low=0.0, ci_high=1.0, top5=1.0, mean_per_class_accuracy=0.5)
    ablated = [
        row("class_name", None, 0, 0.0, 0.25),
        row("class_name+attribute", 1, 0, 1.0, 0.3),
        row("class_name+attribute", None, 0, 6.0, 0.5),
        row("class_name+attribute", None, 1, 8.0, 0.6),
        row("class_name+attribute+synonym", None, 0, 9.0, 0.5),
        row("class_name+synonym+one_to_one", None, 0, 9.0, 0.9),
    ]
    with RunWriter(disk_store, "run") as writer:
        writer.append(AblationRow, ablated)
        writer.publish(run_row(), b"{}")
    found = Warehouse(disk_store).query(
        "SELECT kind, texts_added, round(top1_without, 9), round(top1, 9), round(earned, 9) FROM text_kind_gains "
        "ORDER BY kinds"
    )
    assert found.rows == [
        ("class_name", None, None, 0.25, None),
        ("attribute", 7.0, 0.25, 0.55, 0.3),
        ("synonym", 2.0, 0.55, 0.5, -0.05),
        ("one_to_one", None, None, 0.9, None),
    ]


def test_drift_between_runs_of_one_specification(disk_store: Store) -> None:
    """`b` lies between `a` and `c` in time and has another specification; `d` repeats `c` under another name."""
    history = [
        ("a", "same", 0.50, {"code_version": "0.1", "texts_key": "t"}),
        ("b", "other", 0.10, {}),
        ("c", "same", 0.56, {"code_version": "0.2", "texts_key": "t"}),
        ("d", "same", 0.57, {"code_version": "0.2", "texts_key": "u", "name": "renamed"}),
    ]
    metric = rows_of(MetricRow, metric="top1", n=10, protocol="honest", **dict.fromkeys(CONTRACT))
    for day, (run_id, spec_key, value, changes) in enumerate(history):
        with RunWriter(disk_store, run_id) as writer:
            writer.append(MetricRow, [metric("coder", value, value - 0.05, value + 0.05)])
            writer.publish(run_row(spec_key=spec_key, started_at=START + timedelta(days=day), **changes), b"{}")
    sql = "SELECT run_id, previous_run_id, round(change, 9), is_outside, changed, is_latest FROM run_drift ORDER BY 1"
    assert Warehouse(disk_store).query(sql).rows == [
        ("c", "a", 0.06, True, ["code"], True),
        ("d", "c", 0.01, False, ["texts"], True),
    ]
    only = Warehouse(disk_store).query(sql.replace("ORDER", "WHERE run_id = 'd' ORDER"))
    assert [row[0] for row in only.rows] == ["d"]


def test_cost_and_seconds_of_a_run(disk_store: Store) -> None:
    """A run that asked nobody cost nothing; one price that is not known makes the sum unknown."""
    row = rows_of(GenerationRow, asked=9, reused=0, failed=1)
    generated = {
        "asked-nobody": [],
        "known": [row("attribute", 3, 100, 10, 0.25), row("synonym", 2, 50, None, 0.5)],
        "unknown": [row("attribute", 3, 100, 10, 0.25), row("synonym", 2, None, None, None)],
    }
    for run_id, rows in generated.items():
        with RunWriter(disk_store, run_id) as writer:
            writer.append(GenerationRow, rows)
            writer.publish(run_row(name=run_id, finished_at=START + timedelta(seconds=1.5)), b"{}")
    old_run(disk_store, "old")
    columns = "run_id, calls, prompt_tokens, completion_tokens, cost_usd, seconds, is_latest"
    assert Warehouse(disk_store).query(f"SELECT {columns} FROM run_costs ORDER BY 1").rows == [
        ("asked-nobody", 0, None, None, 0.0, 1.5, True),
        ("known", 7, 150, 10, 0.75, 1.5, True),
        ("old", 0, None, None, None, None, True),
        ("unknown", 7, 100, 10, None, 1.5, True),
    ]


def test_the_latest_run_of_each_evaluation(disk_store: Store) -> None:
    for day, best in ((1, 0.5), (3, 0.75), (2, 0.25)):
        started_at = START + timedelta(days=day)
        finished_at = started_at + timedelta(seconds=1.5)
        publish(disk_store, f"a-{day}", name="a", best_top1=best, started_at=started_at, finished_at=finished_at)
    publish(disk_store, "b-1", name="b", best_top1=None)
    sql = "SELECT name, run_id, best_top1, previous_run_id, change, run_count, seconds FROM latest_runs ORDER BY 1"
    first, second = Warehouse(disk_store).query(sql).rows
    assert first == ("a", "a-3", 0.75, "a-2", 0.5, 3, 1.5)
    assert second[:-1] == ("b", "b-1", None, None, None, 1)


@pytest.mark.parametrize("state", ["single", "compacted", "with old runs"])
def test_an_answer_about_some_runs_is_that_about_all_runs_cut_to_them(tmp_path: Any, state: str) -> None:
    """Where a query reads the files of some runs only, no row of the answer may show it."""
    store = Store(str(tmp_path / "store"))
    for run_id in ("flags-1", "flags-2", "birds-1"):
        write(store, ANSWERS[run_id])
    if state == "compacted":
        compact_results(store)
    if state == "with old runs":
        old_run(store, "old-1", started_at=START + timedelta(days=8))
    write(store, ANSWERS["birds-2"], few_shot=True)
    warehouse = Warehouse(store)
    for view in (view for view in VIEWS.values() if view.name != "costs"):
        every = asked(warehouse, f"FROM {view.name}")
        for run_id in ("flags-2", "birds-2"):
            own = asked(warehouse, f"SELECT * FROM {view.name} AS v WHERE v.run_id = '{run_id}'")
            assert key_of(own) == key_of([row for row in every if row["run_id"] == run_id]), view.name
        if view.says_latest:
            latest = asked(warehouse, f"FROM {view.name} WHERE is_latest")
            assert key_of(latest) == key_of([row for row in every if row["is_latest"]]), view.name


def key_of(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(map(repr, rows))


def test_a_run_that_failed_half_way_is_in_no_view(warehouse: Warehouse) -> None:
    for view in VIEWS:
        assert warehouse.query(f"SELECT count(*) FROM {view} WHERE run_id = 'flags-9'").rows == [(0,)]


def test_views_read_the_tables_that_they_say() -> None:
    with duckdb.connect() as connection:
        for view in VIEWS.values():
            named = {str(node.get("table_name")) for node in walk(read_only_tree(connection, view.sql))}
            assert named & TABLES.keys() == set(view.reads), view.name
