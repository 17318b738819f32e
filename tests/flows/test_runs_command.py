"""`coder-eval runs` and `show`: what a person asks first, on stores of every age."""

import io
import json
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result

from coder_core import open_warehouse
from coder_core.recipes.evaluate import evaluate
from coder_core.report.summary import print_summary
from coder_core.results.schema import FewShotSummaryRow, GenerationRow
from coder_core.results.writing import RunWriter
from coder_core.specs import Runtime
from coder_core.storage.store import Store
from flows.cli import main
from tests.coder_core.results.analyst_rows import HOSTILE, make_answers, write
from tests.coder_core.results.result_rows import START, old_run, publish, run_row
from tests.fixtures_inputs import World


def typed(store: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--store", store], catch_exceptions=False)


@pytest.fixture
def store(disk_store: Store) -> str:
    """A run of 0.1, one with a price, one of few-shot methods alone, and one that failed half way."""
    old_run(disk_store, "old-1", name="old")
    with RunWriter(disk_store, "priced-1") as writer:
        counts = {"asked": 1, "generated": 1, "reused": 0, "failed": 0}
        writer.append(GenerationRow, [GenerationRow(kind="attribute", cost_usd=1.25, **counts)])
        times = {"started_at": START + timedelta(days=1), "finished_at": START + timedelta(days=1, seconds=90.04)}
        writer.publish(run_row(name="priced", best_method="coder", best_top1=0.9036, **times), b"{}")
    with RunWriter(disk_store, "shots-1") as writer:
        best = [("tip_adapter", 1, 0.5), ("tip_adapter", 16, 0.75), ("cache", 16, 0.625)]
        writer.append(FewShotSummaryRow, [FewShotSummaryRow(method=m, shots=s, draws=1, top1=t) for m, s, t in best])
        times = {"started_at": START + timedelta(days=2), "finished_at": START + timedelta(days=2)}
        writer.publish(run_row(name="shots", best_method=None, best_top1=None, **times), b"{}")
    write(disk_store, make_answers("failed-1", "failed", HOSTILE, day=3), is_published=False)
    return disk_store.root


@pytest.fixture
def disk_store(tmp_path: object) -> Store:
    return Store(f"{tmp_path}/store")


def test_runs_are_listed_newest_first_with_what_a_person_wants(store: str) -> None:
    assert [line.rstrip() for line in typed(store, "runs").stdout.splitlines()] == [
        "name    when (UTC)        data set  model  best method     top-1 %  seconds  cost     run",
        "------  ----------------  --------  -----  --------------  -------  -------  -------  --------",
        "shots   2026-01-04 03:04  word      word   tip_adapter@16       75        0  $0.00    shots-1",
        "priced  2026-01-03 03:04  word      word   coder              90.4       90  $1.25    priced-1",
        "old     2026-01-02 03:04  folder           clip                 50           unknown  old-1",
        "(3 rows)",
    ]


def test_runs_as_json_hold_the_exact_numbers(store: str) -> None:
    newest, priced, old = json.loads(typed(store, "runs", "--json").stdout)
    assert (priced["seconds"], priced["cost_usd"], priced["best_top1"]) == (90.04, 1.25, 0.9036)
    assert (old["encoder"], old["seconds"], old["cost_usd"], old["best_method"]) == (None, None, None, "clip")
    assert newest["started_at"] == "2026-01-04T03:04:05"


def test_the_view_of_costs_says_the_same(store: str, disk_store: Store) -> None:
    with RunWriter(disk_store, "unknown-1") as writer:
        priced = {"asked": 1, "generated": 1, "reused": 0, "failed": 0}
        writer.append(
            GenerationRow, [GenerationRow(kind=k, cost_usd=c, **priced) for k, c in (("a", 1.0), ("b", None))]
        )
        writer.publish(run_row(name="old", best_method="clip", best_top1=0.25, started_at=START), b"{}")
    columns = ["run_id", "name", "dataset", "encoder", "seconds", "cost_usd"]
    sql = f"SELECT {', '.join(columns)} FROM run_costs ORDER BY started_at DESC, run_id DESC"
    listed = json.loads(typed(store, "runs", "--json").stdout)
    viewed = [list(row) for row in open_warehouse(store).query(sql).rows]
    assert [[run[column] for column in columns] for run in listed] == viewed
    assert [row[-1] for row in viewed] == [0.0, 1.25, None, None]


def test_runs_of_one_evaluation_and_a_few_of_many(store: str) -> None:
    assert [run["run_id"] for run in json.loads(typed(store, "runs", "priced", "--json").stdout)] == ["priced-1"]
    assert [run["run_id"] for run in json.loads(typed(store, "runs", "--limit", "2", "--json").stdout)] == [
        "shots-1",
        "priced-1",
    ]
    done = typed(store, "runs", "prized")
    assert (done.exit_code, done.stdout) == (5, "")
    assert "Did you mean 'priced'? Evaluations: old, priced, shots." in done.stderr


def test_names_of_anybody_do_no_harm(disk_store: Store) -> None:
    for at, name in enumerate(HOSTILE):
        publish(disk_store, f"run-{at}", name=name, dataset=name, encoder=name, best_method=name)
    lines = typed(disk_store.root, "runs").stdout.splitlines()
    assert len(lines) == 2 + len(HOSTILE) + 1
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) < 500
    for at, name in enumerate(HOSTILE):
        (found,) = json.loads(typed(disk_store.root, "runs", name, "--json").stdout)
        assert (found["run_id"], found["name"]) == (f"run-{at}", name)


def test_an_empty_store_has_no_runs_and_says_so(disk_store: Store) -> None:
    done = typed(disk_store.root, "runs")
    assert done.exit_code == 0
    assert done.stdout.endswith("(0 rows)\n")
    assert "no run was published to this store" in done.stderr
    done = typed(disk_store.root, "show", "latest")
    assert done.exit_code == 5
    assert "there is no run 'latest'. Latest runs: none yet." in done.stderr


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ("priced-2", "there is no run 'priced-2'. Did you mean 'priced-1'?"),
        ("failed-1", "the run 'failed-1' is not published: it has not ended, or failed before its end."),
        ("../x", "there is no run '../x'."),
    ],
)
def test_a_run_that_is_not_there_is_told_with_near_names(store: str, run: str, told: str) -> None:
    done = typed(store, "show", run)
    assert (done.exit_code, done.stdout) == (5, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_run_of_the_first_version_is_shown_with_what_it_has(store: str) -> None:
    shown = typed(store, "show", "old").stdout
    assert "old: 2 images of 0 classes" in shown
    assert "50.0 [-]" in shown
    assert "run old-1 in 0.0 s" in shown


@pytest.mark.slow
def test_show_prints_what_the_run_printed(world: World, tmp_path: object) -> None:
    from coder_core.config import load_spec
    from coder_core.pipeline.runner import inline_runner

    runtime = Runtime(store=f"{tmp_path}/store", device="cpu")
    with inline_runner(runtime) as run:
        result = evaluate(load_spec(world.settings), run)
    printed = io.StringIO()
    print_summary(result, printed, program="coder-eval")
    shown = typed(runtime.store, "show", result.name).stdout
    after = shown.split("\nNext:\n")[0]
    assert after == printed.getvalue().split("\nNext:\n")[0]
    assert f"run {result.run_id} in " in after
