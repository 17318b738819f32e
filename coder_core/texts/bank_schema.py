"""The shape of a bank file: a parsed document into checked records, the first thing wrong said in one sentence."""

import difflib
import reprlib
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
)

from coder_core.errors import TextBankError
from coder_core.texts.markup import read_markup

__all__ = [
    "FORMAT",
    "BankEntry",
    "BankFile",
    "LabelId",
    "NonBlank",
    "PairEntry",
    "PhraseEntry",
    "PhraseList",
    "Record",
    "SourcedPhrase",
    "bank_error",
    "read_bank_file",
]

FORMAT = "coder-text-bank/1"

NonBlank = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
LabelId = Annotated[int, Field(ge=0, strict=True)]


def _list_or_nothing(value: object) -> object:
    """Read a key without a value (`synonyms:`) as an empty list."""
    return [] if value is None else value


class Record(BaseModel):
    """A closed mapping of a file."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class SourcedPhrase(Record):
    """A phrase whose source is not the file's: `{text: a long tail, source: human}`."""

    text: NonBlank
    source: NonBlank


_TAGS = ("<text>", "<sourced>")
"""The two ways to write a phrase. Pydantic puts these names into an error's path, though the user wrote no such key."""


def _way_of_writing(phrase: object) -> str:
    return _TAGS[1] if isinstance(phrase, dict | SourcedPhrase) else _TAGS[0]


PhraseEntry = Annotated[
    Annotated[NonBlank, Tag(_TAGS[0])] | Annotated[SourcedPhrase, Tag(_TAGS[1])], Discriminator(_way_of_writing)
]
PhraseList = Annotated[list[PhraseEntry], BeforeValidator(_list_or_nothing)]
FilledList = Annotated[list[PhraseEntry], Field(min_length=1)]


class BankEntry(Record):
    """One class of the file. `attributes` is None where the key is absent; present, it must not be empty."""

    name: NonBlank
    id: LabelId | None = None
    attributes: Annotated[FilledList | None, BeforeValidator(_list_or_nothing)] = None
    analogous_classes: PhraseList = Field(default_factory=list)
    synonyms: PhraseList = Field(default_factory=list)


class PairEntry(Record):
    """Phrases that tell `class` from `rival`."""

    class_: NonBlank = Field(alias="class")
    rival: NonBlank
    class_id: LabelId | None = None
    rival_id: LabelId | None = None
    phrases: Annotated[FilledList, BeforeValidator(_list_or_nothing)]


class BankFile(Record):
    """The whole file. `partial` says that some classes are known to have no attributes."""

    format: Literal["coder-text-bank/1"]
    domain: NonBlank | None = None
    source: NonBlank = "file"
    partial: Annotated[bool, Field(strict=True)] = False
    classes: Annotated[list[BankEntry], Field(min_length=1)]
    one_to_one: list[PairEntry] = Field(default_factory=list)


def read_bank_file(text: str, place: str) -> BankFile:
    """Parse and check a bank file's shape.

    Raises:
        TextBankError: Not YAML or JSON, an unknown or repeated key, a missing one, a wrong type or a blank phrase.
    """
    document = read_markup(text, place)
    if not isinstance(document, dict):
        raise TextBankError(
            f"a bank is a mapping with `format` and `classes`, found {_describe(document)}.",
            place,
            f"Start the file with `format: {FORMAT}`.",
        )
    try:
        return BankFile.model_validate(document)
    except ValidationError as error:
        raise bank_error(error, place) from error


def bank_error(error: ValidationError, place: str) -> TextBankError:
    """Say the first thing wrong: where in the file, what was found, what to do."""
    problems = error.errors(include_url=False, include_context=True)
    first = problems[0]
    rest = f" ({len(problems) - 1} more after this one)" if len(problems) > 1 else ""
    problem, remedy = _explain(first["type"], first["loc"], first["input"], first["msg"])
    return TextBankError(problem, f"{place}: {_path(first['loc'])}", remedy + rest)


def _explain(kind: str, location: tuple[int | str, ...], found: object, message: str) -> tuple[str, str]:
    key = str(next(part for part in reversed(location) if part not in _TAGS))
    if kind == "extra_forbidden":
        return f"unknown key {key!r}.", _nearest_key(key)
    if kind == "missing":
        return f"the key {key!r} is missing.", "Add it."
    if kind == "string_type":
        return f"expected text, found {_describe(found)}.", "Put it in quotes: YAML reads `no` and `12` as other types."
    if kind == "string_too_short":
        return f"the text {found!r} is blank.", "Write or remove it."
    if kind == "too_short":
        return "the list is empty.", "Write at least one entry, or leave the key out where it is optional."
    if kind == "literal_error":
        return f"{_describe(found)} is not a known format.", f"Write `format: {FORMAT}`."
    return f"{message}, found {_describe(found)}.", f"See the example of {FORMAT} in the documentation."


def _nearest_key(key: str) -> str:
    models: tuple[type[BaseModel], ...] = (BankFile, BankEntry, PairEntry, SourcedPhrase)
    known = sorted({field.alias or name for model in models for name, field in model.model_fields.items()})
    close = difflib.get_close_matches(key, known, n=1)
    return f"Did you mean {close[0]!r}?" if close and close[0] != key else f"Keys are: {', '.join(known)}."


def _path(location: tuple[int | str, ...]) -> str:
    """Write `("classes", 12, "attributes")` as `classes[12].attributes`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location if part not in _TAGS)
    return "".join(parts).removeprefix(".")


def _describe(value: object) -> str:
    return f"{type(value).__name__} {reprlib.repr(value)}"
