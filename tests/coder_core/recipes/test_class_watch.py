"""Class lists kept outside a data set: what is evaluated, what counts as new, and what costs what."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coder_core.class_source.class_look import ClassLook
from coder_core.errors import ConfigError, DatasetError, InputError, QueryError
from coder_core.images.sources import open_source
from coder_core.pipeline.context import Context
from coder_core.recipes.compare_runs import compare_runs, compare_with_previous
from coder_core.report.class_changes import write_comparison
from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.look_at_classes import ClaimAnnouncement, LookAtClasses, WithdrawAnnouncement
from coder_core.storage.store import Store
from tests.fixtures_inputs import NAMES, World, write_image_class

from .runs import rows, run_spec

pytestmark = pytest.mark.slow

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIRST, SECOND = ("photos-20260101T000000-a", "photos-20260102T000000-a")


@pytest.fixture
def runtime(runtime: Runtime) -> Runtime:
    """A store of its own; lists are taken for finished at once."""
    return runtime.model_copy(update={"settle_seconds": 0.02})


def listed(world: World, names: tuple[str, ...], **changes: Any) -> EvalSpec:
    """The world with a class list beside it; classes are told by their names alone, so that none lacks texts."""
    (world.folder / "classes.txt").write_text("".join(f"{name}\n" for name in names))
    outside = {"classes": {"kind": "file", "path": "classes.txt"}, "ignore_other_folders": True}
    settings = {"dataset": {**world.settings["dataset"], **outside}, "texts": {"domain": "bird"}}
    return world.spec(**{"methods": ["clip"], "matrix": {"write": False}, **settings, **changes})


def look_at_classes(spec: EvalSpec, runtime: Runtime) -> ClassLook:
    return Context.open(runtime).do(LookAtClasses(spec=spec))


def claimed_attempt(look: ClassLook, runtime: Runtime) -> int:
    return Context.open(runtime).do(ClaimAnnouncement(look=look, now=NOW, is_under_way=False))


def write_csv(world: World, rows: str) -> dict[str, str]:
    (world.folder / "classes.csv").write_text(f"class_id,class_name\n{rows}")
    return {"kind": "file", "path": "classes.csv"}


def test_images_of_unlisted_classes_are_left_out(photos: World) -> None:
    source = open_source(listed(photos, ("wren", "red kite")).dataset, settle_seconds=0)
    assert source.classes.names == ("wren", "red kite")
    (batch,) = source.batches(100)
    assert {Path(name).parts[0]: label for name, label in zip(batch.image_ids, batch.label_ids, strict=True)} == {
        "wren": 0,
        "red kite": 1,
    }


@pytest.mark.parametrize("inputs", ["photos", "world"])
def test_images_of_unlisted_classes_are_an_error_where_nothing_else_is_said(
    inputs: str, request: pytest.FixtureRequest
) -> None:
    spec = listed(request.getfixturevalue(inputs), ("wren", "red kite"))
    strict = spec.dataset.model_copy(update={"ignore_other_folders": False})
    with pytest.raises(DatasetError, match="ignore_other_folders"):
        open_source(strict, settle_seconds=0)


def test_features_are_counted_in_the_listed_classes(world: World) -> None:
    whole = open_source(world.spec().dataset)
    source = open_source(listed(world, ("goldcrest", "wren", "red kite")).dataset, settle_seconds=0)
    (batch,), (all_of_them,) = source.batches(1000), whole.batches(1000)
    assert batch.label_ids.tolist() == [2] * 30 + [1] * 30
    kept = np.isin(all_of_them.label_ids, [NAMES.index("red kite"), NAMES.index("wren")])
    np.testing.assert_array_equal(batch.values, np.asarray(all_of_them.values)[kept])


@pytest.mark.parametrize("inputs", ["photos", "world"])
def test_a_list_without_any_image_is_refused(inputs: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(DatasetError, match=r"listed class; the first .* '(blue tit|red kite)'"):
        open_source(listed(request.getfixturevalue(inputs), ("goldcrest",)).dataset, settle_seconds=0)


def test_two_class_lists_are_refused(photos: World) -> None:
    dataset = {**photos.settings["dataset"], "class_names": list(NAMES), "classes": {"kind": "file", "path": "x"}}
    with pytest.raises(ConfigError, match="class_names and classes both name the classes"):
        photos.spec(dataset=dataset)


def test_a_renamed_class_keeps_its_images(photos: World, runtime: Runtime) -> None:
    listed_in = {"classes": write_csv(photos, "1,wren\n2,red kite\n"), "ignore_other_folders": True}
    dataset = {**photos.settings["dataset"], **listed_in}
    spec = listed(photos, (), dataset=dataset)
    run_spec(spec, runtime, FIRST)
    write_csv(photos, "wren,winter wren\n2,red kite\n")
    assert look_at_classes(spec, runtime).renamed == ()
    write_csv(photos, "1,winter wren\n2,red kite\n")
    look = look_at_classes(spec, runtime)
    assert (look.added, look.removed, look.renamed) == ((), (), (("wren", "winter wren"),))
    write_csv(photos, "wren,winter wren\n2,red kite\n")
    outcome = run_spec(spec, runtime, SECOND)
    assert (outcome.result.image_count, outcome.result.images_embedded) == (10, 0)


def test_a_look_compares_with_the_latest_run_of_that_name(photos: World, runtime: Runtime) -> None:
    spec = listed(photos, ("wren", "red kite"))
    first = look_at_classes(spec, runtime)
    assert (first.evaluated_run, first.added, first.class_count) == (None, ("wren", "red kite"), 2)
    run_spec(spec, runtime, FIRST)
    run_spec(listed(photos, ("wren", "blue tit")), runtime, SECOND)
    run_spec(listed(photos, ("wren",), name="photos-2"), runtime, "photos-2-20260103T000000-a")
    look = look_at_classes(listed(photos, ("blue tit", "red kite", "wren")), runtime)
    assert (look.evaluated_run, look.added, look.removed) == (SECOND, ("red kite",), ())
    assert not look_at_classes(listed(photos, ("blue tit", "wren")), runtime).has_changed


def test_class_folders_are_a_class_list(photos: World, runtime: Runtime) -> None:
    spec = photos.spec(methods=["clip"], texts={"domain": "bird"})
    run_spec(spec, runtime, FIRST)
    assert not look_at_classes(spec, runtime).has_changed
    write_image_class(photos.folder / "images", "goldcrest", 1)
    assert look_at_classes(spec, runtime).added == ("goldcrest",)


def test_a_half_written_list_is_not_compared(photos: World, runtime: Runtime) -> None:
    spec = listed(photos, ("wren",))
    with (photos.folder / "classes.txt").open("a") as file:
        file.write("gold")
    look = look_at_classes(spec, runtime)
    assert look.unfinished is not None
    assert not look.has_changed
    assert claimed_attempt(look, runtime) == 0


def test_removing_every_class_is_an_error_and_no_change(photos: World, runtime: Runtime) -> None:
    spec = listed(photos, ("wren",))
    run_spec(spec, runtime, FIRST)
    (photos.folder / "classes.txt").write_text("")
    with pytest.raises(InputError, match="there is no class in it: nothing could be evaluated"):
        look_at_classes(spec, runtime)


def test_a_change_is_claimed_once_and_forgotten_when_it_was_evaluated(photos: World, runtime: Runtime) -> None:
    look = look_at_classes(listed(photos, ("wren", "red kite")), runtime)
    assert claimed_attempt(look, runtime) == 1
    assert claimed_attempt(look, runtime) == 0
    other = look_at_classes(listed(photos, ("wren", "red kite", "blue tit")), runtime)
    assert claimed_attempt(other, runtime) == 1, "another change is another announcement"
    Context.open(runtime).do(WithdrawAnnouncement(look=other, attempt=1))
    assert claimed_attempt(other, runtime) == 1, "what could not be announced is announced by the next look"
    assert claimed_attempt(look, runtime) == 0, "nothing else is withdrawn"
    spec = listed(photos, ("wren", "red kite", "blue tit"))
    run_spec(spec, runtime, FIRST)
    assert claimed_attempt(look_at_classes(spec, runtime), runtime) == 0
    assert Store(runtime.store).list("announcements") == []


def test_a_class_without_an_image_competes_and_is_not_scored(photos: World, runtime: Runtime) -> None:
    run_spec(listed(photos, NAMES), runtime, FIRST)
    outcome = run_spec(listed(photos, (*NAMES, "goldcrest")), runtime, SECOND)
    result = outcome.result
    assert (result.class_count, result.image_count) == (5, 20)
    assert (result.texts_embedded, result.images_embedded) == (1, 0)
    assert outcome.record("predict_clip").computed == 20, "old images are judged against the new class"
    assert outcome.record("embed_images").computed == 0, "from stored embeddings"
    sql = "SELECT n, recall FROM class_metrics WHERE class_name = 'goldcrest'"
    assert rows(runtime, sql) == [(0, None)]


def test_an_evaluation_is_compared_with_the_one_before(photos: World, runtime: Runtime) -> None:
    before, after = FIRST, SECOND
    run_spec(listed(photos, NAMES), runtime, before)
    context = Context.open(runtime)
    assert compare_with_previous(context, "photos", before) is None
    run_spec(listed(photos, (*NAMES[::-1], "goldcrest", "firecrest")), runtime, after)
    found = compare_with_previous(context, "photos", after)
    assert found is not None
    assert (found.before, found.after, found.method, found.images) == (before, after, "clip", 20)
    assert found.change.added == ("goldcrest", "firecrest")
    counted = f"""
        SELECT b.label_name, count(*), avg(b.is_correct::INT), avg(a.is_correct::INT),
            count(*) FILTER (b.is_correct AND NOT a.is_correct),
            count(*) FILTER (b.is_correct AND a.predicted_name IN ('goldcrest', 'firecrest'))
        FROM predictions b JOIN predictions a ON a.image_id = b.image_id
        WHERE b.run_id = '{before}' AND a.run_id = '{after}' GROUP BY 1 ORDER BY 1"""
    shifts = [
        (row.class_name, row.n, row.recall_before, row.recall, row.lost, row.lost_to_added) for row in found.shifts
    ]
    assert sorted(shifts) == rows(runtime, counted)
    assert [(row.class_name, row.n, row.recall) for row in found.added] == [
        ("goldcrest", 0, None),
        ("firecrest", 0, None),
    ]


def test_runs_are_compared_by_a_method_of_both(photos: World, runtime: Runtime) -> None:
    run_spec(listed(photos, NAMES), runtime, "run-1")
    run_spec(listed(photos, NAMES, methods=["clip_ensemble"]), runtime, "run-2")
    context = Context.open(runtime)
    nothing = compare_runs(context, "run-1", "run-2")
    assert (nothing.method, nothing.methods, nothing.images) == (None, (), 0)
    assert [change.key for change in nothing.settings] == ["methods", "(content of the texts)"]
    assert "they have no method in common" in write_comparison(nothing)
    with pytest.raises(QueryError, match=r"there is no run 'run-3'.*Latest runs: run-2, run-1"):
        compare_runs(context, "run-1", "run-3")
    assert compare_with_previous(context, "photos", "run-2") is None, "the classes are the same"
    with pytest.raises(ConfigError, match=r"'coder' is not a method of both\. Methods of both: clip"):
        compare_runs(context, "run-1", "run-1", method="coder")
