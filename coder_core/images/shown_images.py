"""Images as a language model is shown them: small JPEGs of bounded size, with nothing in them but pixels.

What a camera wrote beside the picture (place, time, name, comment) is not sent anywhere: pixels are decoded and written
anew. 512 pixels are one tile, or 256 patches, of the models that read images, and about what encoders of images see.
"""

import io

from PIL import Image

from coder_core.images.decoding import BrokenImageError, decode_image

__all__ = ["MAX_JPEG_BYTES", "MAX_SIDE", "render_shown"]

MAX_SIDE = 512
"""Longest side in pixels; smaller images are not enlarged."""

MAX_JPEG_BYTES = 131_072
"""A photograph of 512 x 512 pixels has 30 to 90 kB at the first of `QUALITIES`; noise has 200."""

QUALITIES = (85, 70, 50, 30, 10)
"""Tried in turn until `MAX_JPEG_BYTES` are enough; at the last one noise has a third of that."""


def render_shown(content: bytes) -> bytes:
    """Write an image as it is shown.

    Args:
        content: The bytes of an image file in any format that is read here.

    Returns:
        A JPEG of at most `MAX_SIDE` pixels and `MAX_JPEG_BYTES` bytes, upright, without EXIF, profile or comment.

    Raises:
        BrokenImageError: It cannot be decoded, or not written so small.
    """
    image = decode_image(content, draft_side=MAX_SIDE)
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    image.info = {}  # Pillow would write a comment from there
    for quality in QUALITIES:
        written = io.BytesIO()
        image.save(written, "JPEG", quality=quality)
        if written.tell() <= MAX_JPEG_BYTES:
            return written.getvalue()
    raise BrokenImageError(f"it has more than {MAX_JPEG_BYTES} bytes as a JPEG of {MAX_SIDE} pixels")
