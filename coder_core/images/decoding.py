"""From the bytes of an image file to RGB pixels, or to one line that says what is wrong with them."""

import io
import warnings

from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 200_000_000
"""Larger images are refused as broken: a decompression bomb must not take the machine."""

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


class BrokenImageError(ValueError):
    """The bytes are no image that can be decoded; the message is one line for the quarantine table."""


def decode_image(content: bytes) -> Image.Image:
    """Decode one image completely.

    Args:
        content: The bytes of the file.

    Returns:
        An RGB image, upright by its EXIF orientation; the first frame of an animation; transparency on black.

    Raises:
        BrokenImageError: Empty, truncated, not an image, or larger than `MAX_PIXELS`.
    """
    if not content:
        raise BrokenImageError("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content))
            if image.width * image.height > MAX_PIXELS:
                raise BrokenImageError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS}")
            return ImageOps.exif_transpose(image).convert("RGB")
    except UnidentifiedImageError as error:
        raise BrokenImageError("not an image in a known format") from error
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        if isinstance(error, BrokenImageError):
            raise
        raise BrokenImageError(" ".join(str(error).split()) or type(error).__name__) from error
