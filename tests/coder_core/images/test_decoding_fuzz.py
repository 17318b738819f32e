"""Thousands of damaged files of every format: an RGB image or one BrokenImageError, and nothing is printed."""

import random
import zlib

import pytest

from coder_core.images.decoding import REASON_CHARACTERS, BrokenImageError, decode_image
from tests.coder_core.images.hostile_images import PHOTO, WHOLE, bmp_of_runs, encoded, exif

CASES = 400
EXTREMES = (b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\1\0\0")

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


def damaged(content, draw):  # noqa: C901 - one case per way of damaging
    content = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        at = draw.randrange(min(len(content), 64) if draw.random() < 0.4 else len(content))
        match draw.randrange(7):
            case 0:
                content[at] ^= 1 << draw.randrange(8)
            case 1:
                content[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                content[at : at + 4] = draw.choice(EXTREMES)
            case 3:
                del content[at : at + draw.randrange(1, 20)]
            case 4:
                content[at:at] = draw.randbytes(draw.randrange(1, 9))
            case 5:
                del content[max(at, 1) :]
            case 6:
                start = draw.randrange(len(content))
                content[at:at] = content[start : start + draw.randrange(1, 40)]
        content = content or bytearray(b"\0")
    return bytes(content)


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
