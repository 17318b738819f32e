"""The encoder decides which sense a class name has; its other lemmas are the synonyms."""

import subprocess
import sys

import numpy as np
import pytest
from wn import _db

from coder_core.classes import ClassList
from coder_core.texts.bank import ClassTexts, TextBank, source_of
from coder_core.texts.domains import load_domains
from coder_core.texts.edits import merge_banks
from coder_core.wordnet.synonyms import LexiconError, NounSense, choose_senses, find_synonyms, synonym_bank

DOMAINS = load_domains()


class Encoder:
    """Embeds a text as its words, so that texts that share words are near; remembers what it was asked."""

    def __init__(self, *favoured):
        self.asked = []
        self.favoured = favoured

    def __call__(self, texts):
        self.asked.append(list(texts))
        words = sorted({word for text in texts for word in text.split()} | set(self.favoured))
        rows = np.array([[word in text.split() for word in words] for text in texts], dtype=np.float32)
        rows += np.array([[word in self.favoured and text.startswith("a photo") for word in words] for text in texts])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def find(directory, names, *favoured):
    encoder = Encoder(*favoured)
    chosen = find_synonyms(
        ClassList(names), DOMAINS["general"], embed=encoder, lexicon="tiny:1.0", data_directory=directory
    )
    return chosen, encoder


@pytest.mark.parametrize(
    ("favoured", "synonyms"), [("machine", ("derrick", "hoist & winch")), ("bird", ())], ids=["machine", "bird"]
)
def test_the_sense_whose_definition_is_nearest_gives_the_synonyms(lexicon_directory, favoured, synonyms):
    (choice,), _ = find(lexicon_directory, ("crane",), favoured)
    assert choice.synonyms == synonyms
    assert choice.choices == 2
    assert 0 < choice.similarity <= 1
    assert {source_of(phrase) for phrase in choice.synonyms} <= {"wordnet:tiny:1.0"}


def test_a_class_without_a_noun_sense_simply_has_no_synonyms(lexicon_directory):
    chosen, encoder = find(lexicon_directory, ("xylograph", "Leopards", "T_shirt", "gizmo"))
    assert [choice.synonyms for choice in chosen] == [
        (),
        ("leopard", "Panthera pardus"),
        ("jersey", "tee shirt"),
        ("thingummy",),
    ]
    assert chosen[0].sense is None
    assert [choice.similarity for choice in chosen] == [None] * 4
    assert encoder.asked == []  # nothing to choose, nothing to embed


def test_ambiguous_names_alone_are_embedded_once_each(lexicon_directory):
    chosen, encoder = find(lexicon_directory, ("crane", "bus", "crane", "Turkey"))
    assert len(encoder.asked) == 1
    assert len(encoder.asked[0]) == len(set(encoder.asked[0])) == 6  # 2 names, 2 + 2 definitions
    assert chosen[0] == chosen[2]
    assert _db.pool == {}


def test_the_order_of_classes_changes_no_choice(lexicon_directory):
    names = ("crane", "turkey", "kite (bird of prey)", "bus")
    forward, _ = find(lexicon_directory, names, "hawks")
    backward, _ = find(lexicon_directory, names[::-1], "hawks")
    assert [choice.sense for choice in forward] == [choice.sense for choice in backward[::-1]]
    assert forward[2].sense.synset_id == "tiny-kite-n"


def test_of_equally_near_senses_the_first_is_taken():
    senses = (NounSense("a", "x", ("crane", "A")), NounSense("b", "x y", ("crane", "B")))
    for order in (senses, senses[::-1]):
        (choice,) = choose_senses(
            ClassList(("crane",)),
            [order],
            domain=DOMAINS["bird"],
            embed=lambda texts: np.ones((len(texts), 4), np.float32) / 2,
            source="wordnet",
        )
        assert choice.sense == order[0]


def test_synonyms_become_a_bank_that_merges(lexicon_directory):
    chosen, _ = find(lexicon_directory, ("bus", "goose"))
    bank = merge_banks([TextBank((ClassTexts(("long",), synonyms=("Coach",)), ClassTexts())), synonym_bank(chosen)])
    assert bank.classes[0] == ClassTexts(("long",), synonyms=("Coach", "autobus"))
    assert source_of(bank.classes[0].synonyms[1]) == "wordnet:tiny:1.0"


def test_without_the_lexicon_nothing_is_embedded(tmp_path):
    with pytest.raises(LexiconError, match="python -m wn"):
        find(tmp_path, ("crane",))


def test_without_the_package_the_error_is_one_line_that_says_what_to_install():
    program = (
        "import sys\nsys.modules['wn'] = None\n"
        "from coder_core.classes import ClassList\nfrom coder_core.texts.domains import load_domains\n"
        "from coder_core.wordnet.synonyms import LexiconError, find_synonyms\n"
        "try:\n    find_synonyms(ClassList(('bus',)), load_domains()['general'], embed=None)\n"
        "except LexiconError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith("texts.wordnet: WordNet needs the package wn 1.1 (")
    assert done.stdout.endswith("Install it: pip install 'coder-eval[wordnet]'.\n")
