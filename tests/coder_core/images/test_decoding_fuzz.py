"""Very many damaged files of every format: an RGB image or one BrokenImageError, and nothing is printed."""

import random
import zlib

import pytest

from coder_core.images.decoding import REASON_CHARACTERS, BrokenImageError, decode_image
from tests.coder_core.images.hostile_images import PHOTO, WHOLE, bmp_of_runs, encoded, exif
from tests.damage import damaged

CASES = 100

SEEDS = {kind: make() for kind, make in WHOLE.items() if "passes" not in kind and "2^32" not in kind}
SEEDS |= {
    "BMP of runs": bmp_of_runs(20),
    "PNG turned": encoded(PHOTO, exif=exif(6)),
    "TIFF deflate": encoded(PHOTO, "TIFF", compression="tiff_adobe_deflate"),
    "TIFF group 4": encoded(PHOTO.convert("1"), "TIFF", compression="group4"),
    "TIFF packbits": encoded(PHOTO, "TIFF", compression="packbits"),
}


def with_checksums(content):
    """Make the chunks of a PNG whole again, so that damage gets past the first check."""
    out, at = bytearray(content[:8]), 8
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        chunk = content[at + 4 : at + 8 + size]
        if at + 12 + size > len(content):
            break
        out += content[at : at + 4] + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        at += 12 + size
    return bytes(out + content[at:])


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(SEEDS))
def test_a_damaged_file_is_an_image_or_broken(kind, capfd):
    broken = 0
    for number in range(CASES):
        draw = random.Random(f"{kind} {number}")
        content = damaged(SEEDS[kind], draw)
        if content.startswith(b"\x89PNG") and draw.random() < 0.8:
            content = with_checksums(content)
        try:
            assert decode_image(content).mode == "RGB"
        except BrokenImageError as problem:
            broken += 1
            assert "\n" not in str(problem)  # noqa: PT017 - either outcome is right
            assert 0 < len(str(problem)) <= REASON_CHARACTERS  # noqa: PT017
    assert broken
    assert capfd.readouterr() == ("", "")
