"""Unit vectors, cosines, sums and the form in which arithmetic repeats: against numpy, loops and by hand."""

import numpy as np
import pytest
import torch

from coder_core.coder.vectors import ALIGNMENT, coder_matrix, normalise, repeatable, segment_sums
from coder_core.errors import FeatureFileError
from coder_core.texts.kinds import DESCRIPTIVE_KINDS


def test_by_hand():
    images = torch.tensor([[3.0, 4.0], [0.0, -2.0]])
    torch.testing.assert_close(normalise(images), torch.tensor([[0.6, 0.8], [0.0, -1.0]]))


def test_against_numpy():
    images = torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    rows = images.numpy().astype(np.float64)
    expected = rows / np.linalg.norm(rows, axis=1)[:, None]
    np.testing.assert_allclose(normalise(images).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_a_row_without_direction_is_named(bad):
    rows = torch.ones(4, 3)
    rows[2] = bad
    with pytest.raises(FeatureFileError, match="row 2"):
        normalise(rows)


def test_type_and_emptiness_are_kept():
    assert normalise(torch.ones(2, 3, dtype=torch.float64)).dtype == torch.float64
    assert normalise(torch.ones(0, 3)).shape == (0, 3)


def test_every_entry_is_one_cosine(case_of, images_of):
    _, layout, text_embeddings = case_of([(1, 2, 0), (0, 1, 1)])
    images = images_of(3)
    coder = coder_matrix(images, text_embeddings)
    assert coder.shape == (3, layout.text_count)
    for i, image in enumerate(images):
        for k, text in enumerate(text_embeddings):
            torch.testing.assert_close(coder[i, k], torch.dot(image, text), atol=1e-6, rtol=0)


def test_half_precision_is_multiplied_in_float32(case_of, images_of):
    _, _, text_embeddings = case_of([(1, 2, 0)])
    coder = coder_matrix(images_of(2).half(), text_embeddings.half())
    assert coder.dtype == torch.float32
    assert torch.equal(coder, coder_matrix(images_of(2).half().float(), text_embeddings.half().float()))


def test_folding_adds_up_what_a_loop_in_double_precision_adds_up(case_of):
    _, layout, text_embeddings = case_of([(1, 9, 4), (2, 7, 3), (0, 0, 0)])
    segments = layout.segments(DESCRIPTIVE_KINDS)
    slow = [sum(text_embeddings[row].double() for row in layout.columns(one, DESCRIPTIVE_KINDS)) for one in range(2)]
    torch.testing.assert_close(segment_sums(text_embeddings, segments)[:2], torch.stack(slow), atol=1e-6, rtol=0)
    assert segment_sums(text_embeddings, segments)[2].abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_what_is_aligned_and_contiguous_is_left_alone_and_all_else_is_copied(dtype):
    rows = torch.arange(30).reshape(5, 6).to(dtype)
    assert repeatable(rows).data_ptr() == rows.data_ptr()
    for other in (rows.T.contiguous().T, torch.cat([rows[:1], rows])[1:], rows[:, ::2]):
        found = repeatable(other)
        assert torch.equal(found, other)
        assert found.is_contiguous()
        assert found.data_ptr() % ALIGNMENT == 0


def test_products_of_equal_numbers_at_other_addresses_are_equal_to_the_last_bit():
    weights, images = torch.randn(2, 397, 512, generator=torch.Generator().manual_seed(0)).unbind()
    elsewhere = torch.empty(weights.numel() + 1)[1:].view(397, 512).copy_(weights)
    for count in (1, 2, 7, 100):
        expected = repeatable(images[:count]) @ repeatable(weights).T
        for moved in (elsewhere, weights.T.contiguous().T):
            assert torch.equal(repeatable(images[:count]) @ repeatable(moved).T, expected)
