"""`coder-eval data` as it is typed, and data sets by name where a folder or a config could stand."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from coder_core.config import load_spec
from coder_core.datasets import published_files
from coder_core.datasets.places import meant_by
from coder_core.datasets.published_files import Download, PublishedFile
from coder_core.errors import ConfigError
from coder_core.recipes.first_config import Wish, write_first_config
from coder_core.recipes.sweep import inputs_changed_since, published_run
from coder_core.recipes.sweep_cells import cells_of, check_sweep, typed_sweep
from coder_core.specs import NamedDataset
from coder_core.storage.store import Store
from flows.cli import main
from tests.coder_core.datasets import trees
from tests.coder_core.datasets.trees import TREES, lines, put


def invoke(*words: str) -> Result:
    return CliRunner().invoke(main, ["data", *words], catch_exceptions=False)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODER_DATA_ROOT", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def whole_dtd(root: Path) -> None:
    """47 classes of three parts with 40 images each, as many as the publisher states."""
    folder = root / "dtd/dtd"
    for part, first in (("train", 1), ("val", 41), ("test", 81)):
        images = [f"texture{n:02d}/t_{number:04d}.jpg" for n in range(47) for number in range(first, first + 40)]
        lines(folder / f"labels/{part}1.txt", *images)
        for image in images:
            path = folder / "images" / image
            if part == "train":
                path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


@pytest.mark.slow
def test_the_list_says_what_is_here_what_is_whole_and_what_it_costs(root: Path) -> None:
    whole_dtd(root)
    TREES["food101"](root)
    trees.caltech101_few_shot(root)
    found = {each["name"]: each for each in json.loads(invoke("list", "--json").stdout)["datasets"]}
    assert len(found) == 20
    assert found["dtd"]["state"] == "present"
    assert found["dtd"]["images"] == {"train": 1880, "val": 1880, "test": 1880}
    assert found["dtd"]["place"] == str(root / "dtd/dtd")
    got = invoke("get", "dtd")
    assert (got.exit_code, got.stderr) == (0, f"dtd: there already, in {root}/dtd/dtd\n")
    assert found["food101"]["state"] == "incomplete"
    assert "it is not whole: 4 of 25250 images of test" in found["food101"]["problems"]["test"]
    assert found["imagenet"]["state"] == "absent"
    assert found["imagenet"]["images"]["val"] == 50_000
    told = invoke("list", "imagenet", "oxford-pets").stdout.splitlines()
    assert told[0] == f"data sets below {root}"
    assert told[1].split()[:4] == ["imagenet", "absent", "by", "hand"]
    assert told[4].split()[:4] == ["oxford_pets", "absent", "0.81", "GB"]
    assert told[5] == "  terms: CC BY-SA 4.0"


def test_a_name_that_nobody_knows_and_one_that_needs_an_account_are_one_line_each(root: Path) -> None:
    wrong = invoke("list", "dtt")
    assert wrong.exit_code == 2
    assert wrong.stderr == "error: data: there is no data set 'dtt'. Did you mean 'dtd'?\n"
    refused = invoke("get", "imagenet", "stanford_cars")
    assert refused.exit_code == 2
    assert refused.stderr.count("By hand: ") == 2
    assert list(root.iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("root")
def test_without_a_network_get_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    away = PublishedFile("http://127.0.0.1:9/dtd.tar.gz", "md5:00", 1)
    monkeypatch.setitem(published_files._DOWNLOADS, "dtd", lambda: Download((away,), "dtd", "dtd"))  # type: ignore[arg-type]
    ended = invoke("get", "dtd")
    assert ended.exit_code == 3
    note, error = ended.stderr.splitlines()
    assert "0.63 GB" in note
    assert "terms: for research" in note
    assert error.startswith("error: http://127.0.0.1:9/dtd.tar.gz: there is no way to this server")


def test_a_config_needs_no_more_than_the_name() -> None:
    encoder = {"kind": "open_clip", "checkpoint": "demo:micro-clip"}
    base: dict[str, Any] = {"name": "textures", "encoder": encoder, "methods": ["clip"], "dataset": {"name": "dtd"}}
    assert load_spec(base).dataset == NamedDataset(kind="named", name="dtd")
    pool = {"name": "dtd", "split": "train"}
    spec = load_spec({**base, "few_shot": {"pool": pool, "shots": [1]}})
    assert spec.few_shot is not None
    assert spec.few_shot.pool == NamedDataset(kind="named", name="dtd", split="train")
    with pytest.raises(ConfigError, match=r"few_shot\.pool is the same data set"):
        load_spec({**base, "few_shot": {"pool": {"name": "dtd"}, "shots": [1]}})
    other = load_spec({**base, "few_shot": {"pool": {"name": "eurosat"}, "shots": [1]}})
    assert other.few_shot is not None, "another name is another data set"
    with pytest.raises(ConfigError, match=r"dataset.name: there is no 'dtt'. Did you mean 'dtd'\?"):
        load_spec({**base, "dataset": {"name": "dtt"}})
    with pytest.raises(ConfigError, match=r"dataset.split: there is no 'tset'. Did you mean 'test'\?"):
        load_spec({**base, "dataset": {"name": "dtd", "split": "tset"}})


def test_a_folder_here_is_meant_only_where_the_data_set_is_not(root: Path) -> None:
    put(Path("food101/apple/1.jpg"))
    assert meant_by("food101", "food101") is None
    assert meant_by("dtd", "dtd") == "dtd"
    assert meant_by("Oxford-Pets", "Oxford-Pets") == "oxford_pets"
    TREES["food101"](root)
    assert meant_by("food101", "food101") == "food101"
    assert meant_by("./food101", "./food101") is None


def test_a_sweep_takes_names(root: Path) -> None:
    few_shot = typed_sweep("s", ["dtd", "imagenet_r"], ["demo:micro-clip"], ["clip", "lda"], [2])
    dtd, rendition = cells_of(few_shot, str(Path.cwd()), data_root=str(root))
    assert dtd.spec is not None
    assert rendition.spec is not None
    assert dtd.spec.dataset == NamedDataset(kind="named", name="dtd", root=str(root))
    assert dtd.spec.texts.domain == "texture"
    assert dtd.spec.few_shot is not None
    assert dtd.spec.few_shot.pool == NamedDataset(kind="named", name="dtd", root=str(root), split="train")
    assert rendition.spec.few_shot is None, "it has no images to learn from"
    settings = {"caltech": {"name": "caltech101", "lists": "few_shot"}, "food": "food101"}
    sweep = {"name": "s", "datasets": settings, "models": {"m": "demo:micro-clip"}, "methods": ["clip"]}
    caltech, food = cells_of(check_sweep(sweep, "test"), str(Path.cwd()))
    assert caltech.spec is not None
    assert food.spec is not None
    assert caltech.spec.dataset == NamedDataset(kind="named", name="caltech101", lists="few_shot")
    assert food.spec.dataset == NamedDataset(kind="named", name="food101")
    assert food.spec.few_shot is None, "nobody has asked for shots"


@pytest.mark.slow
def test_a_data_set_by_name_is_evaluated_and_looked_at_again_when_it_changes(root: Path, tmp_path: Path) -> None:
    from coder_core.pipeline.runner import inline_runner
    from coder_core.recipes.evaluate import evaluate
    from coder_core.results.result_tables import ResultTables
    from coder_core.results.schema import RunRow
    from coder_core.specs import Runtime

    TREES["food101"](root)
    dataset = {"name": "food101", "partial": True}
    few_shot = {"pool": {**dataset, "split": "train"}, "shots": [1], "draws": 1, "methods": ["lda"]}
    encoder = {"kind": "open_clip", "checkpoint": "demo:micro-clip"}
    spec = load_spec({"name": "food", "dataset": dataset, "encoder": encoder, "methods": ["clip"],
                      "few_shot": {**few_shot, "zero_shot": "clip", "validation_per_class": 0}})  # fmt: skip
    runtime = Runtime(store=str(tmp_path / "store"), device="cpu")
    with inline_runner(runtime) as run:
        result = evaluate(spec, run)
    assert result.image_count == 4
    store = Store(runtime.store)
    assert published_run(spec, store) == result.run_id
    (row,) = ResultTables(store).read_rows(RunRow, result.run_id)
    assert row.dataset == "food101"
    put(root / "food-101/meta/test.json", (root / "food-101/meta/test.json").read_bytes())
    (root / "food-101/new").mkdir()
    assert inputs_changed_since(spec, row.started_at)


def test_init_takes_a_name_or_a_manifest(root: Path, tiny_clip: Path) -> None:
    TREES["food101"](root)
    put(Path("birds.csv"), "path,label\nwren/1.jpg,wren\nRedKite/2.jpg,RedKite\n")
    put(Path("wren/1.jpg"))
    put(Path("RedKite/2.jpg"))
    written = write_first_config(Wish("birds.csv", str(tiny_clip)))
    assert written.path == Path("birds.yaml")
    settings = yaml.safe_load(written.path.read_text())
    assert settings["dataset"] == {"kind": "manifest", "path": "birds.csv"}
    assert settings["class_names"] == {"RedKite": "red kite"}
    with pytest.raises(ConfigError, match="no rows are there to learn from"):
        write_first_config(Wish("birds.csv", str(tiny_clip), shots=1, name="other"))
    put(Path("parts.csv"), "path,label,split,group\nwren/1.jpg,wren,test,a\nRedKite/2.jpg,RedKite,train,b\n")
    first = write_first_config(Wish("parts.csv", str(tiny_clip), shots=1))
    settings = yaml.safe_load(first.path.read_text())
    assert settings["dataset"] == {"kind": "manifest", "path": "parts.csv", "split": "test"}
    assert settings["few_shot"]["pool"] == {"kind": "manifest", "path": "parts.csv", "split": "train"}
    assert settings["groups"] == {"column": "group"}
