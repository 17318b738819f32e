"""Features as other tools leave them: clip-retrieval's folders, data sets of Hugging Face, tensors of torch."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import save_file

from coder_core.encoders.precomputed import identify_precomputed
from coder_core.errors import FeatureFileError, InputError
from coder_core.images.features_file import load_features
from coder_core.specs import FeaturesDataset, PrecomputedEncoder
from coder_core.storage.input_tables import read_feature_file

ROWS = np.array([[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]], dtype=np.float32)
LABELS = [1, 0, 1]
NAMES = ["wren", "owl"]


def features_of(path, **settings):
    return load_features(FeaturesDataset(kind="features", path=str(path), **settings))


def is_as_given(found):
    assert found.classes.names == tuple(NAMES)
    assert found.label_ids.tolist() == LABELS
    assert np.allclose(found.features, ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True))


@pytest.fixture
def retrieval(tmp_path):
    """What clip-retrieval writes: eleven parts of one row would sort as 0, 1, 10, 2 by name; here 2 and 10."""
    for folder in ("img_emb", "text_emb", "metadata"):
        (tmp_path / folder).mkdir()
    for number, rows in ((2, slice(0, 2)), (10, slice(2, 3))):
        np.save(tmp_path / "img_emb" / f"img_emb_{number}.npy", ROWS[rows].astype(np.float16))
        np.save(tmp_path / "text_emb" / f"text_emb_{number}.npy", -ROWS[rows])
        table = pa.table({"label": LABELS[rows], "caption": ["a wren", "an owl", "a wren too"][rows]})
        pq.write_table(table, tmp_path / "metadata" / f"metadata_{number}.parquet")
    return tmp_path


def test_clip_retrieval(retrieval):
    is_as_given(features_of(retrieval, features="img_emb", labels="label", class_names=tuple(NAMES)))
    found = read_feature_file(str(retrieval), ["caption", "text_emb"])
    assert found["caption"].tolist() == ["a wren", "an owl", "a wren too"]
    assert np.array_equal(found["text_emb"], -ROWS)
    texts = {"path": str(retrieval), "texts": "caption", "features": "text_emb"}
    identity = identify_precomputed(PrecomputedEncoder(kind="precomputed", texts=[texts]))
    assert identity.dim == 2
    np.save(retrieval / "text_emb" / "text_emb_10.npy", ROWS[2:])
    assert identify_precomputed(PrecomputedEncoder(kind="precomputed", texts=[texts])).key != identity.key


def test_a_saved_data_set_of_hugging_face(tmp_path):
    label = {"names": NAMES, "_type": "ClassLabel"}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": {"label": label, "emb": {"_type": "List"}}}))
    (tmp_path / "state.json").write_text("{}")
    for number, rows in enumerate((slice(0, 2), slice(2, 3))):
        table = pa.table({"emb": ROWS[rows].tolist(), "label": LABELS[rows], "text": ["a", "b", "c"][rows]})
        path = tmp_path / f"data-0000{number}-of-00002.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    is_as_given(features_of(tmp_path, features="emb", labels="label"))
    with pytest.raises(FeatureFileError, match="There is no column 'nothing'"):
        features_of(tmp_path, features="nothing", labels="label")


def test_a_folder_of_parquet_files_of_the_hub(tmp_path):
    features = {"label": {"names": NAMES, "_type": "ClassLabel"}, "emb": {"_type": "List"}}
    schema = {"huggingface": json.dumps({"info": {"features": features}})}
    (tmp_path / "data").mkdir()
    for number, rows in enumerate((slice(0, 2), slice(2, 3))):
        table = pa.table({"emb": ROWS[rows].tolist(), "label": LABELS[rows]}).replace_schema_metadata(schema)
        pq.write_table(table, tmp_path / "data" / f"test-0000{number}-of-00002.parquet")
    is_as_given(features_of(tmp_path, features="emb", labels="label"))
    is_as_given(features_of(tmp_path, features="emb", labels="label", class_names=tuple(NAMES)))


def test_names_of_classes_that_nobody_describes_are_asked_for(tmp_path):
    pq.write_table(pa.table({"emb": ROWS.tolist(), "label": LABELS}), tmp_path / "a.parquet")
    with pytest.raises(FeatureFileError, match="describes 0 columns of labels"):
        features_of(tmp_path, features="emb", labels="label")


def test_safetensors(tmp_path):
    path = tmp_path / "images.safetensors"
    arrays = {"features": ROWS, "labels": np.array(LABELS)}
    save_file(arrays, path, metadata={"class_names": json.dumps(NAMES), "note": "not JSON"})
    is_as_given(features_of(path))
    with pytest.raises(FeatureFileError, match="There is no array 'other'"):
        features_of(path, features="other")
    with pytest.raises(FeatureFileError, match="neither a tensor nor a list"):
        read_feature_file(str(path), ["note"])


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_tensors_of_torch(tmp_path, suffix):
    path = tmp_path / f"images{suffix}"
    arrays = {"features": torch.from_numpy(ROWS).bfloat16(), "labels": torch.tensor(LABELS)}
    torch.save({**arrays, "class_names": NAMES}, path)
    is_as_given(features_of(path))
    torch.save({**arrays, "labels": LABELS, "class_names": tuple(NAMES)}, path)
    is_as_given(features_of(path))
    torch.save(torch.from_numpy(ROWS), path)
    assert np.array_equal(read_feature_file(str(path), ["features"])["features"], ROWS)


class Bomb:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path):
    trace = tmp_path / "executed"
    torch.save({"features": Bomb(trace)}, tmp_path / "images.pt")
    with pytest.raises(FeatureFileError, match="This torch file cannot be read"):
        features_of(tmp_path / "images.pt")
    assert not trace.exists()


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt"])
@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 100, b"PK\x03\x04", b"\x08" + b"\0" * 7 + b"[]      "])
def test_files_that_are_none_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FeatureFileError, match="cannot be read"):
        features_of(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "does not begin"), (b"\x93NUMPY\x01\x00v\x00{'descr': '|O', ", "too long, or cut")],
)
def test_a_damaged_matrix_is_named(retrieval, content, problem):
    (retrieval / "img_emb" / "img_emb_10.npy").write_bytes(content)
    with pytest.raises(FeatureFileError, match=problem):
        read_feature_file(str(retrieval), ["img_emb"])


def test_folders_without_features_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(FeatureFileError, match="this folder holds no features"):
        features_of(tmp_path)
    with pytest.raises(InputError):
        features_of(tmp_path / "absent")
