"""A folder of clip-retrieval becomes an evaluation: its layout written by hand, its vectors by open_clip itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from coder_core.config import load_spec, validate_spec
from coder_core.errors import CheckpointError, CoderError, ConfigError, DatasetError, FeatureFileError
from coder_core.recipes.import_retrieval import ImportedRetrieval, RetrievalWish, import_retrieval
from coder_core.specs import Runtime
from flows.cli import main
from tests.fixtures_inputs import write_image_class

from .runs import rows, run_spec

NAMES = ("red kite", "wren")
SENTENCE = "a photo of {}"


def vectors(clip: Path, images: list[Path], texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """What open_clip's own functions give, in half precision as clip-retrieval keeps it."""
    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{clip}")
    model.eval()
    tokenize = open_clip.get_tokenizer(f"local-dir:{clip}")
    with torch.inference_mode():
        pixels = torch.stack([prepare(Image.open(path).convert("RGB")) for path in images])
        found = model.encode_image(pixels, normalize=True), model.encode_text(tokenize(texts), normalize=True)
    return found[0].numpy().astype(np.float16), found[1].numpy().astype(np.float16)


def write_retrieval(folder: Path, columns: Mapping[str, list[Any]], **matrices: np.ndarray) -> Path:
    for name, matrix in matrices.items():
        (folder / name).mkdir(parents=True)
        np.save(folder / name / f"{name}_0.npy", matrix)
    if columns:
        (folder / "metadata").mkdir(parents=True)
        pq.write_table(pa.table(dict(columns)), folder / "metadata" / "metadata_0.parquet")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in NAMES:
        write_image_class(tmp_path / "photos", name, 3)
    return tmp_path / "photos"


@pytest.fixture
def paths(photos: Path) -> list[Path]:
    return sorted(photos.glob("*/*.png"))


def imported(folder: Path, runtime: Runtime, **wish: Any) -> ImportedRetrieval:
    return import_retrieval(RetrievalWish(str(folder), **wish), folder.parent / "config.yaml", runtime=runtime)


@pytest.mark.slow
def test_vectors_and_photographs_are_one_evaluation(
    photos: Path, paths: list[Path], tiny_clip: Path, runtime: Runtime
) -> None:
    """Labels are the folders, sentences are embedded by the model: what is said is what the photographs' run says."""
    captions = ["a bird", "a bird on a wire"] * 3
    images, texts = vectors(tiny_clip, paths, captions)
    columns = {"image_path": [str(path) for path in paths], "caption": captions}
    folder = write_retrieval(photos.parent / "vectors", columns, img_emb=images, text_emb=texts)
    found = imported(folder, runtime, model=str(tiny_clip))
    assert found.facts[0] == "6 images of 2 classes, labelled by the folders of image_path"
    assert found.written == photos.parent / "config.npz"
    settings = {"name": "photos", "dataset": {"kind": "folder", "path": str(photos)}}
    settings |= {"encoder": {"kind": "open_clip", "checkpoint": str(tiny_clip)}, "methods": ["clip", "clip_ensemble"]}
    run_spec(validate_spec(settings, place="test", base=str(photos)), runtime, "from-photographs")
    run_spec(load_spec(str(found.path)), runtime, "from-vectors")
    expected = answers(runtime, "from-photographs")
    assert len(expected) == 12
    assert answers(runtime, "from-vectors") == expected


def answers(runtime: Runtime, run_id: str) -> list[tuple[Any, ...]]:
    columns = "method, image_id, label_name, predicted_name"
    return sorted(rows(runtime, f"SELECT {columns} FROM predictions WHERE run_id = '{run_id}'"))


@pytest.mark.slow
@pytest.mark.parametrize("labels", [["wren", "red_kite", "wren"], [1, 0, 1]])
def test_labels_of_a_column_and_sentences_of_another_folder(
    labels: list[Any], tmp_path: Path, runtime: Runtime
) -> None:
    """Words are found in the list of names as folders are; numbers count in it, and nothing is copied."""
    (tmp_path / "names.txt").write_text("".join(f"{name}\n" for name in NAMES))
    units = np.eye(3, dtype=np.float16)
    keys = [f"{number:09d}" for number in range(3)]  # keys of tar shards: no folder tells anything
    folder = write_retrieval(tmp_path / "vectors", {"image_path": keys, "label": labels}, img_emb=units)
    captions = [SENTENCE.format(name) for name in NAMES]
    sentences = write_retrieval(tmp_path / "sentences", {"caption": captions}, text_emb=units[:2])
    wish = {"classes": str(tmp_path / "names.txt"), "texts": str(sentences)}
    found = imported(folder, runtime, **wish)
    assert (found.written is None) == isinstance(labels[0], int)
    run_spec(load_spec(str(found.path)), runtime)
    found_rows = rows(runtime, "SELECT image_id, label, predicted FROM predictions ORDER BY image_id")
    assert found_rows == [(keys[0], 1, 0), (keys[1], 0, 1), (keys[2], 1, 0)]


@pytest.mark.slow
def test_another_model_is_refused(photos: Path, paths: list[Path], tiny_clip: Path, runtime: Runtime) -> None:
    """One that has as many dimensions is told from the right one by the captions."""
    images, texts = vectors(tiny_clip, paths, ["a bird"] * 6)
    columns = {"image_path": [str(path) for path in paths], "caption": ["a bird"] * 6}
    other = write_retrieval(photos.parent / "other", columns, img_emb=images, text_emb=texts[:, ::-1].copy())
    with pytest.raises(CheckpointError, match="gives 'a bird' another vector than the folder has"):
        imported(other, runtime, model=str(tiny_clip))
    short = write_retrieval(photos.parent / "short", columns, img_emb=images[:, :8])
    with pytest.raises(CheckpointError, match="have 16 dimensions, those of the folder 8"):
        imported(short, runtime, model=str(tiny_clip))
    assert not (photos.parent / "config.yaml").exists()


@pytest.mark.parametrize(
    ("columns", "matrices", "wish", "error", "told"),
    [
        ({"image_path": ["000", "001"]}, ("img_emb",), {}, DatasetError, "2 of 2 images lie in no folder, '000'"),
        (
            {"image_path": ["a/0", "a/1", "b/2"]},
            ("img_emb",),
            {},
            FeatureFileError,
            "has 2 vectors, the metadata 3 rows",
        ),
        ({"label": [0, 1]}, ("img_emb",), {}, ConfigError, "'label' holds numbers, and nothing says what they mean"),
        ({"caption": ["a", "b"]}, ("img_emb",), {}, FeatureFileError, "no column 'image_path'.*It holds: caption"),
        ({}, ("img_emb",), {"labels": "species"}, FeatureFileError, "no column 'species'.*It holds: no metadata"),
        ({"label": ["a", "b"]}, ("img_emb",), {}, ConfigError, "no vectors of texts"),
        ({"caption": ["a", "b"]}, ("text_emb",), {}, FeatureFileError, "there is no img_emb"),
        ({"caption": ["a", "b"]}, (), {}, FeatureFileError, "neither img_emb"),
    ],
)
def test_what_is_missing_is_told(
    columns: dict[str, list[Any]],
    matrices: tuple[str, ...],
    wish: dict[str, str],
    error: type[CoderError],
    told: str,
    tmp_path: Path,
    runtime: Runtime,
) -> None:
    units = {name: np.eye(2, dtype=np.float16) for name in matrices}
    folder = write_retrieval(tmp_path / "vectors", columns, **units)
    with pytest.raises(error, match=told):
        imported(folder, runtime, **wish)
    assert not (tmp_path / "config.yaml").exists()


def test_the_command_says_what_a_run_would_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    columns = {"label": ["wren", "owl"], "caption": ["a photo of wren", "a photo of an owl"]}
    units = np.eye(2, dtype=np.float16)
    write_retrieval(tmp_path / "birds", columns, img_emb=units, text_emb=units)
    found = typed("import", "clip-retrieval", "birds", "--store", "store")
    assert found.exit_code == 0, found.stderr
    assert "a run would stop here: " in found.stderr
    assert "1 of 2 texts have no feature, the first is 'a photo of owl'" in found.stderr
    assert found.stdout.splitlines()[-2:] == ["wrote birds.yaml and birds.npz", "Next: coder-eval run birds.yaml"]
    again = typed("import", "clip-retrieval", "birds", "--labels", "caption", "--store", "store")
    assert again.exit_code == 3
    assert "--force" in again.stderr


def typed(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), catch_exceptions=False)
