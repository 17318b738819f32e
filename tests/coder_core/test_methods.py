"""Methods by name, and that none of them can see a label."""

import inspect

import pytest
import torch

from coder_core import classifiers
from coder_core.classes import ClassList
from coder_core.coder import (
    classifier,
    heuristic,
    neighbours,
    pairs,
    ranking,
    reranking,
    second_round,
    storable,
    text_shares,
    variants,
    vectors,
)
from coder_core.coder.classifier import LinearClassifier
from coder_core.coder.heuristic import FoldedClassifier
from coder_core.errors import ConfigError
from coder_core.evaluation import predicting, predictions
from coder_core.method_texts import METHOD_KINDS, kinds_of_method, kinds_of_methods
from coder_core.methods import METHODS, VARIANTS, build_classifier
from coder_core.texts.bank import ClassTexts, TextBank
from coder_core.texts.domains import load_domains
from coder_core.texts.sentences import build_texts
from coder_core.texts.text_layout import build_layout

CLASSES = ClassList(("crane", "goose"))
BANK = TextBank((ClassTexts(attributes=("a beak",), synonyms=("gruid",)), ClassTexts(attributes=("a neck", "feet"))))


def built(method):
    table = build_texts(CLASSES, BANK, load_domains()["general"], kinds=kinds_of_method(method))
    layout = build_layout(table)
    random = torch.randn(layout.text_count, 8, generator=torch.Generator().manual_seed(1))
    return build_classifier(method, torch.nn.functional.normalize(random, dim=1), layout)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_works_with_just_the_kinds_it_names(method):
    classifier = built(method)
    assert isinstance(classifier, FoldedClassifier if method == "coder" else LinearClassifier)
    assert classifier.logits(torch.eye(8)).shape == (8, 2)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_every_variant_is_built_and_used_as_a_method(variant):
    assert built(variant).logits(torch.eye(8)).shape == (8, 2)


def test_whatever_is_built_names_its_texts():
    assert list(METHOD_KINDS) == [*METHODS, *VARIANTS]


def test_kinds_are_collected_in_one_order():
    assert kinds_of_methods(["vcd", "clip"]) == ("class_name", "attribute")
    assert kinds_of_methods(METHODS) == ("class_name", "synonym", "attribute", "analogous_class", "template")


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(ConfigError, match=r"Did you mean 'coder'.*clip, clip_ensemble, vcd, coder"):
        built("codr")


def test_no_prediction_function_takes_labels():
    functions = [heuristic.fold_classifier, heuristic.heuristic_logits, vectors.coder_matrix, build_classifier]
    functions += [ranking.predict_topk, ranking.probabilities_of, ranking.is_gated]
    functions += [predicting.build_predictions, predicting.rerank_predictions, predicting.reorder_predictions]
    functions += [
        reranking.fold_pairs,
        reranking.rerank,
        classifiers.predict_with,
        classifiers.RerankClassifier.predict,
    ]
    functions += [pairs.count_pairs, pairs.select_pairs, pairs.tabulate_budget]
    functions += [text_shares.explain_coder, text_shares.explain_means, text_shares.explain_rerank]
    functions += [*METHODS.values(), *VARIANTS.values()]
    functions += [kind.logits for kind in classifiers.CLASSIFIERS.values()]
    names = {name for function in functions for name in inspect.signature(function).parameters}
    classes = [predictions.Predictions, predictions.RerankCounts, reranking.FoldedPairs, pairs.PairCounts]
    classes += [kind for kind in classifiers.CLASSIFIERS.values() if "few_shot" not in kind.__module__]
    names |= {name for each in classes for name in each.__dataclass_fields__}
    forbidden = ("label", "truth", "true", "target", "correct")
    assert [name for name in sorted(names) if any(word in name for word in forbidden)] == []
    assert "image_embeddings" in names


def test_modules_that_predict_do_not_import_labels():
    modules = (classifier, classifiers, heuristic, neighbours, pairs, predicting, predictions, ranking)
    for module in (*modules, reranking, second_round, storable, text_shares, variants, vectors):
        assert "LabelTable" not in vars(module)
