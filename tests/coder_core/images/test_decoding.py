"""Any bytes become RGB pixels or one line that says what is wrong with them; nothing else comes out."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from coder_core.images import decoding
from coder_core.images.decoding import BrokenImageError, decode_image
from coder_core.images.formats import FORMATS, HEIF_SUFFIXES, IMAGE_SUFFIXES

PHOTOS = Path(__file__).parents[4] / "shared" / "data" / "images" / "dtd10"
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
ORIENTATION, MAKER = 0x0112, 0x010F


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[ORIENTATION], tags[MAKER] = orientation, "maker"
    return tags


WHOLE = {
    "PNG": encoded(Image.fromarray(PIXELS)),
    "BMP": encoded(Image.fromarray(PIXELS), "BMP"),
    "PPM": encoded(Image.fromarray(PIXELS), "PPM"),
    "TIFF": encoded(Image.fromarray(PIXELS), "TIFF"),
    "WEBP": encoded(Image.fromarray(PIXELS), "WEBP", lossless=True),
    "JPEG": encoded(Image.fromarray(PIXELS), "JPEG", exif=exif(6)),
    "GIF": encoded(Image.fromarray(PIXELS), "GIF"),
    "palette": encoded(Image.fromarray(PIXELS).convert("P"), transparency=b"\x00\x10\xff"),
    "16 bits": encoded(Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)),
}


def problem_of(content):
    with pytest.raises(BrokenImageError) as caught:
        decode_image(content)
    return str(caught.value)


@pytest.mark.parametrize("form", ["PNG", "BMP", "PPM", "TIFF", "WEBP"])
def test_lossless_formats_come_back_pixel_by_pixel(form):
    image = decode_image(WHOLE[form])
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), PIXELS)


def test_every_suffix_is_a_format_that_is_decoded():
    known = {suffix for suffix, form in Image.registered_extensions().items() if form in (*FORMATS, "MPO")}
    assert set(IMAGE_SUFFIXES) - known == {".dib", ".pjpeg", ".pjp", ".jif", *HEIF_SUFFIXES} - known


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(mode):
    grey = Image.new("L", (3, 2), 255).convert("RGB").convert("L")
    source = (grey.convert("P") if mode == "PA" else grey).convert(mode)
    form = "TIFF" if mode in ("CMYK", "YCbCr", "PA") else "PNG"
    image = decode_image(encoded(source, form))
    assert (image.mode, image.size) == ("RGB", (3, 2))
    assert image.getpixel((1, 1)) == (255, 255, 255)


def test_cmyk_is_converted():
    image = decode_image(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100))
    assert np.abs(np.asarray(image).astype(int) - [255, 0, 0]).max() < 10


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_and_not_clipped(form):
    values = np.array([[0, 256, 257], [32_896, 65_278, 65_535]], dtype=np.uint16)
    image = decode_image(encoded(Image.fromarray(values), form))
    assert np.asarray(image)[..., 0].tolist() == [[0, 0, 1], [128, 254, 255]]


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_pixels_of_unknown_range_are_refused(kind):
    content = encoded(Image.fromarray(np.ones((4, 4), dtype=kind)), "TIFF")
    assert "no known range" in problem_of(content)


def test_an_alpha_channel_is_dropped():
    content = encoded(Image.new("RGBA", (2, 2), (200, 10, 10, 0)))
    assert decode_image(content).getpixel((0, 0)) == (200, 10, 10)


@pytest.mark.parametrize("transparency", [0, b"\x00\x80"])
def test_a_transparent_palette_keeps_its_colours(transparency):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    image = decode_image(encoded(palette, transparency=transparency))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(10, 20, 30), (40, 50, 60)]


def test_of_an_animation_the_first_frame_counts():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for form in ("GIF", "PNG", "WEBP"):
        content = encoded(frames[0], form, save_all=True, append_images=frames[1:])
        red, green, blue = decode_image(content).getpixel((1, 1))
        assert red > 240
        assert max(green, blue) < 15


UPRIGHT = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_images_are_turned_upright(orientation, form):
    content = encoded(Image.fromarray(PIXELS), form, exif=exif(orientation))
    assert np.array_equal(np.asarray(decode_image(content)), UPRIGHT[orientation](PIXELS))


def test_sixteen_bits_are_turned_too():
    values = np.arange(6, dtype=np.uint16).reshape(2, 3) * 257
    content = encoded(Image.fromarray(values), exif=exif(6))
    assert np.array_equal(np.asarray(decode_image(content))[..., 0], np.rot90(values // 257, -1))


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_an_impossible_orientation_is_none(orientation):
    content = encoded(Image.fromarray(PIXELS), exif=exif(orientation))
    assert np.array_equal(np.asarray(decode_image(content)), PIXELS)


def test_damaged_exif_does_not_cost_a_good_image():
    good = encoded(Image.fromarray(PIXELS), "WEBP", lossless=True, exif=exif(6))
    damaged = good.replace(b"MM\x00*", b"MM\x00N")
    assert damaged != good
    assert np.array_equal(np.asarray(decode_image(damaged)), PIXELS)


def test_empty_and_foreign_files_are_told_apart():
    assert problem_of(b"") == "the file is empty"
    assert problem_of(b"<html>404</html>").startswith("not an image in a known format, but an HTML page")
    assert problem_of(b"\1\2\3").startswith("not an image in a known format (AVIF, BMP")


def test_formats_that_run_other_programs_are_not_opened():
    content = encoded(Image.fromarray(PIXELS), "EPS")
    assert Image.open(io.BytesIO(content)).format == "EPS"
    assert problem_of(content).startswith("not an image in a known format")


@pytest.mark.parametrize("form", sorted(set(WHOLE) - {"GIF"}))
def test_truncated_files_are_broken(form):
    content = WHOLE[form]
    for length in (1, len(content) // 2, len(content) * 3 // 4):
        assert "\n" not in problem_of(content[:length])


def test_reasons_are_short(monkeypatch):
    monkeypatch.setattr(decoding, "REASON_CHARACTERS", 9)
    assert len(problem_of(WHOLE["PNG"][:-30])) == 9


def test_images_that_are_too_large_are_refused_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 53)
    assert problem_of(WHOLE["PNG"]) == "9 x 6 pixels are more than 53, CODER_MAX_IMAGE_PIXELS"
    monkeypatch.setattr(decoding, "MAX_PIXELS", 54)
    assert decode_image(WHOLE["PNG"]).size == (9, 6)


def test_a_bomb_is_refused_by_its_header():
    header = b"IHDR" + (60_000).to_bytes(4) * 2 + b"\x08\x02\x00\x00\x00"
    bomb = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4) + header + zlib.crc32(header).to_bytes(4)
    bomb += (0).to_bytes(4) + b"IDAT"
    assert "3600000000 pixels" in problem_of(bomb)


def test_the_limit_is_below_what_pillow_warns_of():
    assert decoding.MAX_PIXELS <= Image.MAX_IMAGE_PIXELS


def test_a_machine_without_memory_is_not_a_broken_image(monkeypatch):
    def fail(*_args, **_options):
        raise MemoryError

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(MemoryError):
        decode_image(b"x")


@given(st.binary(max_size=200))
def test_random_bytes_are_broken(content):
    assert problem_of(content)


@given(form=st.sampled_from(sorted(WHOLE)), data=st.data())
def test_damaged_files_are_decoded_or_broken(form, data):
    content = bytearray(WHOLE[form])
    for _ in range(data.draw(st.integers(1, 5))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position : position + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    try:
        image = decode_image(bytes(content))
    except BrokenImageError as problem:
        assert len(str(problem)) <= decoding.REASON_CHARACTERS  # noqa: PT017 - either outcome is right
    else:
        assert image.mode == "RGB"


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs ../shared/data/images/dtd10")
def test_real_photographs_are_decoded_as_pillow_decodes_them():
    photos = sorted(PHOTOS.glob("*/*.jpg"))
    assert len(photos) == 240
    for path in photos[::12]:
        with Image.open(path) as reference:
            assert np.array_equal(np.asarray(decode_image(path.read_bytes())), np.asarray(reference.convert("RGB")))


@pytest.mark.parametrize(
    ("least", "size"), [(None, (800, 608)), (305, (800, 608)), (304, (400, 304)), (152, (200, 152)), (9, (100, 76))]
)
@pytest.mark.parametrize("form", ["JPEG", "MPO"])
def test_a_draft_has_both_sides_as_long_as_asked(form, least, size):
    """Never shorter, and the same picture: near to the mean of the pixels that each of its own stands for."""
    rows, columns = np.mgrid[0:608, 0:800]
    photo = np.stack([columns * 255 // 800, rows * 255 // 608, (rows + columns) * 255 // 1408], axis=-1)
    buffer = io.BytesIO()
    Image.fromarray(photo.astype(np.uint8)).save(buffer, form, quality=95)
    found = decode_image(buffer.getvalue(), draft_side=least)
    assert found.size == size
    step = 800 // size[0]
    means = photo.reshape(size[1], step, size[0], step, 3).mean(axis=(1, 3))
    assert np.abs(np.asarray(found) - means).max() < 8


def test_only_jpegs_have_drafts():
    buffer = io.BytesIO()
    Image.new("RGB", (800, 608)).save(buffer, "PNG")
    assert decode_image(buffer.getvalue(), draft_side=9).size == (800, 608)
