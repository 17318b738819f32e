"""Bad input to the flow: one clear error, nothing published; broken images are left out, counted and listed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coder_core.errors import CoderError, ConfigError, DatasetError, FeatureFileError, StoreError, TextBankError
from coder_core.specs import Runtime
from flows.coder_eval import coder_eval
from tests.fixtures_inputs import DIM, NAMES, World, rewrite_features, write_bank

from .conftest import Query

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


def test_broken_images_are_left_out_counted_and_listed(photos: World, runtime: Runtime, query: Query) -> None:
    folder = photos.folder / "images" / "wren"
    Image.new("RGB", (200, 200), "red").save(folder / "whole.jpg")
    content = (folder / "whole.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(content[: len(content) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "letter.jpg").write_text("Dear reader, this is not an image.")
    result = coder_eval(photos.settings, [], runtime)
    assert (result.image_count, result.images_quarantined, result.images_embedded) == (21, 3, 21)
    problems = dict(query("SELECT image_id, problem FROM quarantine ORDER BY 1"))
    assert list(problems) == ["wren/cut.jpg", "wren/empty.png", "wren/letter.jpg"]
    assert "truncated" in problems["wren/cut.jpg"]
    assert problems["wren/empty.png"] == "the file is empty"
    assert "not an image in a known format" in problems["wren/letter.jpg"]
    assert query("SELECT images_quarantined, image_count FROM runs") == [(3, 21)]
    assert query("SELECT DISTINCT n FROM metrics WHERE metric = 'top1'") == [(21,)]


def test_a_mended_image_is_taken_in_by_the_next_run(photos: World, runtime: Runtime) -> None:
    broken = photos.folder / "images" / "wren" / "empty.png"
    broken.write_bytes(b"")
    coder_eval(photos.settings, [], runtime)
    Image.new("RGB", (20, 20), "red").save(broken)
    mended = coder_eval(photos.settings, [], runtime)
    assert (mended.image_count, mended.images_quarantined, mended.images_embedded) == (21, 0, 1)


def test_a_data_set_without_any_readable_image_is_an_error(photos: World, runtime: Runtime, query: Query) -> None:
    for file in (photos.folder / "images").rglob("*.png"):
        file.write_bytes(b"no image")
    refuse(photos, runtime, query, DatasetError, "none of 20 images can be read")


def with_nan(world: World) -> None:
    features = np.load(world.folder / "images.npz")["features"]
    features[7, 2] = np.nan
    rewrite_features(world, features=features)


def with_other_dimension(world: World) -> None:
    rewrite_features(world, features=np.ones((120, DIM + 1)))


def with_label_out_of_range(world: World) -> None:
    rewrite_features(world, labels=np.full(120, 4))


def with_fewer_labels(world: World) -> None:
    rewrite_features(world, labels=np.zeros(119, dtype=int))


def with_class_missing_in_bank(world: World) -> None:
    write_bank(world.folder / "bank.yaml", NAMES[:3])


def with_text_without_feature(world: World) -> None:
    content = (world.folder / "bank.yaml").read_text()
    (world.folder / "bank.yaml").write_text(content.replace("wren mark 0", "wren mark 99"))


def without_file(world: World) -> None:
    (world.folder / "images.npz").unlink()


@pytest.mark.parametrize(
    ("spoil", "error", "told"),
    [
        (with_nan, FeatureFileError, "row 7 holds NaN or infinity (1 of 120 rows do)"),
        (with_other_dimension, FeatureFileError, f"image features have {DIM + 1} dimensions, text features {DIM}"),
        (with_label_out_of_range, FeatureFileError, "row 0 has label 4, not in 0..3 (120 rows do)"),
        (with_fewer_labels, FeatureFileError, "expected 120 whole numbers, found shape (119,)"),
        (with_class_missing_in_bank, TextBankError, "wren"),
        (with_text_without_feature, FeatureFileError, "wren mark 99"),
        (without_file, CoderError, "images.npz"),
    ],
)
def test_an_unusable_input_file_is_an_error(
    world: World,
    runtime: Runtime,
    query: Query,
    spoil: Callable[[World], None],
    error: type[CoderError],
    told: str,
) -> None:
    spoil(world)
    assert refuse(world, runtime, query, error, told).exit_code == 3


@pytest.mark.thorough
def test_what_a_failed_run_left_behind_does_no_harm(world: World, runtime: Runtime, query: Query) -> None:
    features = np.load(world.folder / "images.npz")["features"]
    with_other_dimension(world)
    refuse(world, runtime, query, FeatureFileError, "dimensions")
    rewrite_features(world, features=features)
    mended = coder_eval(world.settings, [], runtime)
    clean = coder_eval(world.settings, [], Runtime(store=f"{runtime.store}-clean", device="cpu"))
    assert mended.metrics == clean.metrics
    assert query("SELECT count(*) FROM runs") == [(1,)]


def test_a_wrong_config_is_an_error(world: World, runtime: Runtime, query: Query) -> None:
    refuse(world, runtime, query, ConfigError, "unknown key 'shots'", "shots=4")
    refuse(world, runtime, query, ConfigError, "logit_scale", "logit_scale=-1")


def test_a_store_below_a_file_is_an_error_before_any_work(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("I am not a folder.")
    with pytest.raises(StoreError, match="The store cannot be written"):
        coder_eval(world.settings, [], Runtime(store=str(tmp_path / "file" / "store")))
    assert (tmp_path / "file").read_text() == "I am not a folder."


def refuse(
    world: World, runtime: Runtime, query: Query, error: type[CoderError], told: str, *overrides: str
) -> CoderError:
    """Run; expect one error of one line that says `told`, and nothing published."""
    with pytest.raises(error) as raised:
        coder_eval(world.settings, list(overrides), runtime)
    assert told in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    assert query("SELECT count(*) FROM runs") == [(0,)]
    assert query("SELECT count(*) FROM metrics") == [(0,)]
    return raised.value
