"""Parse a hand-written file: YAML or JSON, with three guards that the parsers lack.

JSON is read as JSON (YAML forbids the tabs that JSON may be indented with); a repeated key is an error (both parsers
let the last one win, and half a bank would vanish without a word); deep nesting is an error (libyaml would crash).
"""

import json
from typing import Any

import yaml

from coder_core.errors import TextBankError

__all__ = ["read_markup"]

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader where it was built in: 12 times faster on a bank of 14,000 phrases, the same result."""

MAX_DEPTH = 32
"""Far more levels of nesting than any of our formats has."""


def read_markup(text: str, place: str) -> Any:
    """Read YAML or JSON.

    Args:
        text: The file's content; a byte order mark is ignored.
        place: The file's name, for error messages.

    Returns:
        Mappings, lists and scalars; None for an empty file.

    Raises:
        TextBankError: Neither YAML nor JSON, a key given twice, or nested too deeply.
    """
    text = text.removeprefix("\ufeff")
    try:
        if text.lstrip().startswith("{"):
            return _parse_json(text)
        return _parse_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise TextBankError(
            f"not readable as YAML or JSON: {reason}.",
            place,
            "Correct it there; quote phrases with `: ` or `#` in them.",
        ) from error


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_refuse_repeated_keys)
    except json.JSONDecodeError as error:
        try:
            return _parse_yaml(text)  # YAML's own `{a: b}` starts like JSON
        except yaml.YAMLError:
            raise error from None


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return mapping


def _parse_yaml(text: str) -> Any:
    _refuse_depth(text)
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_repeated_nodes(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _refuse_depth(text: str) -> None:
    """Libyaml builds nodes recursively without a guard and takes the process down; its events come one by one."""
    depth = 0
    for event in yaml.parse(text, Loader=Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


def _refuse_repeated_nodes(root: yaml.Node) -> None:
    """Raise ValueError when a mapping names a key twice; an alias is walked once, so a cycle ends."""
    pending, walked = [root], set[int]()
    while pending:
        node = pending.pop()
        if id(node) in walked:
            continue
        walked.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            _refuse_repeated_scalars([key for key, _ in node.value if isinstance(key, yaml.ScalarNode)])
            pending.extend(value for _, value in node.value)


def _refuse_repeated_scalars(keys: list[yaml.ScalarNode]) -> None:
    seen: set[str] = set()
    for key in keys:
        if key.value in seen:
            raise ValueError(f"the key {key.value!r} is there twice, line {key.start_mark.line + 1}")
        seen.add(key.value)
