"""Texts chosen by images: those that fit, no image looked at by its own score, and all texts where that is best."""

import numpy as np
import torch
from torch.nn.functional import normalize

from coder_core.coder.heuristic import fold_classifier
from coder_core.coder.text_selection import select_texts
from coder_core.few_shot.examples import Support, class_means
from coder_core.few_shot.text_choice import DEFAULT_SHARE, choose_texts
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, TextKind
from coder_core.texts.text_layout import Segments, TextLayout

CLASSES, DIM = 4, 12
GENERATOR = torch.Generator().manual_seed(6)
PLACES = torch.eye(DIM)[:CLASSES]
"""Where the images of every class lie."""


def world(good: int, bad: int) -> tuple[torch.Tensor, TextLayout]:
    """Per class, a name that says nothing, texts near its images, and texts near those of the next class."""
    rows, columns = [torch.eye(DIM)[8:9].expand(CLASSES, DIM)], []
    for label in range(CLASSES):
        near = [PLACES[label]] * good + [PLACES[(label + 1) % CLASSES]] * bad
        columns += [CLASSES + len(columns) + place for place in range(len(near))]
        rows.append(torch.stack(near) + 0.05 * torch.randn(len(near), DIM, generator=GENERATOR))
    none = Segments(np.empty(0, dtype=np.int64), np.zeros(CLASSES + 1, dtype=np.int64))
    by_kind = {kind: none for kind in TextKind if kind is not TextKind.ONE_TO_ONE}
    by_kind[TextKind.CLASS_NAME] = Segments(np.arange(CLASSES), np.arange(CLASSES + 1))
    flat = np.arange(CLASSES, CLASSES + CLASSES * (good + bad))
    by_kind[TextKind.ATTRIBUTE] = Segments(flat, np.arange(CLASSES + 1) * (good + bad))
    vectors = normalize(torch.cat(rows), dim=1)
    return vectors, TextLayout(CLASSES, len(vectors), by_kind, {})


def support_of(shots: int) -> Support:
    labels = torch.arange(CLASSES).repeat_interleave(shots)
    rows = PLACES[labels] + 0.2 * torch.randn(len(labels), DIM, generator=GENERATOR)
    return Support(normalize(rows, dim=1), labels, CLASSES)


def test_texts_that_fit_another_class_go() -> None:
    vectors, layout = world(good=2, bad=2)
    chosen = choose_texts(vectors, layout, support_of(5))
    assert chosen.kept <= 0.5
    assert chosen.images == 20
    queries = support_of(50)
    right = (chosen.classifier.logits(queries.embeddings).argmax(dim=1) == queries.label_ids).float().mean()
    before = (fold_classifier(vectors, layout).logits(queries.embeddings).argmax(dim=1) == queries.label_ids).float()
    assert right > before.mean() + 0.2


def test_where_all_texts_fit_it_is_coder_on_what_the_support_has_chosen() -> None:
    vectors, layout = world(good=4, bad=0)
    support = support_of(3)
    chosen = choose_texts(vectors, layout, support)
    kept = select_texts(vectors, layout, kept=chosen.kept, class_places=class_means(support.embeddings, support))
    expected = fold_classifier(vectors, kept).logits(support.embeddings)
    assert torch.equal(chosen.classifier.logits(support.embeddings), expected)


def test_one_image_a_class_leaves_the_stated_share() -> None:
    vectors, layout = world(good=3, bad=1)
    chosen = choose_texts(vectors, layout, support_of(1))
    assert (chosen.kept, chosen.images) == (DEFAULT_SHARE, 0)


def test_an_image_left_out_has_no_say_in_its_own_texts() -> None:
    """Of two images of a class one lies elsewhere: texts near it are kept by itself alone, and would make it right."""
    vectors, layout = world(good=1, bad=1)
    labels = torch.arange(CLASSES).repeat_interleave(2)
    rows = PLACES[labels].clone()
    rows[0::2] = PLACES[(labels[0::2] + 1) % CLASSES]
    chosen = choose_texts(vectors, layout, Support(rows, labels, CLASSES))
    assert chosen.kept > 0.5, "chosen on the images themselves, half of the texts would look perfect for half of them"
    entries = layout.segments(DESCRIPTIVE_KINDS)
    assert len(entries.columns) == 2 * CLASSES
