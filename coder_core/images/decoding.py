"""From the bytes of an image file to RGB pixels, or to one line that says what is wrong with them.

What is decided here, and stays so because vectors in stores depend on it:

* Colour profiles are not applied, and CMYK is converted without one: open_clip's own preprocessing does neither, so the
  models were trained on such pixels. A wide-gamut photograph looks a little pale.
* An alpha channel is dropped, as open_clip's preprocessing drops it.
* 16 bits are scaled to 8 by the full range. A camera's 12 bits in a 16-bit file come out 16 times too dark: whoever
  writes such files must scale them.
* Of an animation, of several pages and of several views (MPO) the first counts.
"""

import importlib.util
import io
import threading
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError, features

from coder_core.images.formats import FORMATS, SNIFFED_BYTES, name_content
from coder_core.images.pillow_warnings import without_pillow_warnings
from coder_core.limits import limit

__all__ = ["BrokenImageError", "decode_image", "decoder_identity"]

MAX_BYTES = limit("CODER_MAX_IMAGE_BYTES", 600_000_000)
"""Larger files are refused unread: an image of `MAX_PIXELS` has 534 million bytes where nothing is compressed (16 bits
per colour)."""

MAX_PIXELS = limit("CODER_MAX_IMAGE_PIXELS", 89_000_000)
"""Larger images are refused as broken: a bomb must not take the machine. Pillow itself warns from 89.5 million, and
refuses twice as many."""
if Image.MAX_IMAGE_PIXELS is not None and MAX_PIXELS > Image.MAX_IMAGE_PIXELS:
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS

MAX_ASPECT_RATIO = 100
"""Encoders scale the short side to their input, so 20,000 x 1 pixels would become 4,480,000 x 224: 4 GB. With this
limit the scaled image of an encoder of up to 900 pixels has no more than `MAX_PIXELS` either."""

MAX_SLOW_PIXELS = 4_000_000
"""Limit for the formats that Pillow decodes in Python: 4 million pixels take up to 5 s (PPM of 16 bits)."""

MAX_SCANNED_PIXELS = 40 * MAX_PIXELS
"""Limit for pixels times passes of a progressive JPEG, which may ask for thousands of passes in a few bytes each; real
ones have about ten."""

LARGE_PIXELS = 30_000_000
"""Of larger images a process decodes one at a time. At `MAX_PIXELS` one takes up to 19 bytes per pixel while it is
decoded (JPEG 2000: 1.6 GB; JPEG, PNG: 0.7 GB; measured, Pillow 13), and readers are many."""

_one_large_image = threading.Lock()

_HOLD_PIXELS_ONLY = ("BMP", "JPEG", "PNG", "PPM")
"""Formats whose images let go of file and decoder when they are loaded."""

_PYTHON_DECODERS = frozenset({"ppm", "ppm_plain", "bmp_rle"})
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_START_OF_SCAN = b"\xff\xda"

REASON_CHARACTERS = 200


class BrokenImageError(ValueError):
    """The bytes are no image that can be decoded; the message is one line for the quarantine table."""


def decode_image(content: bytes, *, draft_side: int | None = None) -> Image.Image:
    """Decode one image completely.

    Args:
        content: The bytes of the file.
        draft_side: Let a JPEG be decoded at 1/2, 1/4 or 1/8 where both its sides stay as long as this; None for whole
            images. The discrete cosine transform gives the small image at once, so this is no resizing of the large
            one: several times faster on camera photographs, and slightly other pixels.

    Returns:
        An RGB image, upright by its EXIF orientation; the first frame of an animation; 16 bits scaled to 8. An alpha
        channel is dropped, as open_clip's own preprocessing drops it.

    Raises:
        BrokenImageError: Empty, truncated, not an image, of a range nobody can know, or past one of the limits above.
            Sizes are checked before anything is decoded.
    """
    if not content:
        raise BrokenImageError("the file is empty")
    if len(content) > MAX_BYTES:
        raise BrokenImageError(too_many_bytes(len(content)))
    try:
        with without_pillow_warnings():
            return _decode(content, draft_side)
    except (BrokenImageError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise BrokenImageError(_why_unidentified(content)) from error
    except Image.DecompressionBombError as error:
        raise BrokenImageError(f"it has more than {MAX_PIXELS} pixels, CODER_MAX_IMAGE_PIXELS ({error})") from error
    except Exception as error:  # Pillow's parsers raise whatever damaged bytes lead them to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BrokenImageError(reason[:REASON_CHARACTERS]) from error


def decoder_identity() -> str:
    """What decides whether a file can be decoded here at all: formats and limits.

    A broken image is broken for this decoder only: where the extra `heif` is installed later, HEIC files are whole. So
    whoever keeps a list of broken images must keep this text with it.
    """
    formats = ",".join(name for name in _formats() if name != "AVIF" or features.check("avif"))
    return f"2;{formats};{MAX_BYTES};{MAX_PIXELS};{MAX_ASPECT_RATIO};{MAX_SLOW_PIXELS};{MAX_SCANNED_PIXELS}"


def too_many_bytes(size: int) -> str:
    """The reason for refusing a file by its size."""
    return f"the file has {size} bytes, more than {MAX_BYTES}"


def _decode(content: bytes, draft_side: int | None) -> Image.Image:
    image: Image.Image = Image.open(io.BytesIO(content), formats=_formats())
    _check_size(image)
    _check_cost(image, content)
    if draft_side is not None and image.format in ("JPEG", "MPO"):
        image.draft(None, (draft_side, draft_side))
    with _one_large_image if image.width * image.height > LARGE_PIXELS else nullcontext():
        image.load()
        turn = _TURNS.get(_orientation(image))
        image = _as_rgb(image)
        return image if turn is None else image.transpose(turn)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and image.format in _HOLD_PIXELS_ONLY:
        return image  # converting would copy it
    if image.mode == "LAB":
        raise BrokenImageError("its colours are in the LAB space: save it as RGB")
    image = _eight_bits(image)
    image.info.pop("transparency", None)  # dropped, whether it is a channel or a colour; Pillow warns of some of these
    return image.convert("RGB")


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    formats = tuple(name for name in FORMATS if name in Image.OPEN)  # Pillow before 11.3 has no AVIF
    if importlib.util.find_spec("pillow_heif") is None:
        return formats
    from pillow_heif import register_heif_opener

    register_heif_opener()
    return (*formats, "HEIF")


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BrokenImageError(f"{width} x {height} pixels are more than {MAX_PIXELS}, CODER_MAX_IMAGE_PIXELS")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise BrokenImageError(f"{width} x {height} pixels: one side is more than {MAX_ASPECT_RATIO} times the other")


def _check_cost(image: Image.Image, content: bytes) -> None:
    """Refuse what a small file could make expensive: passes of a JPEG, tiles of a TIFF, decoders written in Python."""
    pixels = image.width * image.height
    passes = content.count(_START_OF_SCAN) if image.format in ("JPEG", "MPO") else 1
    if passes * pixels > MAX_SCANNED_PIXELS:
        raise BrokenImageError(f"{passes} passes over {pixels} pixels are more than {MAX_SCANNED_PIXELS}")
    tags = getattr(image, "tag_v2", {})
    tile = _number(tags.get(_TILE_WIDTH)) * _number(tags.get(_TILE_LENGTH))
    if tile > MAX_PIXELS:
        raise BrokenImageError(f"tiles of {tile} pixels are more than {MAX_PIXELS}")
    decoders = {tile[0] for tile in getattr(image, "tile", ())}
    if pixels > MAX_SLOW_PIXELS and decoders & _PYTHON_DECODERS:
        raise BrokenImageError(f"{pixels} pixels as {image.format} of this kind are more than {MAX_SLOW_PIXELS}")


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _why_unidentified(content: bytes) -> str:
    kind, is_taken = name_content(content[:SNIFFED_BYTES]) or ("", False)
    if kind == "a HEIF image" and "HEIF" not in _formats():
        return "HEIC and HEIF need the extra `heif`: pip install 'coder-eval[heif]'"
    if kind == "an AVIF image" and not features.check("avif"):
        return "AVIF needs Pillow 11.3 or newer with its AVIF codec"
    if is_taken:
        return f"{kind}, but damaged"
    known = f" ({', '.join(_formats())})"
    return f"not an image in a known format{f', but {kind}' if kind else known}"


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what undoes it (EXIF 2.32, table 5). `ImageOps.exif_transpose` would also write the EXIF anew,
and fails on good images with odd tags."""


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - unreadable EXIF says nothing about the pixels
        return None


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16 bits to 8; Pillow would clip them, and turn nearly every pixel white."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise BrokenImageError(f"32 bits per pixel (mode {image.mode}) have no known range: save it with 8 or 16")
    return image
