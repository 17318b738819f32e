"""Read and write a person's edits: `coder-text-edits/1`, the file that survives regeneration.

    format: coder-text-edits/1
    classes:
      - name: Italy
        id: 7                     # only where the class list has the name twice
        attributes:
          add: [three vertical stripes]
          delete: [a red circle]  # stays away, though a model may write it again
        synonyms: {delete: [the boot]}
    one_to_one:
      - {class: Italy, rival: Ireland, add: [a red stripe at the fly end]}

Classes are found by name, as in a bank, so the file stays valid when classes are added to the list.
"""

from collections.abc import Iterator
from typing import Any

from coder_core.classes import ClassList
from coder_core.errors import TextBankError
from coder_core.texts.bank import CLASS_FIELDS, PhraseKind, TextSlot
from coder_core.texts.bank_file import class_reference, dump_yaml, find_pair, pair_reference, resolve_class
from coder_core.texts.edits import PhraseEdits, TextEdits
from coder_core.texts.file_records import EditsFile, SlotEdits, read_records

__all__ = ["parse_text_edits", "write_text_edits"]


def parse_text_edits(content: str | bytes, *, place: str, classes: ClassList) -> TextEdits:
    """Read edits and bring them to the label ids of a class list.

    Args:
        content: The file's content, YAML or JSON.
        place: The file's name, for error messages.
        classes: The class list; not every class needs to be edited.

    Raises:
        TextBankError: One clear error with the place inside the file, the value found and the remedy.
    """
    edits: dict[TextSlot, PhraseEdits] = {}
    for here, slot, found in _slots(read_records(content, place, EditsFile), place, classes):
        if slot in edits:
            raise TextBankError("these texts are edited twice.", here, "Merge the two entries into one.")
        try:
            edits[slot] = PhraseEdits(added=tuple(found.add), deleted=tuple(found.delete))
        except TextBankError as error:
            raise TextBankError(error.problem, here, error.remedy) from error
    return TextEdits(edits)


def _slots(file: EditsFile, place: str, classes: ClassList) -> Iterator[tuple[str, TextSlot, SlotEdits]]:
    for position, entry in enumerate(file.classes):
        here = f"{place}: classes[{position}]"
        class_id = resolve_class(entry.name, entry.id, place=here, keys=("name", "id"), classes=classes)
        for kind, key in CLASS_FIELDS.items():
            if key in entry.model_fields_set:
                yield f"{here}.{key}", TextSlot(kind, class_id), getattr(entry, key)
    for position, pair in enumerate(file.one_to_one):
        here = f"{place}: one_to_one[{position}]"
        yield here, TextSlot(PhraseKind.ONE_TO_ONE, *find_pair(pair, here, classes)), pair


def write_text_edits(edits: TextEdits, classes: ClassList) -> str:
    """Write edits as YAML that `parse_text_edits` reads back.

    Raises:
        TextBankError: A phrase is not Unicode.
    """
    by_class: dict[int, dict[str, Any]] = {}
    pairs: list[dict[str, Any]] = []
    for slot, found in edits.by_slot.items():
        lists = {"add": list(found.added), "delete": list(found.deleted)}
        filled = {key: phrases for key, phrases in lists.items() if phrases}
        if slot.rival_id is None:
            entry = by_class.setdefault(slot.class_id, class_reference(slot.class_id, classes))
            entry[CLASS_FIELDS[slot.kind]] = filled
        else:
            pairs.append({**pair_reference((slot.class_id, slot.rival_id), classes), **filled})
    parts: dict[str, Any] = {"classes": list(by_class.values()), "one_to_one": pairs}
    filled_parts = {key: part for key, part in parts.items() if part}
    return dump_yaml({"format": "coder-text-edits/1", **filled_parts}, "text edits")
