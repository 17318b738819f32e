"""From a folder and a few words to a config like any other; and images without labels get names and no accuracy."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from coder_core.config import load_spec
from coder_core.encoders.model_names import DEFAULT_MODEL, encoder_settings
from coder_core.errors import CheckpointError, CoderError, ConfigError, DatasetError, InputError
from coder_core.images.sources import open_source
from coder_core.pipeline.context import Context
from coder_core.pipeline.runner import inline_runner
from coder_core.recipes.check import check_evaluation
from coder_core.recipes.evaluate import evaluate
from coder_core.recipes.first_config import FirstConfig, Wish, write_first_config
from coder_core.recipes.name_images import name_images
from coder_core.report.prediction_table import read_named
from coder_core.specs import Runtime
from tests.fixtures_inputs import write_bank, write_image_class

pytestmark = pytest.mark.slow
PARTS = ((0, "TEST"), (1, "TEST"), (2, "Train"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a person with two class folders of five images."""
    for name in ("wren", "RedKite"):
        write_image_class(tmp_path / "photos", name, 5)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def first(model: Path | str, **wish: Any) -> FirstConfig:
    return write_first_config(Wish(**{"images": "photos", "model": str(model), **wish}))


@pytest.mark.usefixtures("here")
def test_the_config_that_is_written_is_the_one_that_runs(tiny_clip: Path, runtime: Runtime) -> None:
    written = first(tiny_clip)
    assert written.path == Path("photos.yaml")
    assert load_spec("photos.yaml") == written.spec
    settings = yaml.safe_load(written.path.read_text())
    assert settings["dataset"] == {"kind": "folder", "path": "photos"}
    assert settings["class_names"] == {"RedKite": "red kite"}
    assert not check_evaluation(written.spec, runtime).problems
    with inline_runner(runtime) as run:
        result = evaluate(written.spec, run)
    assert (result.image_count, {row.method for row in result.metrics}) == (10, {"clip", "clip_ensemble"})
    assert first(tiny_clip).spec == written.spec  # the same wish again is no conflict


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("edited", ["photos.yaml", "photos-split.json"])
def test_another_wish_replaces_a_config_that_nobody_has_edited(edited: str, tiny_clip: Path) -> None:
    """The commands of README one after the other, and a misspelt model before the right one."""
    for wish in ({}, {"domain": "bird"}, {"shots": 2}, {"shots": 1}, {"shots": 2, "texts": "llm:gpt-4o-mini"}):
        spec = first(tiny_clip, **wish).spec
        assert load_spec("photos.yaml") == spec
    Path(edited).write_text(Path(edited).read_text() + "\n")
    with pytest.raises(InputError, match="--force"):
        first(tiny_clip, domain="bird", shots=1)
    assert load_spec("photos.yaml") == spec


@pytest.mark.usefixtures("here")
def test_shots_are_taken_out_of_the_test(tiny_clip: Path, runtime: Runtime) -> None:
    spec = first(tiny_clip, shots=2).spec
    split = json.loads(Path("photos-split.json").read_text())
    train, test = ({path for path, _, _ in split[name]} for name in ("train", "test"))
    assert (len(train), len(test), train & test) == (4, 6, set())
    assert {path.partition("/")[0] for path in train} == {"wren", "RedKite"}
    with inline_runner(runtime) as run:
        result = evaluate(spec, run)
    assert (result.image_count, {row.shots for row in result.few_shot}) == (6, {2})
    with pytest.raises(InputError, match="5 to learn from leave none to test"):
        first(tiny_clip, shots=5, name="all")


def test_roots_of_a_split_are_not_taken_for_classes(here: Path, tiny_clip: Path) -> None:
    for root in ("Training", "Test"):
        write_image_class(here / "split" / root, "wren", 2)
    written = first(tiny_clip, images="split", shots=1)
    assert written.notes == ("split holds parts of a data set: Test is measured on, Training is learnt from",)
    spec = written.spec
    assert spec.few_shot is not None
    assert [Path(getattr(part, "path")).name for part in (spec.dataset, spec.few_shot.pool)] == ["Test", "Training"]  # noqa: B009
    (here / "names.txt").write_text("wren\nred kite\n")
    listed = first(tiny_clip, images="split", shots=1, classes="names.txt", name="listed").spec
    assert listed.few_shot is not None
    for part in (listed.dataset, listed.few_shot.pool):
        assert getattr(part, "classes").path == str(here / "names.txt")  # noqa: B009


def test_a_folder_around_class_folders_is_refused_with_the_one_that_is_meant(here: Path, tiny_clip: Path) -> None:
    (here / "archive").mkdir()
    (here / "photos").rename(here / "archive" / "photos")
    with pytest.raises(DatasetError, match=r"Name the folder of class folders: .*/archive/photos; ") as caught:
        first(tiny_clip, images="archive")
    assert "'photos' holds several folders" in caught.value.problem
    assert not (here / "archive.yaml").exists()


def test_texts_come_from_a_bank_a_published_file_or_a_language_model(here: Path, tiny_clip: Path) -> None:
    write_bank(here / "bank.yaml", ("wren", "RedKite"))
    bank = first(tiny_clip, texts="bank.yaml", name="a").spec
    assert (bank.texts.bank, bank.methods) == (str(here / "bank.yaml"), ("clip", "clip_ensemble", "vcd", "coder"))
    (here / "published.json").write_text(json.dumps({"wren": ["a cocked tail"], "red_kite": ["a forked tail"]}))
    converted = first(tiny_clip, texts="published.json", name="b", domain="bird")
    published = converted.spec
    assert converted.notes[0].startswith("published.json: 2 phrases for 2 of 2 classes; 0 entries")
    assert Path(str(published.texts.bank)).name == "b-texts.yaml"
    assert "cocked tail" in Path("b-texts.yaml").read_text()
    generator = first(tiny_clip, texts="llm:gpt-4o-mini", name="c").spec.texts.generator
    assert generator is not None
    assert generator.model == "gpt-4o-mini"
    with pytest.raises(ConfigError, match="llm:"):
        first(tiny_clip, texts="llm")


def test_a_manifest_of_numbers_and_of_parts_in_capitals(here: Path, tiny_clip: Path) -> None:
    rows = [
        f"photos/{name}/{n:03}.png,{label},{part}"
        for label, name in enumerate(("wren", "RedKite"))
        for n, part in PARTS
    ]
    (here / "birds.csv").write_text("path,label,split\n" + "\n".join(rows) + "\n")
    (here / "names.txt").write_text("wren\nred kite\n")
    spec = first(tiny_clip, images="birds.csv", classes="names.txt", shots=1).spec
    assert spec.few_shot is not None
    tested, learnt = open_source(spec.dataset), open_source(spec.few_shot.pool)
    assert (tested.classes.names, tested.image_count, learnt.image_count) == (("wren", "red kite"), 4, 2)
    with pytest.raises(DatasetError, match="label 0 has no name"):
        first(tiny_clip, images="birds.csv", name="bare")


@pytest.mark.thorough
def test_unsorted_images_get_names_and_nothing_is_measured(here: Path, tiny_clip: Path, runtime: Runtime) -> None:
    write_image_class(here, "new", 3)
    (here / "new" / "broken.jpg").write_text("no image")
    (here / "names.txt").write_text("wren\nred kite\n")
    one = first(tiny_clip, images="new/000.png", classes="names.txt", name="one").spec
    assert open_source(one.dataset).image_count == 1
    spec = first(tiny_clip, images="new", classes="names.txt").spec
    assert spec.dataset.kind == "unlabelled"
    assert not check_evaluation(spec, runtime, needs_labels=False).problems
    with inline_runner(runtime) as run:
        named = name_images(spec, run)
        with pytest.raises(ConfigError, match="no labels"):
            evaluate(spec, run)
    rows = list(read_named(Context.open(runtime), named.table))
    assert (named.images, named.broken, len(rows)) == (3, 1, 4)
    assert {row.class_name for row in rows if row.problem is None} <= {"wren", "red kite"}
    assert "no labels" in str(check_evaluation(spec, runtime).problems[0])


@pytest.mark.parametrize(
    ("spoil", "wish", "kind", "part"),
    [
        ("mkdir", {"images": "empty"}, InputError, "no image and no folder"),
        ("loose", {"images": "loose"}, InputError, "--classes names.txt"),
        ("loose", {"images": "loose", "classes": "names.txt", "shots": 1}, ConfigError, "no labels to learn from"),
        ("0.tar", {"images": "packed", "classes": "names.txt"}, InputError, "tar shards.*kind: webdataset"),
        ("0.parquet", {"images": "packed"}, InputError, "Parquet files.*kind: parquet"),
        ("metadata.csv", {"images": "packed"}, InputError, "metadata.csv.*kind: image_folder"),
        ("", {"images": "nowhere"}, InputError, "no such folder"),
        ("", {"texts": "nowhere.json"}, InputError, "cannot be read"),
        ("beside", {}, DatasetError, "lies in no class folder"),
        ("beside", {"classes": "names.txt"}, InputError, "called like classes, 'wren'"),
        ("", {"images": ""}, InputError, "no such folder"),
        ("", {"images": "photos/wren/000.png"}, InputError, "it is a file"),
        ("", {"domain": "brid"}, CoderError, "brid"),
        ("", {"images": "dtd", "classes": "names.txt"}, ConfigError, "dtd has classes of its own"),
        ("", {"shots": 2, "texts": "nowhere.json"}, InputError, "cannot be read"),
        ("", {"shots": 2, "classes": "more.txt"}, InputError, "1 listed class has no image to learn from, 'fox'"),
    ],
)
def test_bad_input_is_one_error(
    spoil: str, wish: dict[str, Any], kind: type[CoderError], part: str, here: Path, tiny_clip: Path
) -> None:
    (here / "names.txt").write_text("wren\nred kite\n")
    (here / "more.txt").write_text("wren\nRedKite\nfox\n")
    (here / "empty").mkdir()
    (here / "packed").mkdir()
    (here / "packed" / (spoil if "." in spoil else "readme.txt")).write_text("file_name,label\n")
    write_image_class(here, "loose", 1)
    if spoil == "beside":
        (here / "loose" / "000.png").rename(here / "photos" / "000.png")
    with pytest.raises(kind, match=part):
        first(tiny_clip, **wish)
    assert not [*here.glob("*.yaml"), *here.glob("*.json")]


@pytest.mark.usefixtures("here")
def test_what_belongs_to_a_config_that_is_not_replaced_stays_as_it_was(tiny_clip: Path) -> None:
    first(tiny_clip, shots=2)
    split = Path("photos-split.json").read_text()
    with pytest.raises(InputError, match="cannot be read"):
        write_first_config(Wish("photos", str(tiny_clip), shots=1, texts="nowhere.json"), is_forced=True)
    assert Path("photos-split.json").read_text() == split


def test_a_model_is_named_in_one_word(tmp_path: Path, tiny_clip: Path) -> None:
    tag = {"kind": "open_clip", "architecture": "ViT-B-32", "checkpoint": "laion2b_s34b_b79k"}
    assert encoder_settings(DEFAULT_MODEL) == tag
    siglip = "google/siglip2-base-patch16-224"
    assert encoder_settings(siglip) == {"kind": "transformers", "model": siglip}
    assert encoder_settings("hf-hub:a/b") == {"kind": "open_clip", "checkpoint": "hf-hub:a/b"}
    assert encoder_settings(str(tiny_clip)) == {"kind": "open_clip", "checkpoint": str(tiny_clip)}
    (tmp_path / "config.json").write_text("{}")
    assert encoder_settings(str(tmp_path)) == {"kind": "transformers", "model": str(tmp_path)}
    for name in ("ViT-B-32", "./nowhere", "a/b/c"):
        with pytest.raises(CheckpointError, match="ARCHITECTURE/TAG"):
            encoder_settings(name)
