"""Synonyms of class names: of all noun senses, the one whose definition is nearest to the class-name text.

"crane" is a bird, a machine and a poet. Which of them the class means is decided by the encoder: the sense
whose *definition* has the largest cosine with the class-name text ("a photo of crane"). Its other lemmas are the
synonyms. Source: Yi et al., CVPR 2024, "Auto Text Generator", synonyms.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from coder_core.classes import ClassList, normalise_name
from coder_core.errors import InputError
from coder_core.texts.bank import ClassTexts, Phrase, TextBank, unique_phrases
from coder_core.texts.domains import Domain, fill

if TYPE_CHECKING:
    from coder_core.wordnet.lexicon import NounLexicon

__all__ = [
    "ChosenSense",
    "EmbedTexts",
    "LexiconError",
    "NounSense",
    "choose_senses",
    "find_synonyms",
    "open_installed",
    "synonym_bank",
]

DEFAULT_LEXICON = "oewn:2024"
"""Open English WordNet, as `wn`'s own index names it."""

EmbedTexts = Callable[[Sequence[str]], Float[np.ndarray, "texts dim"]]
"""Texts -> L2-normalised rows, e.g. `Encoder.encode_texts`."""


class LexiconError(InputError):
    """`wn` or the WordNet lexicon is not installed, or its database cannot be read."""


class NounSense(NamedTuple):
    """One sense of a noun.

    Args:
        synset_id: The lexicon's name for the meaning.
        definition: Its definition; its lemmas where the lexicon defines it by nothing else.
        lemmas: The nouns that have this meaning, in the order of the lexicon.
    """

    synset_id: str
    definition: str
    lemmas: tuple[str, ...]


class ChosenSense(NamedTuple):
    """The sense that a class name was taken for.

    Args:
        sense: The sense; None when the name is no noun of the lexicon.
        similarity: Cosine of its definition with the class-name text; None where there was nothing to choose.
        choices: How many senses the name has.
        synonyms: The sense's other lemmas, with the source `wordnet:<lexicon>`; may be empty.
    """

    sense: NounSense | None
    similarity: float | None
    choices: int
    synonyms: tuple[Phrase, ...]


def find_synonyms(
    classes: ClassList,
    domain: Domain,
    *,
    embed: EmbedTexts,
    lexicon: str = DEFAULT_LEXICON,
    data_directory: Path | None = None,
) -> tuple[ChosenSense, ...]:
    """Find the synonyms of every class in an installed lexicon.

    Args:
        classes: The classes.
        domain: Its `class_name` sentence is the class-name text.
        embed: Embeds texts; called with names and definitions of the ambiguous names only, at most once each.
        lexicon: Which lexicon, e.g. `oewn:2024`.
        data_directory: Where `wn` keeps its database; default: its own.

    Returns:
        One choice per class, in label order.

    Raises:
        LexiconError: `wn` or the lexicon is not installed, or its database cannot be read.
    """
    with open_installed(lexicon, data_directory=data_directory) as nouns:
        senses = [nouns.senses(name) for name in classes]
    return choose_senses(classes, senses, domain=domain, embed=embed, source=f"wordnet:{lexicon}")


def open_installed(
    lexicon: str = DEFAULT_LEXICON, *, data_directory: Path | None = None
) -> "AbstractContextManager[NounLexicon]":
    """Open an installed lexicon, for a `with` block.

    Raises:
        LexiconError: `wn` or the lexicon is not installed, or its database cannot be read.
    """
    try:
        from coder_core.wordnet.lexicon import open_lexicon
    except ImportError as error:
        remedy = "Install it: pip install 'coder-eval[wordnet]'."
        raise LexiconError(f"WordNet needs the package wn 1.1 ({error}).", "texts.wordnet", remedy) from error
    return open_lexicon(lexicon, data_directory=data_directory)


def choose_senses(
    classes: ClassList, senses: Sequence[tuple[NounSense, ...]], *, domain: Domain, embed: EmbedTexts, source: str
) -> tuple[ChosenSense, ...]:
    """Choose the sense of every class; pure but for `embed`.

    Args:
        classes: The classes.
        senses: Their noun senses, in label order.
        domain: Its `class_name` sentence is the class-name text.
        embed: Embeds texts.
        source: The source of the synonyms.

    Returns:
        One choice per class; among senses equally near the first, the more frequent one, is taken.
    """
    ambiguous = [class_id for class_id, found in enumerate(senses) if len(found) > 1]
    texts = {class_id: fill(domain.class_name, {"class": classes.display_names[class_id]}) for class_id in ambiguous}
    definitions = [sense.definition for class_id in ambiguous for sense in senses[class_id]]
    vector_of = _embed_once([*texts.values(), *definitions], embed)
    chosen = []
    for class_id, found in enumerate(senses):
        best, similarity = 0, None
        if class_id in texts:
            candidates = np.stack([vector_of[sense.definition] for sense in found])
            cosines = candidates @ vector_of[texts[class_id]]
            best = int(cosines.argmax())
            similarity = float(cosines[best])
        sense = found[best] if found else None
        chosen.append(ChosenSense(sense, similarity, len(found), _synonyms(sense, classes.names[class_id], source)))
    return tuple(chosen)


def synonym_bank(chosen: Sequence[ChosenSense]) -> TextBank:
    """Put synonyms into a bank of their own, for `merge_banks`."""
    return TextBank(classes=tuple(ClassTexts(synonyms=choice.synonyms) for choice in chosen))


def _embed_once(texts: list[str], embed: EmbedTexts) -> dict[str, Float[np.ndarray, " dim"]]:
    distinct = list(dict.fromkeys(texts))
    return dict(zip(distinct, embed(distinct), strict=True)) if distinct else {}


def _synonyms(sense: NounSense | None, name: str, source: str) -> tuple[Phrase, ...]:
    if sense is None:
        return ()
    own = normalise_name(name)
    others = [lemma for lemma in sense.lemmas if normalise_name(lemma) != own]
    return tuple(Phrase(lemma, source) for lemma in unique_phrases(others))
