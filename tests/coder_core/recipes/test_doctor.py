"""Spoiled data sets: every fault is found before a language model is asked or a run is made; data stays as it is."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from coder_core.config import load_spec
from coder_core.demo.flag_images import flag_names, render_flags
from coder_core.errors import DatasetError
from coder_core.pipeline.runner import inline_runner
from coder_core.recipes.check import check_evaluation
from coder_core.recipes.evaluate import evaluate
from coder_core.recipes.examination import Examination, examine, fix_config
from coder_core.review.finding import Fault
from coder_core.specs import Runtime
from coder_core.storage.store import Store
from tests.fixtures_inputs import write_image_class

pytestmark = pytest.mark.slow

LOOKS = {
    "Japan": "white with a red disc in the centre",
    "Germany": "three horizontal stripes of black, red and yellow",
    "Switzerland": "red with a white cross in the centre",
    "Vietnam": "red with a yellow star in the centre",
    "Ukraine": "two horizontal stripes of blue and yellow",
    "Sweden": "blue with a yellow cross",
    "France": "three vertical stripes of blue, white and red",
    "Nigeria": "three vertical stripes of green, white and green",
}
"""Flags by names that the micro-CLIP understands."""

ODD = (
    "three stripes of green, white and black with a disc, a cross and a star but {class} {class} with three stripes of "
    "red and white and green and a crescent"
)


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of photographs of eight flags."""
    root = tmp_path_factory.mktemp("flags")
    for image in render_flags(8, 1):
        name = flag_names()[image.label_id]
        if name in LOOKS:
            (root / name).mkdir(exist_ok=True)
            (root / name / f"{image.image_id.replace('/', '-')}.png").write_bytes(image.content)
    return root


def write_config(folder: Path, images: Path, **changes: Any) -> str:
    settings = {
        "name": "spoiled",
        "dataset": {"kind": "folder", "path": str(images)},
        "encoder": {"kind": "open_clip", "checkpoint": "demo:micro-clip"},
        "methods": ["clip"],
        **changes,
    }
    (folder / "config.yaml").write_text(f"# kept by hand\n{yaml.safe_dump(settings)}")
    return str(folder / "config.yaml")


def write_texts(folder: Path, looks: dict[str, str]) -> str:
    classes = [{"name": name, "attributes": [look]} for name, look in looks.items()]
    (folder / "bank.yaml").write_text(yaml.safe_dump({"format": "coder-text-bank/1", "classes": classes}))
    return str(folder / "bank.yaml")


def faults(config: str, runtime: Runtime, **options: Any) -> list[Fault]:
    found = examine(load_spec(config), runtime, **options)
    kept = {place.partition("/")[0] for place in Store(runtime.store).list()}
    assert not {"completions", "results"} & kept  # nobody was asked, and no run was made
    return [finding.fault for finding in found.findings]


def test_a_sound_data_set_has_no_fault(flags: Path, tmp_path: Path, runtime: Runtime) -> None:
    config = write_config(tmp_path, flags, class_names=LOOKS, texts={"bank": write_texts(tmp_path, LOOKS)})
    assert faults(config, runtime) == []


def test_names_in_another_order_than_the_labels(flags: Path, tmp_path: Path, runtime: Runtime) -> None:
    names = list(LOOKS)
    shuffled = dict(zip(names, [LOOKS[name] for name in (*names[1:], names[0])], strict=True))
    config = write_config(tmp_path, flags, class_names=shuffled)
    assert faults(config, runtime) == [Fault.LABEL_ORDER]
    assert faults(config, runtime, with_encoder=False) == []


def test_texts_that_describe_other_classes(flags: Path, tmp_path: Path, runtime: Runtime) -> None:
    swapped = {**LOOKS, "Japan": LOOKS["Sweden"], "Sweden": LOOKS["Germany"], "Germany": LOOKS["Japan"]}
    config = write_config(tmp_path, flags, texts={"bank": write_texts(tmp_path, swapped)}, class_names=LOOKS)
    (finding,) = examine(load_spec(config), runtime).findings
    assert finding.fault is Fault.OTHER_CLASS
    order = sorted(LOOKS)  # the labels of class folders
    assert {order[label] for label in finding.class_ids} == {"Japan", "Sweden", "Germany"}


def test_sentences_that_do_not_fit(flags: Path, tmp_path: Path, runtime: Runtime) -> None:
    odd = {"class_name": ODD}
    texts = {"domain": "odd", "domains": {"odd": odd}}
    assert Fault.DOMAIN in faults(write_config(tmp_path, flags, class_names=LOOKS, texts=texts), runtime)


def write_spoiled(root: Path, *names: str) -> Path:
    for name in names:
        write_image_class(root, name, 2)
    return root


@pytest.mark.parametrize(
    ("names", "fault", "spoken"),
    [
        (("AnnualCrop", "SeaLake"), Fault.RUN_TOGETHER, ["annual crop", "sea lake"]),
        (("001.Laysan_Albatross", "002.Sooty_Albatross"), Fault.NUMBERED, ["Laysan Albatross", "Sooty Albatross"]),
        (("n01440764", "n01443537"), Fault.WORDNET_ID, ["tench", "goldfish"]),
    ],
)
def test_names_are_mended_in_the_config_and_nowhere_else(
    names: tuple[str, ...], fault: Fault, spoken: list[str], tmp_path: Path, runtime: Runtime
) -> None:
    images = write_spoiled(tmp_path / "images", *names)
    config = write_config(tmp_path, images)
    files = sorted(images.rglob("*"))
    found = examine(load_spec(config), runtime, with_encoder=False)
    assert [finding.fault for finding in found.findings] == [fault]
    before = Path(config).read_text()
    assert fix_config(config, load_spec(config), found) == dict(zip(names, spoken, strict=True))
    assert Path(config).read_text().startswith(before)
    assert sorted(images.rglob("*")) == files
    assert faults(config, runtime, with_encoder=False) == []
    with inline_runner(runtime) as run:
        result = evaluate(load_spec(config), run)
    assert result.class_count == 2


def test_a_config_keeps_its_line_ends_and_its_place(tmp_path: Path, runtime: Runtime) -> None:
    file = Path(write_config(tmp_path, write_spoiled(tmp_path / "images", "RedKite", "wren")))
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    before, link = file.read_bytes(), tmp_path / "link.yaml"
    link.symlink_to(file.name)
    spec = load_spec(str(link))
    fix_config(str(link), spec, examine(spec, runtime, with_encoder=False))
    assert link.is_symlink()
    assert file.read_bytes() == before + b"class_names:\r\n  RedKite: red kite\r\n"


def test_every_run_is_told_of_names_and_of_classes_without_images(tmp_path: Path, runtime: Runtime) -> None:
    images = write_spoiled(tmp_path / "images", "crane", "RedKite")
    (tmp_path / "classes.txt").write_text("crane\nRedKite\nwren\n")
    dataset = {"kind": "folder", "path": str(images), "classes": {"kind": "file", "path": "classes.txt"}}
    spec = load_spec(write_config(tmp_path, images, dataset=dataset))
    warnings = check_evaluation(spec, runtime).warnings
    assert len(warnings) == 3
    for part in (
        "'RedKite' -> 'red kite'",
        "'crane bird' or 'construction crane'",
        "1 of 3 classes have no image: 'wren'",
    ):
        assert sum(part in warning for warning in warnings) == 1, part


def test_a_bank_is_found_by_old_names_and_by_new_ones(tmp_path: Path, runtime: Runtime) -> None:
    images = write_spoiled(tmp_path / "images", "AnnualCrop", "SeaLake")
    texts = {"bank": write_texts(tmp_path, {"AnnualCrop": "rows of green", "sea lake": "blue water"})}
    names = {"AnnualCrop": "annual crop", "SeaLake": "sea lake"}
    spec = load_spec(write_config(tmp_path, images, texts=texts, class_names=names, methods=["clip", "coder"]))
    found = check_evaluation(spec, runtime)
    assert (found.problems, found.warnings) == ([], [])


def test_a_name_that_is_no_class_is_refused(tmp_path: Path, runtime: Runtime) -> None:
    images = write_spoiled(tmp_path / "images", "wren", "robin")
    (problem,) = check_evaluation(
        load_spec(write_config(tmp_path, images, class_names={"wrem": "x"})), runtime
    ).problems
    assert isinstance(problem, DatasetError)
    assert str(problem) == "class_names: 'wrem' is no class of the data set. Did you mean 'wren'?"


def test_an_examination_is_one_json_object(tmp_path: Path, runtime: Runtime) -> None:
    config = write_config(tmp_path, write_spoiled(tmp_path / "images", "AnnualCrop", "River"))
    found: Examination = examine(load_spec(config), runtime, with_encoder=False)
    (fault,) = yaml.safe_load(found.to_json({}))["faults"]
    assert (fault["fault"], fault["new_names"]) == ("run_together", {"AnnualCrop": "annual crop"})
