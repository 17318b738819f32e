"""The kinds of text: the paper's five neighbour kinds and, for the baseline, CLIP's further prompt templates."""

from enum import StrEnum

__all__ = ["DESCRIPTIVE_KINDS", "NAMING_KINDS", "TextKind"]


class TextKind(StrEnum):
    """What a text says about its class.

    The first five are the paper's (Yi et al., CVPR 2024, "Auto Text Generator"); `template` holds the prompts of
    CLIP's ensemble baseline and is no neighbour text.
    """

    CLASS_NAME = "class_name"
    SYNONYM = "synonym"
    ATTRIBUTE = "attribute"
    ANALOGOUS_CLASS = "analogous_class"
    ONE_TO_ONE = "one_to_one"
    TEMPLATE = "template"


NAMING_KINDS = (TextKind.CLASS_NAME, TextKind.SYNONYM)
"""Kinds of which only the best counts (the maximum), so that many synonyms do not outweigh none."""

DESCRIPTIVE_KINDS = (TextKind.ATTRIBUTE, TextKind.ANALOGOUS_CLASS)
"""Kinds of which every text counts (the mean)."""
