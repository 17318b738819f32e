"""Every reader, given files that were spoilt at random: a result, or one error of ours, and nothing else.

The seeds are fixed, so a case that fails fails again. Banks, edits and imports (tests/coder_core/texts/test_fuzz.py),
answers of language models (tests/coder_core/llm/test_answer_fuzzer.py) and images
(tests/coder_core/images/test_decoding_fuzz.py) have fuzzers of their own, which know more about them.
"""

import io
import json
import random
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import yaml
from safetensors.numpy import save

from coder_core.class_source.read_class_source import PARSERS
from coder_core.config import apply_override, load_spec
from coder_core.encoders.open_clip_loading import find_checkpoint
from coder_core.encoders.transformers_loading import read_json
from coder_core.encoders.weights import weights_hash
from coder_core.errors import ClassifierStateError, CoderError
from coder_core.fingerprint import canonical_json, content_hash
from coder_core.images.listed_images import list_table
from coder_core.images.published_splits import parse_published_split
from coder_core.images.tar_shards import list_shards
from coder_core.pipeline.run_manifest import decode_run_manifest
from coder_core.portable.card import read_card
from coder_core.printable_text import printable
from coder_core.results.query_limits import QueryLimits
from coder_core.results.warehouse import Warehouse
from coder_core.specs import OpenClipEncoder, TableDataset, TarDataset
from coder_core.storage.artifact_writer import ArtifactWriter
from coder_core.storage.artifacts import ArtifactStore
from coder_core.storage.feature_folders import CLASS_NAMES
from coder_core.storage.image_rows import read_image_rows
from coder_core.storage.input_files import InputFile
from coder_core.storage.input_tables import read_feature_file
from coder_core.storage.manifest import Artifact, ArtifactPayload, manifest_path
from coder_core.storage.packed_images import read_image
from coder_core.storage.store import Store
from coder_core.storage.tables import decode_parquet, encode_parquet
from tests.coder_core.datasets.spoilt import LISTS_AND_ARCHIVES
from tests.coder_core.results.sql_cases import hostile, sensible
from tests.damage import damaged
from tests.fixtures_inputs import TINY_CLIP

SAMPLE, WHOLE = 60, 1_000
TOKENS = (
    "\x1b[31m", "\u202e", "\0", "\ud83d".encode("utf-8", "surrogatepass").decode("latin-1"), "\r", "\n", "\t", "&a ",
    "*a", "<<: ", "!!python/object/apply:os.system ", "- ", ": ", "{", "}", "[" * 40, "]" * 40, '"', "'", "#",
    "%YAML 9",
    "9" * 4_000, "1e999", "-1", "0x", "NaN", "null", "true", "~", "---\n", "|", ">", "\\ud83d", "../../", "http://u:p@h/",
    '{"a":' * 50, "é", "=cmd|' /C calc'!A0", "\ufeff", ",,,,", '"""',
)  # fmt: skip
CONFIG = {
    "name": "fuzz",
    "dataset": {"kind": "folder", "path": "./images", "class_names": ["a", "b"]},
    "encoder": {"kind": "open_clip", "checkpoint": "demo:micro-clip"},
    "texts": {"bank": "./bank.yaml", "domain": "bird", "domains": {"x": {"class_name": "a {class}"}}},
    "methods": ["clip", "coder"],
    "few_shot": {"pool": {"kind": "folder", "path": "./pool"}, "shots": [1, 2]},
    "draw_seed": 3,
    "logit_scale": 100.0,
}
NAMES = ["crane", "tree frog", "wren", "Ivory Coast", "x y"]
SPLIT = {
    split: [[f"{name}/{split}.jpg", label, name] for label, name in enumerate(NAMES)]
    for split in ("train", "val", "test")
}
TABLE = pa.table({"key": NAMES, "features": pa.array([[1.0, 2.0]] * 5), "labels": [0, 1, 2, 3, 4]})


class Reader(NamedTuple):
    """A reader: what it is given when nothing is wrong, and how it is called with what is."""

    good: bytes
    read: Callable[[bytes, Path], Any]
    is_text: bool = True


def in_file(name: str, read: Callable[[str], Any]) -> Callable[[bytes, Path], Any]:
    def write_and_read(content: bytes, folder: Path) -> Any:
        (folder / name).write_bytes(content)
        return read(str(folder / name))

    return write_and_read


def read_checkpoint(content: bytes, folder: Path) -> Any:
    (folder / "open_clip_config.json").write_bytes(content)
    (folder / "open_clip_model.safetensors").write_bytes(bytes(10_000_000))
    return find_checkpoint(OpenClipEncoder(kind="open_clip", checkpoint=str(folder)))


def read_artifact(content: bytes, folder: Path) -> Any:
    artifacts = ArtifactStore(Store(str(folder / "store")))
    found = artifacts.find(PAYLOAD)
    assert found is not None or not (folder / "store").exists()
    artifact = write_artifact(artifacts.store) if found is None else found
    artifacts.store.write_bytes(manifest_path(artifact.kind, artifact.key), content)
    try:
        again = artifacts.find(PAYLOAD)
        return None if again is None else artifacts.read(again)
    finally:
        artifacts.store.write_bytes(manifest_path(artifact.kind, artifact.key), good_manifest(folder))


PAYLOAD = ArtifactPayload(kind="fuzz", step_version=1, spec={"a": [1, "x"]})


def write_artifact(store: Store) -> Artifact:
    writer = ArtifactWriter(store, PAYLOAD)
    writer.write_part("part-00000", TABLE)
    return writer.commit()


def good_manifest(folder: Path) -> bytes:
    artifacts = ArtifactStore(Store(str(folder / "good")))
    artifact = write_artifact(artifacts.store)
    return artifacts.store.read_bytes(manifest_path(artifact.kind, artifact.key))


def npz() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, features=np.ones((4, 3)), labels=np.arange(4), texts=np.array(NAMES[:4]))
    return file.getvalue()


def lines(*rows: str) -> bytes:
    return "".join(f"{row}\n" for row in rows).encode()


CLASS_LISTS = {
    "": lines(*NAMES),
    ".csv": lines("class_name,class_id", *(f"{name},{number}" for number, name in enumerate(NAMES))),
    ".tsv": lines("class_name\tclass_id", *(f"{name}\t{number}" for number, name in enumerate(NAMES))),
    ".json": json.dumps([{"name": name, "id": str(number)} for number, name in enumerate(NAMES)]).encode(),
    ".jsonl": lines(*(json.dumps({"name": name}) for name in NAMES)),
    ".yaml": yaml.safe_dump(dict(enumerate(NAMES))).encode(),
    ".parquet": encode_parquet(pa.table({"class_name": NAMES, "class_id": [str(number) for number in range(5)]})),
}


def tensors() -> bytes:
    texts = {"texts": json.dumps(NAMES[:4])}
    return save({"features": np.ones((4, 3), np.float32), "labels": np.arange(4)}, metadata=texts)


def torch_file() -> bytes:
    import torch

    file = io.BytesIO()
    torch.save({"features": torch.ones(4, 3), "labels": [0, 1, 2, 3], "texts": NAMES[:4]}, file)
    return file.getvalue()


def shard() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for number, name in enumerate(NAMES):
            for suffix, content in (("jpg", b"image"), ("json", json.dumps({"label": name}).encode())):
                member = tarfile.TarInfo(f"{number:04}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def images_in_parquet() -> bytes:
    info = {"info": {"features": {"label": {"names": NAMES}}}}
    schema = pa.schema([("image", pa.struct([("bytes", pa.binary())])), ("label", pa.int64())])
    rows = [{"image": {"bytes": bytes([number])}, "label": number} for number in range(5)]
    return encode_parquet(pa.Table.from_pylist(rows, schema=schema.with_metadata({"huggingface": json.dumps(info)})))


def read_rows(content: bytes, folder: Path) -> list[bytes]:
    (folder / "rows.parquet").write_bytes(content)
    url = str(folder / "rows.parquet")
    rows = read_image_rows(InputFile(url, "rows.parquet", len(content), ""), "image", "label")
    return [read_image(location) for location in rows.locations]


def arrow_stream() -> bytes:
    file = io.BytesIO()
    with pa.ipc.new_stream(file, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return file.getvalue()


def in_folder(name: str, read: Callable[[str], Any], **beside: bytes) -> Callable[[bytes, Path], Any]:
    def write_and_read(content: bytes, folder: Path) -> Any:
        place = folder / "folder"
        place.mkdir(exist_ok=True)
        for other, held in {**beside, name: content}.items():
            (place / other.replace("__", ".")).write_bytes(held)
        return read(str(place))

    return write_and_read


def card() -> bytes:
    document = {"format": "coder-classifier/1", "method": "coder", "classes": NAMES, "logit_scale": 100.0}
    sealed = {**document, "seal": content_hash(canonical_json(document).encode())}
    return json.dumps(sealed, indent=1).encode()


def read_card_of(folder: str) -> Any:
    try:
        return read_card(Path(folder))
    except ClassifierStateError as error:
        if "required and absent" in error.problem:  # the good one lacks fields: what is fuzzed is how it is read
            return None
        raise


DESCRIBED = json.dumps({"features": {"labels": {"names": NAMES}}}).encode()
ALL = ["features", "labels", "texts"]
METADATA = lines(*(json.dumps({"file_name": f"{number}.jpg", "label": name}) for number, name in enumerate(NAMES)))
FILES = {f"{number}__jpg": b"image" for number in range(5)}
DATA_SETS = {
    "safetensors": Reader(tensors(), in_file("f.safetensors", partial(read_feature_file, names=ALL)), is_text=False),
    "torch file": Reader(torch_file(), in_file("f.pt", partial(read_feature_file, names=ALL)), is_text=False),
    "weights": Reader(tensors(), in_file("w.safetensors", lambda path: weights_hash([Path(path)])), is_text=False),
    "tar shard": Reader(
        shard(),
        in_file("s.tar", lambda path: list_shards(TarDataset(kind="webdataset", path=path, label="json.label"))),
        is_text=False,
    ),
    "images in parquet": Reader(images_in_parquet(), read_rows, is_text=False),
    "metadata.jsonl": Reader(
        METADATA,
        in_folder("metadata.jsonl", lambda path: list_table(TableDataset(kind="image_folder", path=path)), **FILES),
    ),
    "metadata.csv": Reader(
        lines("file_name,label", *(f"{number}.jpg,{number}" for number in range(5))),
        in_folder("metadata.csv", lambda path: list_table(TableDataset(kind="image_folder", path=path)), **FILES),
    ),
    "arrow": Reader(
        arrow_stream(),
        in_folder("data.arrow", partial(read_feature_file, names=["features", "labels"])),
        is_text=False,
    ),
    "dataset_info.json": Reader(
        DESCRIBED,
        in_folder(
            "dataset_info.json",
            partial(read_feature_file, names=["features", "labels", CLASS_NAMES]),
            data__arrow=arrow_stream(),
        ),
    ),
    "classifier card": Reader(card(), in_folder("classifier.json", read_card_of)),
    "model config": Reader(
        b'{"model_type": "clip", "a": [1, 2.5]}', in_file("config.json", lambda p: read_json(Path(p)))
    ),
}
READERS = {
    **{name: Reader(*how) for name, how in LISTS_AND_ARCHIVES.items()},
    "config": Reader(yaml.safe_dump(CONFIG).encode(), in_file("config.yaml", load_spec)),
    "config of json": Reader(json.dumps(CONFIG).encode(), in_file("config.json", load_spec)),
    "split": Reader(json.dumps(SPLIT).encode(), lambda content, _: parse_published_split(content, place="split")),
    "checkpoint config": Reader(json.dumps({"model_cfg": TINY_CLIP}).encode(), read_checkpoint),
    "features npz": Reader(
        npz(), in_file("f.npz", partial(read_feature_file, names=["features", "labels", "texts"])), is_text=False
    ),
    "features parquet": Reader(
        encode_parquet(TABLE),
        in_file("f.parquet", partial(read_feature_file, names=["features", "labels"])),
        is_text=False,
    ),
    "part": Reader(encode_parquet(TABLE), lambda content, _: decode_parquet(content, "part"), is_text=False),
    "manifest": Reader(b"", read_artifact),
    "run manifest": Reader(
        b'{"format": 1, "run_id": "x"}', lambda content, _: decode_run_manifest(content, run_id="x")
    ),
    **{
        f"class list{suffix}": Reader(
            good, lambda content, _, read=PARSERS[suffix]: read(content, "list"), suffix != ".parquet"
        )
        for suffix, good in CLASS_LISTS.items()
    },
    **DATA_SETS,
}


def spoilt(good: bytes, draw: random.Random, *, is_text: bool) -> bytes:
    """Bytes are damaged anywhere; a text also gets what parsers stumble over."""
    if not is_text or draw.random() < 0.3:
        return damaged(good, draw)
    content = bytearray(good)
    for _ in range(draw.choice((1, 1, 2, 5))):
        at = draw.randrange(len(content) + 1)
        content[at : at + draw.choice((0, 0, 1, 8))] = draw.choice(TOKENS).encode("utf-8", "surrogatepass")
    return bytes(content)


def check(read: Callable[[], Any], case: str) -> bool:
    """Whether it was read; anything but one printable line of ours fails."""
    try:
        read()
    except CoderError as error:
        told = str(error)
        assert printable(told) == told, case
        for problem in getattr(error, "problems", (error,)):
            assert len(str(problem)) < 2_500, (case, len(told), told[:300])
        return False
    except BaseException as error:
        raise AssertionError(f"{case}: {type(error).__name__}: {error}"[:500]) from error
    return True


@pytest.mark.parametrize("cases", [SAMPLE, pytest.param(WHOLE, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("name", READERS)
def test_whatever_a_file_holds_is_a_result_or_one_error(name: str, cases: int, tmp_path: Path) -> None:
    reader = READERS[name]
    good = reader.good or good_manifest(tmp_path)
    if name != "run manifest":
        assert check(partial(reader.read, good, tmp_path), f"{name} as it should be")
    read = 0
    for number in range(cases):
        draw = random.Random(f"{name} {number}")
        content = spoilt(good, draw, is_text=reader.is_text)
        read += check(partial(reader.read, content, tmp_path), f"{name} {number}")
    assert read < cases


@pytest.mark.parametrize("cases", [SAMPLE, pytest.param(3 * WHOLE, marks=pytest.mark.slow)])
def test_whatever_an_override_says_is_a_setting_or_one_error(cases: int) -> None:
    for number in range(cases):
        draw = random.Random(f"override {number}")
        text = spoilt(b"dataset.path=./images", draw, is_text=True).decode("utf-8", "replace")
        check(partial(apply_override, dict(CONFIG), text), f"override {number}")


@pytest.mark.slow
@pytest.mark.thorough
def test_whatever_is_asked_is_an_answer_or_one_error(tmp_path: Path) -> None:
    warehouse = Warehouse(Store(str(tmp_path)), QueryLimits(memory_bytes=500_000_000, seconds=20))
    chance = random.Random(15)
    asked = [*hostile(15, 250), *(sensible(chance) for _ in range(150))]
    assert sum(check(partial(warehouse.query, sql), f"query {sql!r:.200}") for sql in asked) > 50
