"""The folded classifier against a double loop in plain Python, a case computed by hand, and what must not matter."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_core.classes import ClassList
from coder_core.coder import heuristic
from coder_core.coder.heuristic import fold_classifier, heuristic_logits
from coder_core.coder.ranking import predict_topk
from coder_core.coder.vectors import coder_matrix
from coder_core.errors import FeatureFileError
from coder_core.texts.bank import ClassTexts, TextBank
from coder_core.texts.domains import load_domains
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, NAMING_KINDS
from coder_core.texts.sentences import build_texts
from coder_core.texts.text_layout import build_layout

SIZES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=6)


def slow_logits(images, table, text_embeddings):
    """The paper's score, text by text, from the rows of the table: no layout, no tensor operation."""
    vector_of = dict(zip(table.unique_texts(), text_embeddings.tolist(), strict=True))
    logits = []
    for image in images.tolist():
        row = []
        for class_id in range(table.class_count):
            cosines = {"naming": [], "descriptive": []}
            for text in table:
                group = {"class_name": "naming", "synonym": "naming", "template": None}.get(text.kind, "descriptive")
                if text.class_id == class_id and group:
                    cosine = sum(a * b for a, b in zip(image, vector_of[text.text], strict=True))
                    cosines[group].append(cosine)
            descriptive = cosines["descriptive"]
            row.append(100 * (sum(descriptive) + max(cosines["naming"])) / (len(descriptive) + 1))
        logits.append(row)
    return torch.tensor(logits)


def explicit_logits(images, text_embeddings, layout):
    """The score read off the explicit CODER, class by class."""
    coder, scores = coder_matrix(images, text_embeddings), []
    for class_id in range(layout.class_count):
        descriptive = coder[:, torch.from_numpy(layout.columns(class_id, DESCRIPTIVE_KINDS))]
        naming = coder[:, torch.from_numpy(layout.columns(class_id, NAMING_KINDS))].amax(dim=1)
        scores.append((descriptive.sum(dim=1) + naming) / (descriptive.shape[1] + 1))
    return 100 * torch.stack(scores, dim=1)


@given(sizes=SIZES, image_count=st.integers(0, 4))
@settings(deadline=None, max_examples=40)
def test_folded_and_explicit_equal_the_double_loop(case_of, images_of, sizes, image_count):
    table, layout, text_embeddings = case_of(sizes)
    images = images_of(image_count)
    expected = slow_logits(images, table, text_embeddings).reshape(image_count, len(sizes))
    folded = heuristic_logits(images, fold_classifier(text_embeddings, layout))
    explicit = explicit_logits(images, text_embeddings, layout)
    torch.testing.assert_close(folded, expected, atol=2e-5, rtol=0)
    torch.testing.assert_close(explicit, expected, atol=2e-5, rtol=0)


def test_three_classes_by_hand():
    """Two dimensions, so that every number can be checked on paper."""
    classes = ClassList(("a", "b", "c"))
    bank = TextBank(
        (
            ClassTexts(attributes=("x", "y"), analogous_classes=("z",)),
            ClassTexts(synonyms=("b2", "b3")),
            ClassTexts(synonyms=("c2",), attributes=("w",)),
        )
    )
    table = build_texts(classes, bank, load_domains()["general"], kinds=["synonym", "attribute", "analogous_class"])
    vector_of = {
        "a photo of a": (1.0, 0.0),
        "a which has x": (0.6, 0.8),
        "a which has y": (0.0, 1.0),
        "a a similar to z.": (-1.0, 0.0),
        "a photo of b": (0.0, 1.0),
        "a photo of b2": (0.8, 0.6),
        "a photo of b3": (-0.6, 0.8),
        "a photo of c": (0.0, -1.0),
        "a photo of c2": (0.6, 0.8),
        "c which has w": (1.0, 0.0),
    }
    text_embeddings = torch.tensor([vector_of[text] for text in table.unique_texts()])
    images = torch.tensor([[1.0, 0.0], [-0.6, 0.8]])
    # a: (0.6 + 0 - 1 + 1) / 4 and (0.28 + 0.8 + 0.6 - 0.6) / 4; b: max(0, 0.8, -0.6) and max(0.8, 0, 1);
    # c: (1 + 0.6) / 2 and (-0.6 + max(-0.8, 0.28)) / 2
    expected = torch.tensor([[15.0, 80.0, 80.0], [27.0, 100.0, -16.0]])
    logits = fold_classifier(text_embeddings, build_layout(table)).logits(images)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_a_scale_only_scales(case_of, images_of):
    _, layout, text_embeddings = case_of([(1, 2, 0), (0, 3, 1)])
    unit = fold_classifier(text_embeddings, layout, logit_scale=1.0).logits(images_of(5))
    torch.testing.assert_close(unit * 100, fold_classifier(text_embeddings, layout).logits(images_of(5)))


@given(sizes=SIZES, order=st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=25)
def test_permuting_images_or_classes_permutes_the_logits(case_of, images_of, sizes, order):
    names = [f"class {position}" for position in range(len(sizes))]
    images, class_order, image_order = images_of(6), list(range(len(sizes))), list(range(6))
    order.shuffle(class_order)
    order.shuffle(image_order)
    _, layout, text_embeddings = case_of(sizes, names)
    logits = fold_classifier(text_embeddings, layout).logits(images)
    _, layout, text_embeddings = case_of([sizes[i] for i in class_order], [names[i] for i in class_order])
    permuted = fold_classifier(text_embeddings, layout).logits(images[image_order])
    torch.testing.assert_close(permuted, logits[image_order][:, class_order], atol=2e-5, rtol=0)


def test_repeating_a_synonym_or_a_column_changes_nothing(case_of, images_of):
    table, layout, text_embeddings = case_of([(2, 2, 1), (0, 3, 0), (1, 0, 0)])
    expected = fold_classifier(text_embeddings, layout).logits(images_of(7))
    again = [row._replace(text=row.text + " ") for row in table if row.kind in ("synonym", "class_name")]
    longer = type(table)(rows=(*table.rows, *again), class_count=table.class_count)
    repeated = torch.cat(
        [text_embeddings, text_embeddings[[table.unique_texts().index(row.text[:-1]) for row in again]]]
    )
    logits = fold_classifier(repeated, build_layout(longer)).logits(images_of(7))
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


def test_two_classes_of_one_name_and_texts_tie_and_the_lower_id_wins(case_of, images_of):
    _, layout, text_embeddings = case_of([(1, 2, 1)] * 3, ["goose", "crane", "crane"])
    logits = fold_classifier(text_embeddings, layout).logits(images_of(50))
    assert torch.equal(logits[:, 1], logits[:, 2])
    best = predict_topk(logits, 1).squeeze(1)
    assert set(best.tolist()) == {0, 1}


def test_one_class_and_no_image_are_no_exceptions(case_of, images_of):
    _, layout, text_embeddings = case_of([(0, 0, 0)])
    classifier = fold_classifier(text_embeddings, layout)
    assert classifier.logits(images_of(3)).shape == (3, 1)
    assert classifier.logits(images_of(0)).shape == (0, 1)


def test_a_class_without_descriptions_is_scored_by_its_names(case_of, images_of):
    table, layout, text_embeddings = case_of([(2, 0, 0), (0, 4, 0)])
    cosines = images_of(9) @ text_embeddings[[0, 1, 2]].T
    assert [row.kind for row in table.rows[:3]] == ["class_name", "synonym", "synonym"]
    logits = fold_classifier(text_embeddings, layout).logits(images_of(9))
    torch.testing.assert_close(logits[:, 0], 100 * cosines.amax(dim=1), atol=1e-5, rtol=0)


def test_images_are_scored_in_steps_with_the_same_result(case_of, images_of, monkeypatch):
    _, layout, text_embeddings = case_of([(2, 3, 1), (0, 2, 0), (1, 1, 1)])
    classifier = fold_classifier(text_embeddings, layout)
    whole = classifier.logits(images_of(20))
    monkeypatch.setattr(heuristic, "SCORES_AT_ONCE", 9)
    torch.testing.assert_close(classifier.logits(images_of(20)), whole, atol=1e-5, rtol=0)


def test_half_precision_images_are_scored_in_float32(case_of, images_of):
    _, layout, text_embeddings = case_of([(2, 3, 1), (0, 2, 0)])
    classifier = fold_classifier(text_embeddings, layout)
    half = images_of(4).half()
    assert torch.equal(classifier.logits(half), classifier.logits(half.float()))


def test_every_rank_is_a_prefix_of_the_classes_with_most_names_first(case_of):
    _, layout, text_embeddings = case_of([(2, 1, 0), (0, 1, 0), (5, 0, 0), (2, 0, 1)])
    classifier = fold_classifier(text_embeddings, layout)
    assert classifier.rank_sizes == (4, 3, 3, 1, 1, 1)
    assert classifier.columns.tolist() == [1, 3, 0, 2]
    assert classifier.weights.shape[0] == 13


def test_embeddings_of_other_texts_are_refused(case_of):
    _, layout, text_embeddings = case_of([(1, 1, 1)])
    with pytest.raises(
        FeatureFileError, match=f"{layout.text_count - 1} text embeddings for {layout.text_count} texts"
    ):
        fold_classifier(text_embeddings[1:], layout)


def test_folded_and_explicit_decide_alike_at_size(case_of, images_of):
    rng = np.random.default_rng(3)
    sizes = [tuple(row) for row in rng.integers(0, 7, size=(60, 3)).tolist()]
    _, layout, text_embeddings = case_of(sizes)
    images = images_of(400)
    folded = fold_classifier(text_embeddings, layout).logits(images)
    explicit = explicit_logits(images, text_embeddings, layout)
    assert torch.equal(predict_topk(folded, 5), predict_topk(explicit, 5))
