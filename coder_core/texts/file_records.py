"""The shapes of our two text files, `coder-text-bank/1` and `coder-text-edits/1`, and what is wrong with a given file.

A parsed document becomes checked records, or the first thing wrong becomes one sentence with place, value and remedy.
Lists stop at their first fault: a file of faults must not cost more memory than a file of phrases.
"""

import difflib
import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
    model_validator,
)

from coder_core.errors import TextBankError
from coder_core.expected_values import describe_expected
from coder_core.texts.markup import read_markup

_TAGS = ("\0text", "\0sourced")
"""The two ways to write a phrase. Pydantic puts these names into an error's path, though no user wrote such a key."""


def _list_or_nothing(value: object) -> object:
    """Read a key without a value (`synonyms:`) as an empty list."""
    return [] if value is None else value


def _way_of_writing(phrase: object) -> str:
    return _TAGS[1] if isinstance(phrase, dict | SourcedPhrase) else _TAGS[0]


class _Record(BaseModel):
    """A closed mapping of a file."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)

    @model_validator(mode="before")
    @classmethod
    def _keep_one_unknown_key(cls, value: Any) -> Any:
        """Pydantic makes an error of every unknown key; one is enough, and a hundred thousand take all memory."""
        if not isinstance(value, dict) or len(value) <= len(cls.model_fields):
            return value
        known = set(_keys_of(cls))
        unknown = [key for key in value if key not in known]
        return {key: item for key, item in value.items() if key in known or key == unknown[0]}


NonBlank = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
LabelId = Annotated[int, Field(ge=0, strict=True)]


class SourcedPhrase(_Record):
    """A phrase whose source is not the file's: `{text: a long tail, source: human}`."""

    text: NonBlank
    source: NonBlank


PhraseEntry = Annotated[
    Annotated[NonBlank, Tag(_TAGS[0])] | Annotated[SourcedPhrase, Tag(_TAGS[1])], Discriminator(_way_of_writing)
]
_Phrases = Annotated[list[PhraseEntry], Field(fail_fast=True), BeforeValidator(_list_or_nothing)]
_FilledList = Annotated[list[PhraseEntry], Field(min_length=1, fail_fast=True)]
_FilledOrAbsent = Annotated[_FilledList | None, BeforeValidator(_list_or_nothing)]
_PlainPhrases = Annotated[list[NonBlank], Field(fail_fast=True), BeforeValidator(_list_or_nothing)]


class _ClassRecord(_Record):
    name: NonBlank
    id: LabelId | None = None


class PairRecord(_Record):
    """A class and its rival."""

    class_: NonBlank = Field(alias="class")
    rival: NonBlank
    class_id: LabelId | None = None
    rival_id: LabelId | None = None


class BankEntry(_ClassRecord):
    """One class of a bank. A description is None where its key is absent; present, it must not be empty."""

    attributes: _FilledOrAbsent = None
    sentences: _FilledOrAbsent = None
    analogous_classes: _Phrases = Field(default_factory=list)
    synonyms: _Phrases = Field(default_factory=list)


class _PairEntry(PairRecord):
    """Phrases that tell `class` from `rival`."""

    phrases: Annotated[_FilledList, BeforeValidator(_list_or_nothing)]


class BankFile(_Record):
    """A bank. `partial` says that some classes are known to have no attributes."""

    format: Literal["coder-text-bank/1"]
    domain: NonBlank | None = None
    source: NonBlank = "file"
    partial: Annotated[bool, Field(strict=True)] = False
    classes: Annotated[list[BankEntry], Field(min_length=1, fail_fast=True)]
    one_to_one: Annotated[list[_PairEntry], Field(fail_fast=True)] = Field(default_factory=list)


class SlotEdits(_Record):
    """What a person added to a list of phrases and deleted from it."""

    add: _PlainPhrases = Field(default_factory=list)
    delete: _PlainPhrases = Field(default_factory=list)


class _ClassEdits(_ClassRecord):
    attributes: SlotEdits = SlotEdits()
    sentences: SlotEdits = SlotEdits()
    analogous_classes: SlotEdits = SlotEdits()
    synonyms: SlotEdits = SlotEdits()


class _PairEdits(PairRecord, SlotEdits):
    pass


class EditsFile(_Record):
    """A person's edits."""

    format: Literal["coder-text-edits/1"]
    classes: Annotated[list[_ClassEdits], Field(fail_fast=True)] = Field(default_factory=list)
    one_to_one: Annotated[list[_PairEdits], Field(fail_fast=True)] = Field(default_factory=list)


_File = TypeVar("_File", BankFile, EditsFile)
_PARTS: Mapping[type[_Record], tuple[type[_Record], ...]] = {
    BankFile: (BankFile, BankEntry, _PairEntry, SourcedPhrase),
    EditsFile: (EditsFile, _ClassEdits, _PairEdits),
}
"""The mappings that a file is made of."""


def read_records(content: str | bytes, place: str, model: type[_File], *, is_trusted: bool = False) -> _File:
    """Parse a file and check its shape.

    Args:
        content: YAML or JSON.
        place: The file's name.
        model: Which file it is to be.
        is_trusted: Whether this project wrote it: then it may be of any size.

    Raises:
        TextBankError: Not YAML or JSON, an unknown or repeated key, a missing one, a wrong type or a blank phrase.
    """
    document = read_markup(content, place, is_trusted=is_trusted)
    (format_name,) = model.model_fields["format"].annotation.__args__  # type: ignore[union-attr]
    if not isinstance(document, dict):
        raise TextBankError(
            f"expected a mapping with `format` and `classes`, found {_describe(document)}.",
            place,
            f"Start the file with `format: {format_name}`.",
        )
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise _explain_invalid(error, place, format_name, _PARTS[model]) from error


def _explain_invalid(
    error: ValidationError, place: str, format_name: str, records: tuple[type[_Record], ...]
) -> TextBankError:
    problems = error.errors(include_url=False, include_context=True)
    first = problems[0]
    location = [part for part in first["loc"] if part not in _TAGS]
    key = str(location[-1]) if location else ""
    problem, remedy = _explain(first["type"], key, first["input"], first.get("ctx", {}), format_name)
    if first["type"] == "extra_forbidden":
        remedy = _nearest_key(key, records)
    rest = f" ({len(problems) - 1} more after this one.)" if len(problems) > 1 else ""
    return TextBankError(problem, f"{place}: {_path(location)}" if location else place, remedy + rest)


def _explain(kind: str, key: str, found: object, context: Mapping[str, Any], format_name: str) -> tuple[str, str]:
    match kind:
        case "extra_forbidden":
            return f"unknown key {key!r:.80}.", ""
        case "missing":
            return f"the key {key!r} is missing.", "Add it."
        case "string_type":
            problem = f"expected text, found {_describe(found)}."
            return problem, "Put it in quotes: YAML reads `no` and `12` as other types."
        case "string_too_short":
            return f"the text {found!r:.80} is blank.", "Write or remove it."
        case "too_short":
            return "the list is empty.", "Write at least one entry, or leave the key out where it is optional."
        case "literal_error":
            return f"{_describe(found)} is not a known format.", f"Write `format: {format_name}`."
    told = describe_expected(kind, {"form": "another form of this text", **context})
    return f"{told}, found {_describe(found)}.", f"See the example of {format_name} in the documentation."


def _describe(value: object) -> str:
    """Name the type of a value and quote it, shortened."""
    return "nothing" if value is None else f"{type(value).__name__} {reprlib.repr(value):.80}"


def _nearest_key(key: str, records: tuple[type[_Record], ...]) -> str:
    known = sorted({key for record in records for key in _keys_of(record)})
    close = difflib.get_close_matches(key[:80], known, n=1)
    return f"Did you mean {close[0]!r}?" if close and close[0] != key else f"Keys are: {', '.join(known)}."


def _keys_of(record: type[_Record]) -> list[str]:
    return [field.alias or name for name, field in record.model_fields.items()]


def _path(location: list[int | str]) -> str:
    """Write `("classes", 12, "attributes")` as `classes[12].attributes`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{repr(part)[1:-1]:.80}" for part in location)
    return "".join(parts).removeprefix(".")
