"""Sweeps: cells from settings, what is done is not run again, what cells share is computed once, and one table."""

import math
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coder_core.errors import ConfigError, DatasetError
from coder_core.pipeline.runner import inline_runner
from coder_core.recipes.check import Checked, check_evaluation
from coder_core.recipes.evaluate import evaluate
from coder_core.recipes.sweep import CellOutcome, inputs_changed_since, published_run, run_cells
from coder_core.recipes.sweep_cells import Cell, cells_of, check_sweep, load_sweep, merge, select, typed_sweep
from coder_core.recipes.sweep_plan import plan_lines, plan_sweep
from coder_core.recipes.sweep_results import Score, mean_of, read_sweep
from coder_core.report.sweep_table import sweep_markdown, sweep_record, write_sweep
from coder_core.results.result_tables import ResultTables
from coder_core.results.schema import RunRow
from coder_core.specs import FolderDataset, OpenClipEncoder, Runtime, SplitDataset
from coder_core.storage.store import Store
from tests.fixtures_inputs import NAMES, World, write_image_class, write_world


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(store=str(tmp_path / "store"))


def part_of(world: World, *keys: str) -> dict[str, Any]:
    return {key: world.settings[key] for key in keys}


def two_worlds(folder: Path) -> dict[str, dict[str, Any]]:
    """Two data sets of features, of other classes."""
    names = {"four": NAMES, "three": NAMES[:3]}
    return {
        name: part_of(write_world(folder / name, classes, images_per_class=10), "dataset", "encoder", "texts")
        for name, classes in names.items()
    }


def run_all(cells: list[Cell], runtime: Runtime) -> list[CellOutcome]:
    def evaluate_cell(cell: Cell) -> str:
        assert cell.spec is not None
        with inline_runner(runtime) as run:
            return evaluate(cell.spec, run).run_id

    return run_cells(cells, evaluate_cell, lambda _: None)


def test_every_cell_is_an_ordinary_config_and_the_nearer_setting_wins(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    config = tmp_path / "own" / "flags.yaml"
    config.write_text(
        "dataset: {kind: flags, images_per_class: 2}\n"
        "few_shot: {pool: {kind: split, path: images, split_file: s.json, split: train}, shots: [1, 2], draws: 2}\n"
        "methods: [clip]\n"
    )
    sweep = check_sweep(
        {
            "name": "s",
            "settings": {"draw_seed": 5, "few_shot": {"draws": 9, "seed": 4}, "texts": {"domain": "bird"}},
            "datasets": {
                "own": {"config": "own/flags.yaml", "draw_seed": 6},
                "bare": {"kind": "flags", "images_per_class": 3},
            },
            "models": {"a": "demo:micro-clip", "b": {"kind": "open_clip", "checkpoint": "${DATA_ROOT}/b"}},
            "texts": {"names": {}, "bank": {"bank": "texts/${dataset}.yaml"}},
            "methods": ["clip", "clip_ensemble", "lda"],
            "shots": [3],
        },
        "test",
    )
    cells = cells_of(
        sweep, str(tmp_path), overrides=["logit_scale=50", "few_shot.seed=8"], data_root=str(tmp_path / "root")
    )
    specs = {cell.name: cell.spec for cell in cells}
    assert list(specs)[:3] == ["s.own.a.names", "s.own.a.bank", "s.own.b.names"]
    assert len(specs) == 8
    own, bare = specs["s.own.b.bank"], specs["s.bare.a.names"]
    assert own is not None
    assert own.few_shot is not None
    assert (own.few_shot.shots, own.few_shot.draws, own.few_shot.seed) == ((3,), 2, 8)
    assert own.few_shot.methods == ("lda",)
    assert isinstance(own.few_shot.pool, SplitDataset)
    assert own.few_shot.pool.path == str(tmp_path / "own" / "images"), "a config's paths start from its own folder"
    assert isinstance(own.encoder, OpenClipEncoder)
    assert own.encoder.checkpoint == str(tmp_path / "root" / "b")
    assert own.texts.bank == str(tmp_path / "texts" / "own.yaml")
    assert (own.texts.domain, own.draw_seed, own.logit_scale) == ("bird", 6, 50.0)
    assert bare is not None
    assert bare.draw_seed == 5
    assert bare.few_shot is None, "there is nothing to learn from"
    assert bare.methods == ("clip", "clip_ensemble")


def test_shots_are_taken_of_the_train_folder_beside_test(tmp_path: Path) -> None:
    for part, count in (("Train", 3), ("test", 1)):
        for name in ("wren", "jay"):
            write_image_class(tmp_path / "birds" / part, name, count)
    (tmp_path / "list.csv").write_text("path,label,split\na.png,wren,training\nb.png,wren,test\n")
    for words, learnt in ((["birds"], "Train"), (["birds/test"], "Train"), (["list.csv"], "training")):
        sweep = typed_sweep("s", words, ["demo:micro-clip"], ["clip", "lda"], [1, 2])
        (spec,) = [cell.spec for cell in cells_of(sweep, str(tmp_path))]
        assert spec is not None
        assert spec.few_shot is not None
        pool = spec.few_shot.pool
        assert (Path(pool.path).name if isinstance(pool, FolderDataset) else getattr(pool, "split")) == learnt  # noqa: B009
        assert (spec.few_shot.shots, spec.few_shot.methods) == ((1, 2), ("lda",))
    zero_shot = typed_sweep("s", ["birds"], ["demo:micro-clip"], ["clip"], [])
    assert [cell.spec and cell.spec.few_shot for cell in cells_of(zero_shot, str(tmp_path))] == [None]
    with pytest.raises(ConfigError, match="`train` beside `test`"):
        cells_of(typed_sweep("s", ["birds/Train"], ["demo:micro-clip"], [], [1]), str(tmp_path))


def test_a_cell_that_is_wrong_says_so_and_the_others_are_there(tmp_path: Path) -> None:
    flags = {"kind": "flags", "images_per_class": 2}
    sweep = check_sweep(
        {"name": "s", "datasets": {"good": flags, "bad": {**flags, "seed": "no"}}, "models": {"m": "demo:micro-clip"}},
        "test",
    )
    good, bad = cells_of(sweep, str(tmp_path))
    assert good.spec is not None
    assert good.spec.methods == ("clip", "clip_ensemble"), "without texts there is nothing else to compare"
    (starved,) = cells_of(select(sweep, ["good"], [], ["coder"], []), str(tmp_path))
    assert "texts.bank or texts.generator is required by coder" in str(starved.problem)
    assert bad.problem is not None
    assert str(bad.problem).startswith("s.bad.m: dataset.seed")
    with pytest.raises(ConfigError, match=r"no 'other' among its datasets\. There are: good, bad"):
        select(sweep, ["other"], [], [], [])
    with pytest.raises(ConfigError, match="has no letter or digit of ASCII"):
        typed_sweep("s", ["фото"], [], [], [])
    with pytest.raises(ConfigError, match=r"datasets.a b: expected letters, digits"):
        check_sweep({"name": "s", "datasets": {"a b": "a"}}, "test")
    with pytest.raises(ConfigError, match="two of them would be called 'x'"):
        typed_sweep("s", ["a/x.yaml", "b/x.yaml"], [], [], [])
    one = check_sweep({"name": "s", "datasets": {"a": flags}, "methods": ["clip"], "shots": [1]}, "test")
    with pytest.raises(ConfigError, match="no data set has images to learn from"):
        cells_of(one.model_copy(update={"models": {"m": "demo:micro-clip"}}), str(tmp_path))
    with pytest.raises(ConfigError, match="no data set has images to learn from"):
        cells_of(select(sweep, ["good"], [], ["tip_adapter"], []), str(tmp_path))
    data = one.model_copy(update={"datasets": {"a": {"kind": "folder", "path": "${DATA_ROOT}/a"}}, "shots": ()})
    (cell,) = cells_of(data, str(tmp_path))
    assert "--data-root FOLDER" in str(cell.problem)


def test_what_has_a_kind_is_replaced_and_groups_are_merged() -> None:
    base = {"texts": {"bank": "a", "domain": "b"}, "encoder": {"kind": "x", "model": "m"}}
    over = {"texts": {"domain": "c"}, "encoder": {"kind": "y"}}
    assert merge(base, over) == {"texts": {"bank": "a", "domain": "c"}, "encoder": {"kind": "y"}}


def test_a_published_cell_is_done_until_its_specification_changes(tmp_path: Path, runtime: Runtime) -> None:
    sweep = check_sweep({"name": "s", "datasets": two_worlds(tmp_path), "methods": ["clip", "coder"]}, "test")
    store = Store(runtime.store)
    cells = cells_of(sweep, str(tmp_path))
    first = run_all(cells[:1], runtime)[0]
    planned = plan_sweep(cells, store, lambda spec: check_evaluation(spec, runtime))
    assert [cell.run_id for cell in planned] == [first.run_id, None]
    assert plan_lines(planned)[0] == "2 cells: 1 to run, 1 published before, 0 that cannot work"
    assert plan_lines(planned)[-1].startswith("cost: at most 0 images through encoders, 30 read as features; no ")
    changed = cells_of(sweep, str(tmp_path), overrides=["logit_scale=50"])[0].spec
    assert changed is not None
    assert published_run(changed, store) is None
    assert not any(cell.run_id for cell in plan_sweep(cells, store, lambda _: Checked(), is_again=True))
    later = time.time() + 60
    os.utime(tmp_path / "four" / "bank.yaml", (later, later))
    assert cells[0].spec is not None
    assert published_run(cells[0].spec, store) is None, "its texts were edited"


def test_an_image_that_joins_a_class_folder_is_noticed(photos: World) -> None:
    moment = datetime.now(UTC) - timedelta(seconds=1)
    for path in photos.folder.rglob("*"):
        os.utime(path, (0, 0))
    os.utime(photos.folder / "images", (0, 0))
    spec = photos.spec(encoder={"kind": "open_clip", "checkpoint": "demo:micro-clip"})
    assert not inputs_changed_since(spec, moment)
    write_image_class(photos.folder / "images", "wren", 1, first_image=100)
    assert inputs_changed_since(spec, moment)


def test_what_cells_share_is_computed_once(photos: World, tmp_path: Path, runtime: Runtime) -> None:
    texts = {"bank": photos.settings["texts"], "names": {"domain": "bird"}}
    settings = {"name": "s", "datasets": {"photos": photos.settings["dataset"]}, "texts": texts, "methods": ["clip"]}
    models = {"tiny": photos.settings["encoder"]}
    outcomes = run_all(cells_of(check_sweep({**settings, "models": models}, "test"), str(tmp_path)), runtime)
    tables = ResultTables(Store(runtime.store))
    first, second = (tables.read_rows(RunRow, outcome.run_id or "")[0] for outcome in outcomes)
    assert (first.images_embedded, first.texts_embedded) == (20, 4)
    assert (second.images_embedded, second.images_reused) == (0, 20)
    assert (second.texts_embedded, second.texts_reused) == (0, 4)


def test_a_failure_is_one_line_and_stops_no_other() -> None:
    def fail(cell: Cell) -> str:
        if cell.dataset == "a":
            raise DatasetError("it is gone.", "images", "Look for it.")
        if cell.dataset == "b":
            raise ZeroDivisionError("our own\nmistake")
        return f"{cell.name}-1"

    told: list[str] = []
    outcomes = run_cells([Cell(f"s.{name}", name, "", "") for name in "abc"], fail, told.append)
    assert [(outcome.state, outcome.exit_code) for outcome in outcomes] == [("failed", 3), ("failed", 1), ("ran", 0)]
    assert outcomes[0].problem == "images: it is gone. Look for it."
    assert outcomes[1].problem == "ZeroDivisionError: our own mistake"
    assert outcomes[2].run_id == "s.c-1"
    assert len(told) == 6
    assert told[1] == "s.a: failed: images: it is gone. Look for it."


def test_the_table_holds_what_the_runs_hold(tmp_path: Path, runtime: Runtime) -> None:
    datasets = two_worlds(tmp_path)
    datasets["three"]["methods"] = ["clip", "coder", "vcd"]
    datasets["four"]["methods"] = ["clip", "coder"]
    cells = cells_of(check_sweep({"name": "s", "datasets": datasets}, "test"), str(tmp_path))
    outcomes = run_all(cells, runtime)
    found = read_sweep("s", outcomes, Store(runtime.store))
    (group,) = found.groups
    assert group.datasets == ("four", "three")
    by_method = {row.method: row for row in group.rows}
    top1 = {name: own_accuracy(tmp_path / name) for name in ("four", "three")}
    assert by_method["clip"].by_dataset["four"].value == pytest.approx(top1["four"])
    assert by_method["clip"].mean is not None
    assert by_method["clip"].mean.value == pytest.approx((top1["four"] + top1["three"]) / 2)
    assert (by_method["vcd"].mean, by_method["vcd"].tier) == (None, None)
    assert group.rows[-1].method == "vcd", "what has no mean stands last"
    (gain,) = found.gains
    coder = by_method["coder"].mean
    assert coder is not None
    assert gain.mean is not None
    assert gain.mean.value == pytest.approx(coder.value - by_method["clip"].mean.value)
    written = write_sweep(found)
    assert f"{100 * top1['four']:.1f}" in written
    assert "vcd     -" in written
    assert sweep_markdown(found).count("\n## ") == 3
    assert [cell["state"] for cell in sweep_record(found)["cells"]] == ["ran", "ran"]


def test_a_mean_never_leaves_a_data_set_out_without_a_word(tmp_path: Path, runtime: Runtime) -> None:
    """Cells without a result: of a config that is wrong, of CLIP alone, and of one model of two."""
    datasets = {name: {**part, "methods": ["clip", "coder"]} for name, part in two_worlds(tmp_path).items()}
    cells = cells_of(check_sweep({"name": "s", "datasets": datasets}, "test"), str(tmp_path))
    outcomes = [replace(outcome, cell=replace(outcome.cell, model="a")) for outcome in run_all(cells, runtime)]
    assert read_sweep("s", outcomes, Store(runtime.store)).groups[0].missing == ()
    spec = cells[0].spec
    assert spec is not None
    clip_alone = spec.model_copy(update={"methods": ("clip",)})
    lost = [Cell("s.gone.a", "gone", "a", ""), Cell("s.plain.a", "plain", "a", "", clip_alone)]
    other = replace(outcomes[0], cell=replace(outcomes[0].cell, model="b"))
    outcomes += [other, *(CellOutcome(cell, "failed", problem="no", exit_code=3) for cell in lost)]
    found = read_sweep("s", outcomes, Store(runtime.store))
    (group,) = found.groups
    assert (group.datasets, group.missing) == (("four", "three"), ("gone", "plain"))
    assert found.without_gain == ("gone",)
    assert [(row.model, row.mean is None) for row in found.gains] == [("a", False), ("b", True)]
    for written in (write_sweep(found), sweep_markdown(found)):
        assert "mean of 2 of 4 data sets" in written
        assert "mean of 2 of 3 data sets" in written
        assert "no cell of gone" in written
    assert sweep_record(found)["groups"][0]["missing"] == ("gone", "plain")


def own_accuracy(folder: Path) -> float:
    """CLIP by name, by hand: the class whose name's sentence is nearest."""
    with np.load(folder / "images.npz") as images, np.load(folder / "texts.npz") as texts:
        rows = dict(zip(texts["texts"].tolist(), texts["features"], strict=True))
        names = [rows[f"a photo of a {name}, a type of bird."] for name in images["class_names"]]
        vectors = np.stack([name / np.linalg.norm(name) for name in names])
        return float((np.argmax(images["features"] @ vectors.T, axis=1) == images["labels"]).mean())


def test_the_mean_has_the_interval_of_independent_data_sets() -> None:
    """Half-widths 0.03 and 0.04 below, 0.06 and 0.08 above: 3-4-5 triangles."""
    mean = mean_of([Score(0.5, 0.47, 0.56), Score(0.7, 0.66, 0.78)])
    assert mean.value == pytest.approx(0.6)
    assert mean.low == pytest.approx(0.575)
    assert mean.high == pytest.approx(0.65)
    one = Score(0.5, 0.4, 0.6)
    assert mean_of([one]) == pytest.approx(one)
    assert mean_of([one, Score(0.5, None, None)]).low is None
    copies = mean_of([one] * 16)
    assert copies.low is not None
    assert math.isclose(0.5 - copies.low, 0.1 / 4)


def test_every_shipped_sweep_has_cells_that_are_sound_configs() -> None:
    configs = Path(__file__).parents[3] / "configs"
    files = [*(configs / "paper").glob("*.yaml"), *(configs / "sweeps").glob("*.yaml")]
    assert len(files) >= 5
    for file in files:
        cells = cells_of(load_sweep(str(file)), str(file.parent), data_root="/data")
        assert cells
        assert [str(cell.problem) for cell in cells if cell.problem] == [], file.name


def test_a_small_file_of_more_cells_than_there_may_be_is_refused_at_once() -> None:
    axes = {
        axis: {f"{axis[0]}{number}": {"kind": "flags"} for number in range(1_000)} for axis in ("datasets", "models")
    }
    sweep = check_sweep({"name": "s", **axes, "texts": {f"t{number}": {} for number in range(1_000)}}, "here")
    with pytest.raises(ConfigError, match=r"1000000000 cells, more than 10000 \(CODER_MAX_SWEEP_CELLS\)"):
        cells_of(sweep, ".")


@pytest.mark.parametrize(
    "address",
    [
        "http://me:cAnary-81x@host/config.yaml?token=cAnary.92y",
        "https://host/photos?sig=cAnary-92y.7",
        "s3://AKIAcAnary81x:cAnary92y@bucket/photos",
        "http://me:p@ss/cAnary-81x@host/a/b.yaml",
        "https://cAnary-81x@host/a.yml",
    ],
)
def test_a_name_made_of_an_address_holds_no_secret(address: str) -> None:
    ((name, kept),) = typed_sweep("s", [address], [], [], []).datasets.items()
    assert kept == address
    assert "cAnary" not in name
    ((name, _),) = typed_sweep("s", ["demo:flags"], [address], [], []).models.items()
    assert "cAnary" not in name


def test_a_config_is_one_whatever_its_address_asks_for() -> None:
    (cell,) = cells_of(check_sweep({"name": "s", "datasets": {"a": "http://127.0.0.1:9/c.yaml?token=x"}}, "s"), ".")
    assert "no such folder" not in str(cell.problem)
