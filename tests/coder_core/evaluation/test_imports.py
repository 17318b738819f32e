"""What reads predictions and labels loads neither torch nor scipy: a run that finds all in the store is quick."""

import subprocess
import sys
from pathlib import Path

import pytest

from coder_core import evaluation

NEEDS_TORCH = {"predicting", "temperature", "text_ablation"}
MODULES = sorted(path.stem for path in Path(evaluation.__file__).parent.glob("[a-z]*.py"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", [*(f"evaluation.{name}" for name in MODULES if name not in NEEDS_TORCH), "method_texts"]
)
def test_a_module_is_imported_without_torch(module):
    code = f"import sys, coder_core.{module}; print(sorted({{'torch', 'scipy', 'open_clip'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
