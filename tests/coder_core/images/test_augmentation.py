"""Augmented views: inside the image, at least half of it, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from coder_core.images.augmentation import augment


def image_of(width, height):
    """Every pixel says where it is."""
    rows, columns = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([rows, columns, rows * 0 + 7], axis=2).astype(np.uint8))


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 2**63))
@settings(deadline=None, max_examples=30)
def test_a_view_is_a_rectangle_of_the_image_or_of_its_mirror(width, height, seed):
    image = image_of(width, height)
    view = augment(image, seed=seed)
    pixels = np.asarray(view).astype(int)
    if pixels.shape[1] > 1 and pixels[0, 0, 1] > pixels[0, -1, 1]:
        pixels = pixels[:, ::-1]
    top, left = pixels[0, 0, :2]
    np.testing.assert_array_equal(pixels, np.asarray(image)[top : top + view.height, left : left + view.width])
    assert view.height >= 0.55 * height - 1
    assert view.width >= 0.55 * width - 1


def test_the_same_seed_gives_the_same_view_and_others_differ():
    image = image_of(60, 40)
    views = [np.asarray(augment(image, seed=seed)).tobytes() for seed in range(30)]
    assert np.asarray(augment(image, seed=3)).tobytes() == views[3]
    assert len(set(views)) > 25
    areas = [augment(image, seed=seed).size for seed in range(300)]
    assert np.mean([width * height for width, height in areas]) / 2400 == pytest.approx(0.75, abs=0.05)
