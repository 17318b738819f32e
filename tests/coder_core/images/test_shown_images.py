import io

import numpy as np
import pytest
from PIL import Image

from coder_core.images.decoding import BrokenImageError
from coder_core.images.shown_images import MAX_JPEG_BYTES, MAX_SIDE, render_shown


def written(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def shown(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(render_shown(content)))
    assert image.format == "JPEG"
    image.load()
    return image


def test_noise_too_is_a_small_jpeg_of_its_own_proportions() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    content = written(Image.fromarray(noise))
    assert len(content) > 20 * MAX_JPEG_BYTES
    assert shown(content).size == (MAX_SIDE, 384)
    assert len(render_shown(content)) <= MAX_JPEG_BYTES
    assert render_shown(content) == render_shown(content)


def test_a_small_image_keeps_its_size_and_colour() -> None:
    image = shown(written(Image.new("RGB", (40, 30), (200, 30, 60)), "BMP"))
    assert image.size == (40, 30)
    assert np.abs(np.asarray(image).astype(int) - [200, 30, 60]).max() <= 4


def test_nothing_but_pixels_is_shown() -> None:
    turned = Image.new("RGB", (60, 20), (10, 20, 200))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x013B] = 6, "at home", "a name"  # orientation, description, artist
    content = written(turned, "JPEG", exif=exif, comment=b"a secret", icc_profile=b"a profile" * 20)
    assert b"a secret" in content
    image = shown(content)
    assert image.size == (20, 60)  # upright
    assert not image.getexif()
    assert not {"comment", "icc_profile", "exif"} & image.info.keys()
    assert not any(word in render_shown(content) for word in (b"a secret", b"a name", b"at home", b"a profile"))


def test_what_is_no_image_is_not_shown() -> None:
    with pytest.raises(BrokenImageError):
        render_shown(b"no image")
