"""Images in tar shards, in Parquet files and beside tables: the same bytes and classes as the files."""

import csv
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from pydantic import TypeAdapter

from coder_core.errors import CoderError, DatasetError, InputError, UnfinishedInputError
from coder_core.images.sources import open_source
from coder_core.specs import DatasetSpec
from coder_core.storage import read_rounds
from coder_core.storage.packed_images import read_image

NAMES = ("wren", "robin", "jay")


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


PICTURES = [picture(seed) for seed in range(10)]
LABELS = [seed % 3 for seed in range(10)]
EXPECTED = {content: NAMES[label] for content, label in zip(PICTURES, LABELS, strict=True)}


def read(**settings: object) -> dict[bytes, str]:
    """Content -> name of the class, as the pipeline sees them."""
    source = open_source(TypeAdapter(DatasetSpec).validate_python(settings))
    found, ids = {}, []
    for batch in source.batches(4):
        assert batch.tokens is not None
        assert len(set(batch.tokens)) == len(batch.tokens)
        ids += batch.image_ids
        for location, label in zip(batch.values, batch.label_ids, strict=True):
            found[read_image(location)] = source.classes.names[label]
    assert ids == sorted(set(ids))
    assert len(ids) == source.image_count
    return found


def write_shards(folder: Path, labels: list[str], *, suffix: str = "cls", compression: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(2):
        with tarfile.open(folder / f"{shard}.tar", f"w:{compression}") as archive:
            for number in range(shard * 5, shard * 5 + 5):
                for name, content in ((f"s/{number:04d}.png", PICTURES[number]), (f"s/{number:04d}.{suffix}", labels)):
                    held = content if isinstance(content, bytes) else content[number].encode()
                    info = tarfile.TarInfo(name)
                    info.size = len(held)
                    archive.addfile(info, io.BytesIO(held))
    return folder


def write_parquet(path: Path, labels: pa.Array, *, bare: bool = False, names: tuple[str, ...] | None = None) -> Path:
    images = [content if bare else {"bytes": content, "path": None} for content in PICTURES]
    table = pa.table({"image": images, "label": labels})
    if names:
        info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    pq.write_table(table, path, row_group_size=3)
    return path


@pytest.mark.parametrize("where", ["", "0.tar", "*.tar"])
def test_tar_shards(tmp_path: Path, where: str) -> None:
    folder = write_shards(tmp_path / "shards", [str(label) for label in LABELS])
    (folder / "classnames.txt").write_text("\n".join(NAMES) + "\n")
    found = read(kind="webdataset", path=str(folder / where))
    assert found == (dict(list(EXPECTED.items())[:5]) if where == "0.tar" else EXPECTED)


def test_labels_in_words_and_in_json(tmp_path: Path) -> None:
    words = write_shards(tmp_path / "words", [NAMES[label] for label in LABELS], suffix="txt")
    assert read(kind="webdataset", path=str(words), label="txt") == EXPECTED
    inside = write_shards(tmp_path / "json", [json.dumps({"y": NAMES[label]}) for label in LABELS], suffix="json")
    assert read(kind="webdataset", path=str(inside), label="json.y") == EXPECTED


def test_tar_shards_of_an_object_store(tmp_path: Path) -> None:
    folder = write_shards(tmp_path, [str(label) for label in LABELS])
    store = MemoryFileSystem()
    store.put(str(folder), "/packed-sources/", recursive=True)
    assert read(kind="webdataset", path="memory://packed-sources", class_names=NAMES) == EXPECTED
    store.rm("/packed-sources", recursive=True)


def test_parquet(tmp_path: Path) -> None:
    described = write_parquet(tmp_path / "a.parquet", pa.array(LABELS), names=NAMES)
    assert read(kind="parquet", path=str(described)) == EXPECTED
    bare = write_parquet(tmp_path / "b.parquet", pa.array(LABELS), bare=True)
    assert read(kind="parquet", path=str(bare), class_names=NAMES) == EXPECTED
    (tmp_path / "words").mkdir()
    write_parquet(tmp_path / "words" / "c.parquet", pa.array([NAMES[label] for label in LABELS]))
    assert read(kind="parquet", path=str(tmp_path / "words")) == EXPECTED


@pytest.mark.slow
def test_classes_kept_outside(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "a.parquet", pa.array([NAMES[label].title() for label in LABELS]))
    (tmp_path / "classes.txt").write_text("jay\nkea\nrobin\nwren\n")
    assert read(kind="parquet", path=str(file), classes={"kind": "file", "path": f"{tmp_path}/classes.txt"}) == EXPECTED


@pytest.mark.parametrize("kind", ["metadata.csv", "metadata.jsonl"])
def test_a_folder_with_a_table(tmp_path: Path, kind: str) -> None:
    (tmp_path / "train" / "deep").mkdir(parents=True)
    rows = []
    for number, content in enumerate(PICTURES):
        (tmp_path / "train" / "deep" / f"{number}.png").write_bytes(content)
        rows.append({"file_name": f"deep/{number}.png", "kind": NAMES[LABELS[number]], "more": "x"})
    (tmp_path / "train" / "deep" / "beside.png").write_bytes(picture(99))
    with (tmp_path / "train" / kind).open("w", newline="") as target:
        if kind.endswith("csv"):
            writer = csv.DictWriter(target, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        else:
            target.writelines(json.dumps(row) + "\n" for row in rows)
    assert read(kind="image_folder", path=str(tmp_path), label="kind") == EXPECTED
    with pytest.raises(DatasetError, match=r"there is no 'label' .* It holds: file_name, kind, more"):
        read(kind="image_folder", path=str(tmp_path))
    (tmp_path / "train" / "deep" / "3.png").unlink()
    with pytest.raises(DatasetError, match=r"1 image is absent, 'train/deep/3.png'"):
        read(kind="image_folder", path=str(tmp_path), label="kind")


def test_shards_that_are_none_are_refused(tmp_path: Path) -> None:
    whole = write_shards(tmp_path / "whole", [str(label) for label in LABELS])
    with pytest.raises(DatasetError, match=r"label 0 has no name .nothing says what numbers mean"):
        read(kind="webdataset", path=str(whole))
    with pytest.raises(DatasetError, match=r"label 2 has no name .there are 2 names"):
        read(kind="webdataset", path=str(whole), class_names=NAMES[:2])
    with pytest.raises(DatasetError, match=r"no 'txt' beside cls, png"):
        read(kind="webdataset", path=str(whole), class_names=NAMES, label="txt")
    packed = write_shards(tmp_path / "packed", [str(label) for label in LABELS], compression="gz")
    with pytest.raises(InputError, match=r"this is no tar file"):
        read(kind="webdataset", path=str(packed), class_names=NAMES)


@pytest.mark.parametrize("kept", [600, 1536, 2000, 5120, 6000])
def test_a_shard_that_is_cut_off_is_refused(tmp_path: Path, kept: int) -> None:
    shard = write_shards(tmp_path, [str(label) for label in LABELS]) / "0.tar"
    shard.write_bytes(shard.read_bytes()[:kept])
    with pytest.raises((UnfinishedInputError, InputError), match=r"cut off|no tar file"):
        read(kind="webdataset", path=str(shard), class_names=NAMES)


def test_files_that_are_no_parquet_of_images_are_refused(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "a.parquet", pa.array(LABELS), names=NAMES)
    with pytest.raises(DatasetError, match=r"no column 'picture'.* the file holds: image, label"):
        read(kind="parquet", path=str(file), image="picture")
    with pytest.raises(DatasetError, match=r"column 'label' is int64 and holds no bytes"):
        read(kind="parquet", path=str(file), image="label")
    gaps = write_parquet(tmp_path / "gaps.parquet", pa.array([*LABELS[:-1], None]), names=NAMES)
    with pytest.raises(DatasetError, match=r"row 9 has no label"):
        read(kind="parquet", path=str(gaps))
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(CoderError, match=r"damaged"):
        read(kind="parquet", path=str(file))


def test_a_file_that_shrinks_after_the_listing_is_an_unread_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_rounds, "PAUSES", (0.0, 0.0, 0.0))
    shard = write_shards(tmp_path, [str(label) for label in LABELS]) / "0.tar"
    spec = {"kind": "webdataset", "path": str(shard), "class_names": NAMES}
    (batch,) = open_source(TypeAdapter(DatasetSpec).validate_python(spec)).batches(10)
    shard.write_bytes(b"")
    with pytest.raises(InputError, match=r"it ends after 0 of"):
        read_image(str(batch.values[0]))
