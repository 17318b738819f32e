"""From the bytes of an image file to RGB pixels, or to one line that says what is wrong with them."""

import io
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

MAX_PIXELS = 89_000_000
"""Larger images are refused as broken: a bomb must not take the machine. Pillow itself warns from 89.5 million."""

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow knows 36 more, one of which runs Ghostscript on what it is given."""

REASON_CHARACTERS = 200


class BrokenImageError(ValueError):
    """The bytes are no image that can be decoded; the message is one line for the quarantine table."""


def decode_image(content: bytes) -> Image.Image:
    """Decode one image completely.

    Args:
        content: The bytes of the file.

    Returns:
        An RGB image, upright by its EXIF orientation; the first frame of an animation; 16 bits scaled to 8. An alpha
        channel is dropped, as open_clip's own preprocessing drops it.

    Raises:
        BrokenImageError: Empty, truncated, not an image, larger than `MAX_PIXELS`, or of a range nobody can know.
    """
    if not content:
        raise BrokenImageError("the file is empty")
    try:
        return _decode(content)
    except (BrokenImageError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise BrokenImageError(f"not an image in a known format ({', '.join(FORMATS)})") from error
    except Exception as error:  # Pillow's parsers raise whatever damaged bytes lead them to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BrokenImageError(reason[:REASON_CHARACTERS]) from error


def _decode(content: bytes) -> Image.Image:
    image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise BrokenImageError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS}")
    image.load()
    turn = _TURNS.get(_orientation(image))
    image = _eight_bits(image)
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns when a transparent palette becomes RGB at once
    image = image.convert("RGB")
    return image if turn is None else image.transpose(turn)


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
