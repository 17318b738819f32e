"""Read and write a person's edits: `coder-text-edits/1`, the file that survives regeneration.

    format: coder-text-edits/1
    classes:
      - name: Italy
        id: 7                     # only where the class list has the name twice
        attributes:
          add: [three vertical stripes]
          delete: [a red circle]  # stays away, though a model may say it again
        synonyms: {delete: [the boot]}
    one_to_one:
      - {class: Italy, rival: Ireland, add: [a red stripe at the fly end]}

Classes are found by name, as in a bank, so the file stays valid when classes are added to the list.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from coder_core.classes import ClassList
from coder_core.errors import TextBankError
from coder_core.texts.bank_file import resolve_class
from coder_core.texts.bank_schema import LabelId, NonBlank, Record, list_or_nothing
from coder_core.texts.bank_writer import class_reference, dump_yaml
from coder_core.texts.edits import PhraseEdits, TextEdits
from coder_core.texts.file_errors import explain_invalid
from coder_core.texts.kinds import TextKind
from coder_core.texts.markup import read_markup
from coder_core.texts.slots import CLASS_SLOT_KINDS, TextSlot

__all__ = ["EDITS_FORMAT", "parse_text_edits", "write_text_edits"]

EDITS_FORMAT = "coder-text-edits/1"

Phrases = Annotated[list[NonBlank], BeforeValidator(list_or_nothing)]


class _Edits(Record):
    add: Phrases = Field(default_factory=list)
    delete: Phrases = Field(default_factory=list)

    def as_edits(self) -> PhraseEdits:
        return PhraseEdits(added=tuple(self.add), deleted=tuple(self.delete))


class _ClassEdits(Record):
    name: NonBlank
    id: LabelId | None = None
    attributes: _Edits = _Edits()
    analogous_classes: _Edits = _Edits()
    synonyms: _Edits = _Edits()


class _PairEdits(_Edits):
    class_: NonBlank = Field(alias="class")
    rival: NonBlank
    class_id: LabelId | None = None
    rival_id: LabelId | None = None


class _EditsFile(Record):
    format: Literal["coder-text-edits/1"]
    classes: list[_ClassEdits] = Field(default_factory=list)
    one_to_one: list[_PairEdits] = Field(default_factory=list)


RECORDS: tuple[type[Record], ...] = (_EditsFile, _ClassEdits, _PairEdits)


def parse_text_edits(text: str, *, place: str, classes: ClassList) -> TextEdits:
    """Read edits and bring them to the label ids of a class list.

    Args:
        text: The file's content, YAML or JSON.
        place: The file's name, for error messages.
        classes: The class list; not every class needs to be edited.

    Raises:
        TextBankError: One clear error with the place inside the file, the value found and the remedy.
    """
    file = _read_file(text, place)
    edits: dict[TextSlot, PhraseEdits] = {}
    for here, slot, found in (*_class_slots(file, place, classes), *_pair_slots(file, place, classes)):
        if slot in edits:
            raise TextBankError("these texts are edited twice.", here, "Merge the two entries into one.")
        try:
            edits[slot] = found.as_edits()
        except TextBankError as error:
            raise TextBankError(error.problem, here, error.remedy) from error
    return TextEdits(edits)


def write_text_edits(edits: TextEdits, classes: ClassList) -> str:
    """Write edits as YAML that `parse_text_edits` reads back.

    Raises:
        TextBankError: A phrase is not Unicode.
    """
    by_class: dict[int, dict[str, Any]] = {}
    pairs: list[dict[str, Any]] = []
    for slot, found in edits.by_slot.items():
        if slot.rival_id is None:
            entry = by_class.setdefault(slot.class_id, class_reference(slot.class_id, classes))
            entry[CLASS_SLOT_KINDS[slot.kind]] = _as_mapping(found)
        else:
            one = class_reference(slot.class_id, classes, keys=("class", "class_id"))
            other = class_reference(slot.rival_id, classes, keys=("rival", "rival_id"))
            pairs.append({**one, **other, **_as_mapping(found)})
    parts: dict[str, Any] = {"classes": list(by_class.values()), "one_to_one": pairs}
    return dump_yaml({"format": EDITS_FORMAT, **{key: part for key, part in parts.items() if part}}, "text edits")


def _as_mapping(edits: PhraseEdits) -> dict[str, list[str]]:
    lists = {"add": list(edits.added), "delete": list(edits.deleted)}
    return {key: phrases for key, phrases in lists.items() if phrases}


def _read_file(text: str, place: str) -> _EditsFile:
    document = read_markup(text, place)
    if not isinstance(document, dict):
        raise TextBankError(
            f"edits are a mapping with `format` and `classes`, found {type(document).__name__}.",
            place,
            f"Start the file with `format: {EDITS_FORMAT}`.",
        )
    try:
        return _EditsFile.model_validate(document)
    except ValidationError as error:
        raise explain_invalid(error, place, format_name=EDITS_FORMAT, records=RECORDS) from error


def _class_slots(file: _EditsFile, place: str, classes: ClassList) -> Iterator[tuple[str, TextSlot, _Edits]]:
    for position, entry in enumerate(file.classes):
        here = f"{place}: classes[{position}]"
        class_id = resolve_class(entry.name, entry.id, place=here, keys=("name", "id"), classes=classes)
        for kind, key in CLASS_SLOT_KINDS.items():
            if key in entry.model_fields_set:
                yield f"{here}.{key}", TextSlot(kind, class_id), getattr(entry, key)


def _pair_slots(file: _EditsFile, place: str, classes: ClassList) -> Iterator[tuple[str, TextSlot, _Edits]]:
    for position, entry in enumerate(file.one_to_one):
        here = f"{place}: one_to_one[{position}]"
        one = resolve_class(entry.class_, entry.class_id, place=here, keys=("class", "class_id"), classes=classes)
        other = resolve_class(entry.rival, entry.rival_id, place=here, keys=("rival", "rival_id"), classes=classes)
        if one == other:
            raise TextBankError(f"the class {entry.class_!r} is its own rival.", f"{here}.rival", "Name two classes.")
        yield here, TextSlot(TextKind.ONE_TO_ONE, one, other), entry
