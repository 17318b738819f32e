"""Lists in MATLAB files, as some publishers wrote them before 2013: read as numbers and words, and nothing else."""

import io
from typing import Any

import numpy as np

from coder_core.datasets.tree import Tree
from coder_core.errors import DatasetError
from coder_core.storage.addresses import redact


def read_variable(tree: Tree, name: str, variable: str) -> np.ndarray:
    """One variable of a `.mat` file, without axes of length 1.

    Args:
        tree: The data set's folder.
        name: The file.
        variable: Its name in the file.

    Raises:
        DatasetError: The file is nowhere, is none of MATLAB's, or lacks the variable.
    """
    from scipy.io import loadmat

    content, place = tree.read(name), f"{redact(tree.root)}/{name}"
    try:
        found: Any = loadmat(io.BytesIO(content), squeeze_me=True, variable_names=[variable])
    except Exception as error:  # scipy's parser raises whatever damaged bytes lead it to
        reason = " ".join(str(error).split())[:100]
        raise DatasetError(f"this MATLAB file is damaged ({reason}).", place, "Fetch it again.") from error
    if variable not in found:
        raise DatasetError(f"it holds no {variable!r}.", place, "Fetch it again.")
    return np.atleast_1d(found[variable])
