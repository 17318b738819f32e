"""Limits that a user may move: each has a default here or where it is used, and a name in the environment."""

import os
from collections.abc import Mapping

from coder_core.errors import ConfigError

LIMITS = {
    "CODER_LEASE_SECONDS": "silence after which a run on another machine counts as dead, and its work is taken over",
    "CODER_MAX_ARRAY_BYTES": "arrays or columns read from one file of features",
    "CODER_MAX_ARRAY_EXPANSION": "times its packed size that a large array of an .npz archive may have",
    "CODER_MAX_CLASS_QUERY_SECONDS": "the SQL of a class list; its memory is a quarter of the machine's",
    "CODER_MAX_CHECKPOINT_CONFIG_BYTES": "the configuration of a checkpoint folder",
    "CODER_MAX_COLUMN_ROWS": "rows that a Parquet file of features may declare",
    "CODER_MAX_IMAGE_BYTES": "one image file",
    "CODER_MAX_IMAGE_PIXELS": "pixels that an image may declare",
    "CODER_MAX_JSON_BYTES": "a split file, or a class list in JSON",
    "CODER_MAX_MANIFEST_BYTES": "a manifest, or a list in a published data set",
    "CODER_MAX_MODEL_LAYERS": "layers of one tower that a checkpoint folder may declare",
    "CODER_MAX_MODEL_WIDTH": "numbers per position of one tower that a checkpoint folder may declare",
    "CODER_MAX_NESTING": "levels of nesting in YAML and JSON; no more than 200, whatever is set",
    "CODER_MAX_SWEEP_CELLS": "evaluations of one sweep",
    "CODER_MAX_TABLE_BYTES": "a table or database that the SQL of a class list reads",
    "CODER_MAX_TEXT_CHARACTERS": "one text of a config, a text bank or an edits file",
    "CODER_MAX_TEXT_FILE_BYTES": "a config, a text bank or an edits file",
    "CODER_MAX_TEXT_FILE_VALUES": "values of such a file; what a YAML alias repeats counts at every place",
    "CODER_MAX_UNPACK_EXPANSION": "times its size that a fetched archive may unpack to",
    "CODER_MAX_YAML_BYTES": "a class list in YAML",
    "CODER_MAX_YAML_VALUES": "values of a class list in YAML, aliases counted at every place",
}
"""Variable of the environment -> what it limits (docs/security.md tells the defaults)."""


MOST_NESTING = 200
"""The readers call themselves once per level, and Python's stack is short."""


def nesting_limit() -> int:
    """The levels of nesting that a YAML or JSON file may have."""
    return min(limit("CODER_MAX_NESTING", 32), MOST_NESTING)


def limit(name: str, default: int) -> int:
    """A limit of this process: what the environment says, or the default.

    Args:
        name: One of `LIMITS`.
        default: What it is where the environment says nothing.

    Raises:
        KeyError: There is no such limit: a mistake in this project.
        ConfigError: The environment holds something else than a positive integer.
    """
    if name not in LIMITS:
        raise KeyError(name)
    given = os.environ.get(name)
    if not given:
        return default
    if not given.isascii() or not given.isdecimal() or not 0 < len(given) < 19 or not int(given):
        raise ConfigError(f"expected a positive integer, found {given!r:.80}.", name, "Correct it, or unset it.")
    return int(given)


QUERY_NUMBERS: Mapping[str, tuple[type[int] | type[float], float]] = {
    "CODER_QUERY_MEMORY": (float, 0.1),
    "CODER_QUERY_ROWS": (int, 1),
    "CODER_QUERY_SECONDS": (float, 0.1),
}
"""Variables that stand for options of `coder-eval query` -> what they are, and the least that they may be."""


def check_query_number(name: str) -> None:
    """Refuse a value of one of `QUERY_NUMBERS` in words that name the variable; the option would name itself.

    Raises:
        ConfigError: The environment holds something else than such a number.
    """
    given, (kind, least) = os.environ.get(name), QUERY_NUMBERS[name]
    if not given:
        return
    try:
        is_good = kind(given) >= least
    except ValueError:
        is_good = False
    if not is_good:
        words = "a whole number" if kind is int else "a number"
        raise ConfigError(
            f"expected {words} of at least {least}, found {given!r:.80}.", name, "Correct it, or unset it."
        )
