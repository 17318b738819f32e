"""Parse a file that a person or a stranger wrote: YAML or JSON, within limits, into plain values.

JSON is read as JSON (YAML forbids the tabs that JSON may be indented with). YAML is put together from libyaml's events,
one at a time, because libyaml's own composer crashes on deep nesting, lets the last of two equal keys win, so that half
a bank would vanish without a word, and follows aliases of aliases into gigabytes.
"""

import codecs
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from coder_core.errors import TextBankError
from coder_core.limits import limit, nesting_limit

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_NUMBER", "MAX_TEXT", "MAX_VALUES", "read_markup"]

MAX_BYTES = limit("CODER_MAX_TEXT_FILE_BYTES", 10_000_000)
"""Ten times the largest published file of texts (16,000 phrases of pairs)."""
MAX_VALUES = limit("CODER_MAX_TEXT_FILE_VALUES", 300_000)
"""Texts, numbers, lists and mappings; what an alias repeats counts at every place. 1,000 classes have some 20,000."""
MAX_DEPTH = nesting_limit()
"""Far more levels of nesting than any of our formats has."""
MAX_TEXT = limit("CODER_MAX_TEXT_CHARACTERS", 100_000)
"""Characters of one text."""
MAX_NUMBER = 100
"""Characters of one number: Python takes quadratic time for its digits."""


class _Limits(NamedTuple):
    size: int
    values: int
    text: int


_STRICT = _Limits(MAX_BYTES, MAX_VALUES, MAX_TEXT)
_NONE = _Limits(sys.maxsize, sys.maxsize, sys.maxsize)
_REASON_WIDTH = 200
_NUMBER_SIGNS = "0123456789+-._:"
_MERGE = "tag:yaml.org,2002:merge"
_TEXT_TAG = "tag:yaml.org,2002:str"
_PLAIN_TAGS = {None, "!", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"}
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_JSON_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]|[^\s,:\[\]{}"]++', re.DOTALL)
"""A string, closed or not; a bracket; a number or word."""


def read_markup(content: str | bytes, place: str, *, is_trusted: bool = False) -> Any:
    """Read YAML or JSON.

    Args:
        content: The file's content, UTF-8 where it is bytes; a byte order mark is ignored.
        place: The file's name, for error messages.
        is_trusted: Whether this project wrote it: then it may have any size, any number of values and any text.

    Returns:
        Mappings, lists and scalars; None for an empty file. What an alias repeats is one object at several places.

    Raises:
        TextBankError: Neither YAML nor JSON, not UTF-8, a key given twice, or beyond a limit of this module.
    """
    limits = _NONE if is_trusted else _STRICT
    text = _decode(content, place, limits).removeprefix("\ufeff")
    try:
        return _parse_json(text, limits) if text.lstrip().startswith("{") else _YamlBuilder(text, limits).build()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise TextBankError(
            f"not readable as YAML or JSON: {reason:.{_REASON_WIDTH}}.",
            place,
            "Correct it there; quote phrases with `: ` or `#` in them.",
        ) from error


def _decode(content: str | bytes, place: str, limits: _Limits) -> str:
    if len(content) > limits.size:
        problem = f"the file has {len(content):,} bytes, at most {limits.size:,} are read."
        raise TextBankError(problem, place, "Leave out what is not needed.")
    if isinstance(content, str):
        return content
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"this is {'UTF-16' if is_utf16 else 'not UTF-8'} text ({error})."
        raise TextBankError(problem, place, "Save it as UTF-8.") from error


def _parse_json(text: str, limits: _Limits) -> Any:
    try:
        _check_json(text, limits)
        return json.loads(
            text, object_pairs_hook=_mapping_of, parse_int=_number_parser(int), parse_float=_number_parser(float)
        )
    except ValueError as error:
        try:
            return _YamlBuilder(text, limits).build()  # YAML's own `{a: b}` starts like JSON, and has limits of its own
        except yaml.YAMLError:
            raise error from None


def _check_json(text: str, limits: _Limits) -> None:
    """Count depth and values before they are built."""
    depth = values = 0
    for match in _JSON_TOKEN.finditer(text):
        sign = text[match.start()]
        depth += (sign in "[{") - (sign in "]}")
        values += sign not in "]}"
        _check_counts(depth, values, limits)
        if sign == '"':
            _check_text(match.end() - match.start(), limits)
        if depth < 0:
            return  # no JSON; the parser says why


def _check_counts(depth: int, values: int, limits: _Limits) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if values > limits.values:
        raise ValueError(f"more than {limits.values:,} values")


def _check_text(length: int, limits: _Limits) -> None:
    if length > limits.text:
        raise ValueError(f"a text of {length:,} characters, at most {limits.text:,} are read")


def _number_parser(parse: Callable[[str], int | float]) -> Callable[[str], int | float]:
    def parse_short(digits: str) -> int | float:
        if len(digits) > MAX_NUMBER:
            raise ValueError(f"a number of {len(digits):,} characters, at most {MAX_NUMBER} are read")
        return parse(digits)

    return parse_short


def _mapping_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key, value in pairs:
        _add_entry(mapping, key, value)
    return mapping


def _add_entry(mapping: dict[Any, Any], key: Any, value: Any) -> None:
    if key in mapping:
        raise ValueError(f"the key {key!r:.80} is there twice")
    mapping[key] = value


@dataclass
class _Collection:
    """A list or mapping that is still open.

    Args:
        value: What it holds so far.
        anchor: The name by which an alias repeats it.
        values_before: How many values came before it.
        keys: The key that waits for its value; none or one.
        merged: The mappings that `<<` names.
    """

    value: list[Any] | dict[Any, Any]
    anchor: str | None
    values_before: int
    keys: list[Any] = field(default_factory=list)
    merged: list[dict[Any, Any]] = field(default_factory=list)

    def add(self, value: Any, *, is_merge_key: bool) -> None:
        if is_merge_key and (self.keys or isinstance(self.value, list)):
            raise ValueError("`<<` stands where no key is (put it in quotes)")
        if isinstance(self.value, list):
            self.value.append(value)
        elif not self.keys:
            if isinstance(value, list | dict):
                raise ValueError("a list or mapping as key")
            self.keys.append(_MERGE if is_merge_key else value)
        elif (key := self.keys.pop()) is _MERGE:
            self.merged += value if isinstance(value, list) else [value]
        else:
            _add_entry(self.value, key, value)

    def close(self) -> list[Any] | dict[Any, Any]:
        """The whole value; in a mapping own keys count before those merged, and those before later ones."""
        if isinstance(self.value, dict):
            for mapping in self.merged:
                if not isinstance(mapping, dict):
                    raise ValueError("`<<` names something that is no mapping")
                for key, value in mapping.items():
                    self.value.setdefault(key, value)
        return self.value


class _YamlBuilder:
    """Makes plain values of the events of one YAML document, and counts them."""

    def __init__(self, text: str, limits: _Limits) -> None:
        self._loader, self._limits = _Loader(text), limits
        self._open = [_Collection([], None, 0)]
        self._anchored: dict[str, tuple[Any, int]] = {}
        self._values = 0

    def build(self) -> Any:
        """Read to the end.

        Raises:
            yaml.YAMLError: The text is no YAML.
            ValueError: It is more than one document, or not within the limits of this module.
        """
        try:
            while self._loader.check_event():
                event = self._loader.get_event()
                try:
                    self._take(event)
                except ValueError as error:
                    raise ValueError(f"{error}, line {event.start_mark.line + 1}") from error
        finally:
            self._loader.dispose()
        documents = self._open[0].value
        return documents[0] if documents else None

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._repeat(str(event.anchor))
        elif isinstance(event, yaml.ScalarEvent):
            self._count(1)
            tag = self._tag_of(event)
            value = _MERGE if tag == _MERGE else self._scalar(tag, event)
            self._add(value, event.anchor, 1, is_merge_key=tag == _MERGE)
        elif isinstance(event, yaml.CollectionStartEvent):
            if event.tag not in _PLAIN_TAGS:
                raise ValueError(f"the tag {event.tag!r:.80} is not known")
            empty: list[Any] | dict[Any, Any] = [] if isinstance(event, yaml.SequenceStartEvent) else {}
            self._open.append(_Collection(empty, event.anchor, self._values))
            self._count(1)
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self._open.pop()
            self._add(done.close(), done.anchor, self._values - done.values_before)
        elif isinstance(event, yaml.DocumentStartEvent) and self._open[0].value:
            raise ValueError("more than one document")

    def _add(self, value: Any, anchor: str | None, values: int, *, is_merge_key: bool = False) -> None:
        if anchor is not None:
            self._anchored[anchor] = value, values
        self._open[-1].add(value, is_merge_key=is_merge_key)

    def _repeat(self, anchor: str) -> None:
        if anchor not in self._anchored:
            raise ValueError(f"the alias {anchor!r:.80} repeats nothing that is complete before it")
        value, values = self._anchored[anchor]
        self._count(values)
        self._open[-1].add(value, is_merge_key=False)

    def _count(self, values: int) -> None:
        self._values += values
        _check_counts(len(self._open) - 1, self._values, self._limits)

    def _tag_of(self, event: yaml.ScalarEvent) -> str:
        if event.tag is not None and event.tag != "!":
            return str(event.tag)
        if len(event.value) > MAX_NUMBER:  # the patterns of the YAML library would take its length in memory
            if event.implicit[0] and not event.value.strip(_NUMBER_SIGNS):
                raise ValueError(f"a number of {len(event.value):,} characters, at most {MAX_NUMBER} are read")
            return _TEXT_TAG
        return str(self._loader.resolve(yaml.ScalarNode, event.value, event.implicit))

    def _scalar(self, tag: str, event: yaml.ScalarEvent) -> Any:
        _check_text(len(event.value), self._limits)
        if tag == _TEXT_TAG:
            return event.value
        if len(event.value) > MAX_NUMBER:
            raise ValueError(f"{event.value!r:.80}... is too long for a value that is no text")
        node = yaml.ScalarNode(tag, event.value)
        try:
            return yaml.SafeLoader.yaml_constructors[tag](self._loader, node)
        except (KeyError, AttributeError, OverflowError, yaml.YAMLError) as error:
            raise ValueError(f"{event.value!r:.80} cannot be read as {tag.rpartition(':')[2]!r:.80}") from error
