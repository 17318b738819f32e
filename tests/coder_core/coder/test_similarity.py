"""Unit vectors and cosines, against numpy and by hand."""

import numpy as np
import pytest
import torch

from coder_core.coder.similarity import cosine_similarity, normalise
from coder_core.errors import FeatureFileError


def test_by_hand():
    images, texts = torch.tensor([[3.0, 4.0], [0.0, -2.0]]), torch.tensor([[1.0, 0.0], [0.0, 5.0]])
    torch.testing.assert_close(normalise(images), torch.tensor([[0.6, 0.8], [0.0, -1.0]]))
    torch.testing.assert_close(cosine_similarity(images, texts), torch.tensor([[0.6, 0.8], [0.0, -1.0]]))


def test_against_numpy():
    images, texts = torch.randn(5, 7, generator=torch.Generator().manual_seed(1)), torch.eye(7)[:3] * 4
    a, b = images.numpy().astype(np.float64), texts.numpy().astype(np.float64)
    expected = a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(cosine_similarity(images, texts).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_a_row_without_direction_is_named(bad):
    rows = torch.ones(4, 3)
    rows[2] = bad
    with pytest.raises(FeatureFileError, match="row 2"):
        normalise(rows)


def test_type_and_emptiness_are_kept():
    assert normalise(torch.ones(2, 3, dtype=torch.float64)).dtype == torch.float64
    assert normalise(torch.ones(0, 3)).shape == (0, 3)
