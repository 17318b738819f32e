"""A small lexicon of our own in a directory of its own: nothing is downloaded, nothing of the user's is touched."""

from xml.sax.saxutils import quoteattr

import pytest
import wn
from wn import _db
from wn._config import config
from wn.util import ProgressHandler

# synset -> (definition, lemmas in the order of the lexicon); part of speech is the last letter
SYNSETS = {
    "bird-n": ("large long-necked wading bird of marshes and plains", ["crane"]),
    "machine-n": ("lifts and moves heavy objects; a large machine", ["crane", "derrick", "hoist & winch"]),
    "stretch-v": ("stretch the neck to see better", ["crane", "stretch out"]),
    "shark-n": ("large aggressive shark", ["great white shark", "white shark", "man-eater", "Carcharodon carcharias"]),
    "cat-n": ("large spotted feline", ["leopard", "Panthera_pardus"]),
    "bus-n": ("a vehicle carrying many passengers", ["bus", "autobus", "coach"]),
    "goose-n": ("web-footed long-necked bird", ["goose"]),
    "fowl-n": ("a large bird bred for food", ["turkey", "Meleagris gallopavo"]),
    "country-n": ("a Eurasian republic", ["Turkey", "Republic of Turkey"]),
    "shirt-n": ("a close-fitting pullover shirt", ["T-shirt", "jersey", "tee shirt"]),
    "kite-n": ("any of several small graceful hawks", ["kite"]),
    "toy-n": ("plaything consisting of a light frame covered with paper", ["kite"]),
    "bare-n": ("", ["thingummy", "gizmo"]),
    "cafe-n": ("a small restaurant", ["café", "coffeehouse"]),
}
OTHER_FORMS = {"goose": ["geese"]}


def lexicon_xml(synsets=SYNSETS):
    senses = {}
    for synset, (_, lemmas) in synsets.items():
        for lemma in lemmas:
            senses.setdefault((lemma, synset[-1]), []).append(synset)
    entries = [_entry(number, *key, found) for number, (key, found) in enumerate(senses.items())]
    groups = [_synset(synset, definition) for synset, (definition, _) in synsets.items()]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<!DOCTYPE LexicalResource SYSTEM "http://globalwordnet.github.io/schemas/WN-LMF-1.1.dtd">\n'
        '<LexicalResource xmlns:dc="https://globalwordnet.github.io/schemas/dc/">\n'
        '<Lexicon id="tiny" label="Tiny" language="en" email="a@b" license="none" version="1.0">\n'
        + "\n".join([*entries, *groups])
        + "\n</Lexicon></LexicalResource>\n"
    )


def _entry(number, lemma, part_of_speech, synsets):
    forms = "".join(f"<Form writtenForm={quoteattr(form)}/>" for form in OTHER_FORMS.get(lemma, []))
    senses = "".join(f'<Sense id="tiny-{number}-{synset}" synset="tiny-{synset}"/>' for synset in synsets)
    lemma_tag = f'<Lemma writtenForm={quoteattr(lemma)} partOfSpeech="{part_of_speech}"/>'
    return f'<LexicalEntry id="tiny-{number}">{lemma_tag}{forms}{senses}</LexicalEntry>'


def _synset(synset, definition):
    text = f"<Definition>{definition}</Definition>" if definition else ""
    return f'<Synset id="tiny-{synset}" ili="" partOfSpeech="{synset[-1]}">{text}</Synset>'


def install(directory, xml):
    """Add a lexicon to the database of a directory, leaving no trace in `wn`'s globals."""
    source = directory / "tiny.xml"
    source.write_text(xml, encoding="utf-8")
    before = config.database_path.parent
    try:
        config.data_directory = directory
        wn.add(source, progress_handler=ProgressHandler)
    finally:
        _db.clear_connections()
        config.data_directory = before


@pytest.fixture(scope="session")
def lexicon_directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wordnet")
    install(directory, lexicon_xml())
    return directory
