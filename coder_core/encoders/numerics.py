"""What the settings of an encoder's arithmetic add to its identity; nothing, where they are the usual ones."""

from typing import Any

from coder_core.specs.encoder_specs import Numerics

DRAFT_VERSION = 1
"""Raised when a draft of a JPEG would be decoded to another size."""


def numerics_identity(spec: Numerics) -> dict[str, Any]:
    """The part of an identity that says how it is computed; empty for float32 and whole images."""
    found: dict[str, Any] = {}
    if spec.precision != "float32":
        found["precision"] = spec.precision
    if spec.jpeg_draft:
        found["jpeg_draft"] = DRAFT_VERSION
    return found


def numerics_label(spec: Numerics) -> str:
    """What is added to an encoder's name for people: ` (bfloat16, draft)`; nothing, where all is as usual."""
    said: list[str] = [spec.precision] if spec.precision != "float32" else []
    said += ["draft"] if spec.jpeg_draft else []
    return f" ({', '.join(said)})" if said else ""
