"""The shipped vocabulary: many words, each once, each a plain name; and what purging takes out."""

import re
from collections import Counter

from coder_core.packaged import read_packaged
from coder_core.texts.vocabulary import VOCABULARY_FILE, load_vocabulary, plain_name

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 '/\-]*[A-Za-z0-9]")


def test_there_are_many_words_and_each_is_a_plain_name() -> None:
    words = load_vocabulary()
    assert len(words) > 5000
    assert [word for word in words if not PLAIN.fullmatch(word) or len(word) > 40 or "  " in word] == []


def test_no_word_stands_in_two_themes() -> None:
    lines = [line for line in read_packaged(VOCABULARY_FILE).decode().splitlines() if not line.startswith("#")]
    themes = Counter(line.split(":", 1)[0] for line in lines)
    assert max(themes.values()) == 1
    written = Counter(plain_name(word) for line in lines for word in line.split(":", 1)[1].split(","))
    assert {word: count for word, count in written.items() if count > 1} == {}
    assert len(written) == len(load_vocabulary()), "each is loaded"


def test_purging_takes_out_what_holds_a_name_and_nothing_else() -> None:
    words = load_vocabulary()
    kept = load_vocabulary(purged=["Polka-dotted", "banded", "great_dane", "ant"])
    gone = set(words) - set(kept)
    assert {"polka-dotted pattern", "banded texture", "banded gecko", "great dane", "ant", "army ant"} <= gone
    assert {"elephant", "antelope", "dalmatian dog"} <= set(kept)
    assert all(re.search(r"\b(polka dotted|banded|great dane|ant)\b", plain_name(word)) for word in gone)
    assert load_vocabulary(purged=[]) == words
