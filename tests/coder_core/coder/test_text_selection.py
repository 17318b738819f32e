"""Text selection against a loop over texts, and what it leaves alone."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from coder_core.classes import ClassList
from coder_core.coder.heuristic import fold_classifier
from coder_core.coder.text_selection import build_selected, select_texts
from coder_core.errors import ConfigError
from coder_core.texts.bank import ClassTexts, TextBank
from coder_core.texts.domains import load_domains
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, NAMING_KINDS
from coder_core.texts.sentences import build_texts
from coder_core.texts.text_layout import build_layout

KINDS = (*NAMING_KINDS, *DESCRIPTIVE_KINDS)
CLASSES = ClassList(("crane", "goose", "owl"))
BANK = TextBank(
    (
        ClassTexts(attributes=("legs", "a beak", "a neck"), analogous_classes=("heron",), synonyms=("gruid",)),
        ClassTexts(attributes=("a neck", "feet"), analogous_classes=("duck", "swan")),
        ClassTexts(attributes=("ears",)),
    )
)
LAYOUT = build_layout(build_texts(CLASSES, BANK, load_domains()["general"], kinds=KINDS))
TEXTS = normalize(torch.randn(LAYOUT.text_count, 6, generator=torch.Generator().manual_seed(4)), dim=1)


def slow_choice(kept: float) -> list[set[int]]:
    """The columns of every class that stay, one text at a time."""
    texts = TEXTS.double().numpy()
    everything = [LAYOUT.columns(label, KINDS) for label in range(3)]
    mean = texts[sorted({int(column) for columns in everything for column in columns})].mean(0)
    centres = [texts[columns].mean(0) - mean for columns in everything]
    chosen = []
    for label in range(3):
        own = LAYOUT.columns(label, DESCRIPTIVE_KINDS).tolist()
        scores = {}
        for column in own:
            text = texts[column] - mean
            cosines = [text @ c / np.linalg.norm(text) / np.linalg.norm(c) for c in centres]
            scores[column] = 20 * cosines[label] - np.log(np.sum(np.exp(20 * np.array(cosines))))
        best = sorted(own, key=lambda column, scores=scores: -scores[column])
        chosen.append(set(best[: int(np.ceil(kept * len(own)))]))
    return chosen


@pytest.mark.parametrize("kept", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_the_texts_that_stay_are_those_nearest_to_their_own_class(kept: float) -> None:
    found = select_texts(TEXTS, LAYOUT, kept=kept)
    assert [set(found.columns(label, DESCRIPTIVE_KINDS).tolist()) for label in range(3)] == slow_choice(kept)
    for label in range(3):
        assert found.columns(label, NAMING_KINDS).tolist() == LAYOUT.columns(label, NAMING_KINDS).tolist()


def test_the_classifier_is_coder_on_the_texts_that_stay() -> None:
    images = normalize(torch.randn(5, 6, generator=torch.Generator().manual_seed(7)), dim=1)
    selected = build_selected(TEXTS, LAYOUT).logits(images)
    assert torch.equal(selected, fold_classifier(TEXTS, select_texts(TEXTS, LAYOUT)).logits(images))
    assert not torch.equal(selected, fold_classifier(TEXTS, LAYOUT).logits(images))


@pytest.mark.parametrize("kept", [-1.0, 1.5])
def test_a_share_that_is_none_is_refused(kept: float) -> None:
    with pytest.raises(ConfigError, match="share of texts"):
        select_texts(TEXTS, LAYOUT, kept=kept)
