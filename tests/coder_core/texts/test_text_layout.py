"""Columns by class and kind, against a search through the rows."""

import subprocess
import sys

import numpy as np

from coder_core.classes import ClassList
from coder_core.texts.bank import ClassTexts, TextBank
from coder_core.texts.domains import load_domains
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, NAMING_KINDS, TextKind
from coder_core.texts.sentences import build_texts
from coder_core.texts.text_layout import build_layout

CLASSES = ClassList(("crane", "goose", "crane"))
BANK = TextBank(
    classes=(
        ClassTexts(attributes=("a long neck", "wings"), analogous_classes=("heron",), synonyms=("gruid",)),
        ClassTexts(),
        ClassTexts(attributes=("a steel arm", "wings"), synonyms=("hoist", "derrick")),
    ),
    one_to_one={(2, 0): ("steel",), (0, 1): ("long legs", "a red cap")},
)
TABLE = build_texts(CLASSES, BANK, load_domains()["general"])
LAYOUT = build_layout(TABLE)


def searched(class_id, kinds, rival_id=None):
    texts = TABLE.unique_texts()
    return [
        texts.index(row.text)
        for kind in kinds
        for row in TABLE
        if (row.class_id, row.rival_id, row.kind) == (class_id, rival_id, kind)
    ]


def test_columns_are_those_a_search_finds():
    assert LAYOUT.class_count == 3
    assert LAYOUT.text_count == len(TABLE.unique_texts())
    for kinds in (NAMING_KINDS, DESCRIPTIVE_KINDS, (TextKind.TEMPLATE,), (TextKind.ATTRIBUTE,), ()):
        for class_id in range(3):
            assert LAYOUT.columns(class_id, kinds).tolist() == searched(class_id, kinds)


def test_segments_are_the_columns_class_after_class():
    segments = LAYOUT.segments(DESCRIPTIVE_KINDS)
    pieces = np.split(segments.columns, segments.offsets[1:-1])
    assert [piece.tolist() for piece in pieces] == [searched(class_id, DESCRIPTIVE_KINDS) for class_id in range(3)]
    assert segments.counts.tolist() == [3, 0, 2]
    assert segments.class_ids.tolist() == [0, 0, 0, 2, 2]


def test_a_sentence_of_two_classes_is_one_column_of_both():
    names = LAYOUT.segments((TextKind.CLASS_NAME,))
    assert names.columns[0] == names.columns[2] != names.columns[1]
    shared = set(LAYOUT.columns(0, (TextKind.ATTRIBUTE,)).tolist()) & set(
        LAYOUT.columns(2, (TextKind.ATTRIBUTE,)).tolist()
    )
    assert [TABLE.unique_texts()[column] for column in shared] == ["crane which has wings"]


def test_pairs_have_columns_of_their_own():
    assert list(LAYOUT.by_pair) == [(0, 1), (2, 0)]
    for (class_id, rival_id), columns in LAYOUT.by_pair.items():
        assert columns.tolist() == searched(class_id, (TextKind.ONE_TO_ONE,), rival_id)
    assert len(LAYOUT.by_pair[0, 1]) == 6


def test_texts_and_classes_import_without_torch():
    """The command line lists texts and classes without the four seconds that torch takes to load."""
    modules = ["classes", "texts.bank_file", "texts.text_layout", "texts.sentences"]
    program = "".join(f"import coder_core.{module}\n" for module in modules)
    program += "import sys\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
