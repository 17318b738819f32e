"""Torch files that hold something else than dense tensors: one line, in our words."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from coder_core.errors import FeatureFileError
from coder_core.storage.tensor_files import read_torch

ODD: dict[str, Any] = {
    "sparse": torch.eye(3).to_sparse(),
    "nested": [torch.eye(3)],
    "eight bits": torch.eye(3).to(torch.float8_e4m3fn),
    "without data": torch.empty(3, device="meta"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_dense_tensor_is_refused(kind: str, tmp_path: Path) -> None:
    torch.save({"features": ODD[kind]}, tmp_path / "x.pt")
    with pytest.raises(FeatureFileError, match=r"'features' is (no dense tensor|neither a tensor)"):
        read_torch(str(tmp_path / "x.pt"), ["features"])


def test_what_holds_objects_is_refused_without_torchs_advice_to_run_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"features": Path}))
        archive.writestr("archive/version", "3")
    with pytest.raises(FeatureFileError, match="more than tensors") as refused:
        read_torch(str(tmp_path / "x.pt"), ["features"])
    assert "weights_only" not in str(refused.value)
