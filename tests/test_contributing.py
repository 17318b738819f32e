"""The changes that CONTRIBUTING.md shows fit the tree of today, are small, and do what they say."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PATCHES = re.findall(r"```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), flags=re.DOTALL)
MOST_LINES = 40
PROGRAM = """
import numpy as np
from coder_core import evaluate, open_warehouse

pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
np.savez("pictures.npz", images=pixels, labels=np.array([0, 1] * 3))
with open("bank.yaml", "w") as bank:
    bank.write("format: coder-text-bank/1\\nclasses:\\n")
    bank.write("- {name: wren, attributes: [a cocked tail]}\\n- {name: robin, attributes: [a red breast]}\\n")
evaluate({
    "name": "added",
    "dataset": {"kind": "pixels", "path": "pictures.npz", "class_names": ["wren", "robin"]},
    "encoder": {"kind": "open_clip", "checkpoint": "demo:micro-clip"},
    "texts": {"bank": "bank.yaml"},
    "methods": ["clip", "described"],
}, store="store")
ask = open_warehouse("store").query
print(ask("SELECT method, n FROM metrics WHERE metric = 'top1' ORDER BY method").rows)
print(ask("SELECT python_version FROM runs").rows)
"""


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: re.findall(r"b/coder_core/(\S+)", patch)[0])
def test_a_change_is_small(patch: str) -> None:
    assert sum(line.startswith("+") and not line.startswith("+++") for line in patch.splitlines()) < MOST_LINES


@pytest.mark.slow
@pytest.mark.thorough
def test_the_changes_fit_and_work(tmp_path: Path) -> None:
    assert len(PATCHES) == 3
    shutil.copytree(ROOT / "coder_core", tmp_path / "coder_core", ignore=shutil.ignore_patterns("__pycache__"))
    for patch in PATCHES:
        subprocess.run(["git", "apply", "--unidiff-zero", "-"], input=patch, text=True, cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path), "CODER_DEVICE": "cpu"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    version = ".".join(map(str, sys.version_info[:3]))
    assert done.stdout.splitlines() == ["[('clip', 6), ('described', 6)]", f"[('{version}',)]"]


def test_the_citation_is_valid_and_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert f'version = "{cited["version"]}"' in (ROOT / "pyproject.toml").read_text("utf-8")
