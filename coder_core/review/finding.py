"""What the name doctor finds: a fault, the classes that have it, and what to do."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from coder_core.classes import ClassList

NAMES_SHOWN = 3


class Fault(StrEnum):
    """What is wrong with names, texts or labels."""

    RUN_TOGETHER = "run_together"
    NUMBERED = "numbered"
    WORDNET_ID = "wordnet_id"
    SAME_NAME = "same_name"
    SUFFIX_ONLY = "suffix_only"
    HOMONYM = "homonym"
    NO_IMAGES = "no_images"
    DOMAIN = "domain"
    OTHER_CLASS = "other_class"
    LABEL_ORDER = "label_order"


class Finding(NamedTuple):
    """One fault.

    Args:
        fault: Which.
        class_ids: The classes that have it, ascending; none where it is of the whole.
        problem: What was found, as a sentence.
        remedy: What to do, as a sentence.
        new_names: Label id -> the name proposed; `doctor --fix` writes these.
    """

    fault: Fault
    class_ids: tuple[int, ...]
    problem: str
    remedy: str
    new_names: Mapping[int, str] = {}

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}"


def show_names(classes: ClassList, class_ids: tuple[int, ...]) -> str:
    """The first names of some classes, and how many more there are."""
    shown = ", ".join(repr(classes.names[class_id]) for class_id in class_ids[:NAMES_SHOWN])
    rest = len(class_ids) - NAMES_SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown


def show_changes(classes: ClassList, new_names: Mapping[int, str]) -> str:
    """The first of some new names, each after the old one."""
    pairs = [f"{classes.names[class_id]!r} -> {name!r}" for class_id, name in list(new_names.items())[:NAMES_SHOWN]]
    return ", ".join(pairs)
