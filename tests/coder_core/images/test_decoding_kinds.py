"""Every kind of file that users report becomes an RGB image or one reason, within bounds of memory and time."""

import contextlib
import io
import logging
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coder_core.images import decoding
from coder_core.images.decoding import BrokenImageError, decode_image, decoder_identity
from tests.coder_core.images.hostile_images import BROKEN, PIXELS, SIZE, WHOLE, encoded, frames

SMALL_IMAGE_BYTES = 100_000_000
"""What a file of a few pixels may take while it is looked at: Pillow reads up to 64 MB of compressed text in a PNG."""

TIFF_KINDS = [name for name in WHOLE if "TIFF" in name]


@contextlib.contextmanager
def peak_memory_below(limit):
    """Measure the process's own high-water mark (Linux), reset before the block."""
    clear, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if sys.platform != "linux":
        yield
        return

    def kilobytes(name):
        return int(next(line for line in status.read_text().splitlines() if line.startswith(name)).split()[1])

    clear.write_text("5")
    before = kilobytes("VmRSS")
    yield
    assert (kilobytes("VmHWM") - before) * 1024 < limit


def reason(content):
    with pytest.raises(BrokenImageError) as caught:
        decode_image(content)
    assert "\n" not in str(caught.value)
    assert 0 < len(str(caught.value)) <= decoding.REASON_CHARACTERS
    return str(caught.value)


@pytest.mark.parametrize("kind", sorted(WHOLE))
def test_an_image_of_any_kind_is_decoded(kind, capfd):
    content = WHOLE[kind]()
    with peak_memory_below(SMALL_IMAGE_BYTES):
        start = time.monotonic()
        image = decode_image(content)
    assert time.monotonic() - start < 20
    assert image.mode == "RGB"
    sides = {"1 x 1": (1, 1), "100 x 1": (100, 1), "1 x 100": (1, 100), "JPEG of 300 passes": (1000, 1000)}
    turned = kind.startswith("JPEG turned") and kind[-1] in "5678"
    expected = sides.get(kind, (16, 16) if "2^32" in kind else SIZE[::-1] if turned else SIZE)
    assert image.size == expected
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_what_is_no_image_gets_one_reason(kind, capfd):
    content, told = BROKEN[kind]
    with peak_memory_below(SMALL_IMAGE_BYTES):
        start = time.monotonic()
        found = reason(content)
    assert time.monotonic() - start < 20
    assert told in found
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", [kind for kind in sorted(WHOLE) if "GIF" not in kind and "behind" not in kind])
def test_cut_files_are_images_or_have_a_reason(kind, capfd):
    content = WHOLE[kind]()
    for tenths in range(10):
        with contextlib.suppress(BrokenImageError):
            assert decode_image(content[: len(content) * tenths // 10]).mode == "RGB"
    assert reason(content[:20])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("form", ["PNG", "GIF", "WEBP", "MPO", "TIFF"])
def test_the_first_of_several_pictures_counts(form):
    options = {"lossless": True} if form == "WEBP" else {"quality": 100, "subsampling": 0} if form == "MPO" else {}
    found = np.asarray(decode_image(frames(form, **options))).astype(int)
    assert np.abs(found - PIXELS).mean() < (40 if form == "GIF" else 3)


def test_a_profile_changes_no_pixel():
    assert np.array_equal(np.asarray(decode_image(WHOLE["PNG with a wide-gamut profile"]())), PIXELS)


def test_ycck_and_cmyk_are_read_as_pillow_reads_them():
    for kind in ("JPEG CMYK", "JPEG YCCK"):
        with Image.open(io.BytesIO(WHOLE[kind]())) as reference:
            assert np.array_equal(np.asarray(decode_image(WHOLE[kind]())), np.asarray(reference.convert("RGB")))


@pytest.mark.parametrize("size", [(23, 17), (17, 23)])
def test_twelve_bits_in_sixteen_stay_dark(size):
    image = decode_image(WHOLE["PNG of 12 bits in 16"]())
    assert np.array_equal(np.asarray(image)[..., 0], PIXELS[..., 0] * 16.0 // 257)
    assert size[0] * size[1] == image.width * image.height


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)


def test_heic_without_the_extra_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    decoding._formats.cache_clear()
    with contextlib.ExitStack() as stack:
        stack.callback(decoding._formats.cache_clear)
        assert "HEIF" not in decoder_identity()
        found = reason(HEIC)
    assert found == "HEIC and HEIF need the extra `heif`: pip install 'coder-eval[heif]'"


def test_heic_with_the_extra_is_an_image():
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    ramp = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8)
    image = decode_image(encoded(Image.fromarray(np.dstack([ramp, ramp * 2, 255 - ramp])), "HEIF", quality=95))
    assert np.abs(np.asarray(image).astype(int) - np.dstack([ramp, ramp * 2, 255 - ramp])).mean() < 4
    assert reason(HEIC)


def test_another_set_of_formats_is_another_decoder(monkeypatch):
    assert decoder_identity() == decoder_identity()
    before = decoder_identity()
    monkeypatch.setattr(decoding, "_formats", lambda: ("PNG",))
    assert decoder_identity() != before
    monkeypatch.undo()
    monkeypatch.setattr(decoding, "MAX_PIXELS", 1)
    assert decoder_identity() != before


def test_files_that_are_too_large_are_not_looked_at(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_BYTES", 10)
    assert reason(WHOLE["PNG"]()) == f"the file has {len(WHOLE['PNG']())} bytes, more than 10"


def test_many_threads_leave_no_warning_and_no_filter_behind(recwarn):
    before = list(warnings.filters)
    contents = [WHOLE[kind]() for kind in ("APNG without frames", "JPEG with a broken MPF segment", "TIFF")]

    def work():
        for number in range(60):
            assert decode_image(contents[number % 3]).size == SIZE

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
    assert not recwarn.list


def test_pillow_does_not_log(caplog):
    with caplog.at_level(logging.DEBUG), contextlib.suppress(BrokenImageError):
        decode_image(
            WHOLE["TIFF"]().replace(b"\x15\x01\x03\x00\x01\x00\x00\x00\x03", b"\x15\x01\x03\x00\x01\x00\x00\x00\xff")
        )
    assert not caplog.records


REST_OF_PROCESS_BYTES = 64_000_000
"""Code and data of the process itself that come back into memory meanwhile: seen, 13 MB on a busy machine."""

LARGE = {
    "JPEG": lambda: encoded(Image.new("RGB", (9_400, 9_400)), "JPEG"),
    "JPEG progressive": lambda: encoded(Image.new("RGB", (9_400, 9_400)), "JPEG", progressive=True),
    "PNG RGBA": lambda: encoded(Image.new("RGBA", (9_400, 9_400)), compress_level=1),
    "PNG 16 bits": lambda: encoded(Image.fromarray(np.zeros((9_400, 9_400), np.uint16)), compress_level=1),
    "PNG palette": lambda: encoded(Image.new("P", (9_400, 9_400)), transparency=b"\0", compress_level=1),
    "WebP": lambda: encoded(Image.new("RGB", (16_000, 5_500)), "WEBP", lossless=True, method=0),
    "JPEG 2000": lambda: encoded(Image.new("RGB", (9_400, 9_400)), "JPEG2000"),
    "AVIF": lambda: encoded(Image.new("RGB", (9_400, 9_400)), "AVIF", speed=10),
}
SLOW_TO_MAKE = ("AVIF", "JPEG 2000")


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.thorough) if kind in SLOW_TO_MAKE else kind for kind in sorted(LARGE)],
)
def test_the_largest_images_stay_below_nineteen_bytes_per_pixel(kind):
    content = LARGE[kind]()
    with peak_memory_below(19 * decoding.MAX_PIXELS + REST_OF_PROCESS_BYTES):
        image = decode_image(content)
    assert image.width * image.height > 0.98 * decoding.MAX_PIXELS
