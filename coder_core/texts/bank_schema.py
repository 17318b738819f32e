"""The shape of a bank file: a parsed document into checked records, the first thing wrong said in one sentence."""

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
from coder_core.texts.file_errors import HIDDEN, describe, explain_invalid
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
    "list_or_nothing",
    "read_bank_file",
]

FORMAT = "coder-text-bank/1"

NonBlank = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
LabelId = Annotated[int, Field(ge=0, strict=True)]


def list_or_nothing(value: object) -> object:
    """Read a key without a value (`synonyms:`) as an empty list."""
    return [] if value is None else value


class Record(BaseModel):
    """A closed mapping of a file."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class SourcedPhrase(Record):
    """A phrase whose source is not the file's: `{text: a long tail, source: human}`."""

    text: NonBlank
    source: NonBlank


_TAGS = (f"{HIDDEN}text", f"{HIDDEN}sourced")
"""The two ways to write a phrase, as pydantic names them in an error's path."""


def _way_of_writing(phrase: object) -> str:
    return _TAGS[1] if isinstance(phrase, dict | SourcedPhrase) else _TAGS[0]


PhraseEntry = Annotated[
    Annotated[NonBlank, Tag(_TAGS[0])] | Annotated[SourcedPhrase, Tag(_TAGS[1])], Discriminator(_way_of_writing)
]
PhraseList = Annotated[list[PhraseEntry], BeforeValidator(list_or_nothing)]
FilledList = Annotated[list[PhraseEntry], Field(min_length=1)]


class BankEntry(Record):
    """One class of the file. `attributes` is None where the key is absent; present, it must not be empty."""

    name: NonBlank
    id: LabelId | None = None
    attributes: Annotated[FilledList | None, BeforeValidator(list_or_nothing)] = None
    analogous_classes: PhraseList = Field(default_factory=list)
    synonyms: PhraseList = Field(default_factory=list)


class PairEntry(Record):
    """Phrases that tell `class` from `rival`."""

    class_: NonBlank = Field(alias="class")
    rival: NonBlank
    class_id: LabelId | None = None
    rival_id: LabelId | None = None
    phrases: Annotated[FilledList, BeforeValidator(list_or_nothing)]


class BankFile(Record):
    """The whole file. `partial` says that some classes are known to have no attributes."""

    format: Literal["coder-text-bank/1"]
    domain: NonBlank | None = None
    source: NonBlank = "file"
    partial: Annotated[bool, Field(strict=True)] = False
    classes: Annotated[list[BankEntry], Field(min_length=1)]
    one_to_one: list[PairEntry] = Field(default_factory=list)


RECORDS: tuple[type[Record], ...] = (BankFile, BankEntry, PairEntry, SourcedPhrase)


def read_bank_file(text: str, place: str) -> BankFile:
    """Parse and check a bank file's shape.

    Raises:
        TextBankError: Not YAML or JSON, an unknown or repeated key, a missing one, a wrong type or a blank phrase.
    """
    document = read_markup(text, place)
    if not isinstance(document, dict):
        raise TextBankError(
            f"a bank is a mapping with `format` and `classes`, found {describe(document)}.",
            place,
            f"Start the file with `format: {FORMAT}`.",
        )
    try:
        return BankFile.model_validate(document)
    except ValidationError as error:
        raise explain_invalid(error, place, format_name=FORMAT, records=RECORDS) from error
