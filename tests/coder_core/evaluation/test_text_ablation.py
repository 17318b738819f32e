"""Subsets of texts: what is drawn, and that each is classified as a classifier built of those texts alone would."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_core.classes import ClassList
from coder_core.coder.heuristic import fold_classifier
from coder_core.coder.reranking import fold_pairs
from coder_core.errors import ConfigError, DatasetError
from coder_core.evaluation.ablation_plan import (
    DRAWS,
    KIND_STEPS,
    TEXTS_PER_CLASS,
    AblationSetting,
    plan_ablation,
    sample_layout,
)
from coder_core.evaluation.ablation_rows import AblationRow, AblationSummary, summarise_draws
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.metrics import evaluate
from coder_core.evaluation.predicting import build_predictions, rerank_predictions
from coder_core.evaluation.text_ablation import ablate
from coder_core.texts.bank import ClassTexts, TextBank
from coder_core.texts.domains import load_domains
from coder_core.texts.kinds import TextKind
from coder_core.texts.sentences import build_texts
from coder_core.texts.text_layout import build_layout

SIZES = [(1, 4, 2), (0, 1, 0), (2, 0, 0), (0, 3, 3), (1, 6, 1), (0, 2, 2), (0, 5, 0)]
CLASSES = ClassList(tuple(f"class {class_id}" for class_id in range(len(SIZES))))
BANK = TextBank(
    tuple(
        ClassTexts(
            synonyms=tuple(f"synonym {class_id} {i}" for i in range(synonyms)),
            attributes=tuple(f"attribute {class_id} {i}" for i in range(attributes)),
            analogous_classes=tuple(f"analogue {class_id} {i}" for i in range(analogues)),
        )
        for class_id, (synonyms, attributes, analogues) in enumerate(SIZES)
    ),
    one_to_one=dict.fromkeys(permutations(range(5), 2), ("this", "that")),
)
LAYOUT = build_layout(build_texts(CLASSES, BANK, load_domains()["general"]))
IMAGES = 90
RANDOM = torch.randn(LAYOUT.text_count + IMAGES, 12, generator=torch.Generator().manual_seed(3))
VECTORS = torch.nn.functional.normalize(RANDOM, dim=1)
TEXTS, EMBEDDINGS = VECTORS[:-IMAGES], VECTORS[-IMAGES:]
IDS = [f"image {row}" for row in range(IMAGES)]
LABELS = LabelTable(tuple(IDS), np.random.default_rng(4).integers(0, 6, size=IMAGES), "test")
ALL = KIND_STEPS[-1]
DESCRIPTIVE = ("attribute", "analogous_class")


def chunks(step=90):
    return [(IDS[start : start + step], EMBEDDINGS[start : start + step]) for start in range(0, IMAGES, step)]


def run(plan, **options):
    return ablate(options.pop("chunks", chunks()), TEXTS, LAYOUT, labels=LABELS, settings=plan, **options)


def columns(layout, class_id, kinds=DESCRIPTIVE):
    return layout.columns(class_id, [TextKind(kind) for kind in kinds]).tolist()


def test_the_default_plan_is_every_number_of_every_step_of_kinds():
    plan = plan_ablation()
    assert plan[0] == AblationSetting((TextKind.CLASS_NAME,), None, 0)
    assert len(plan) == 1 + 4 * (1 + DRAWS * (len(TEXTS_PER_CLASS) - 1))
    assert len(set(plan)) == len(plan)
    assert [setting.draw for setting in plan_ablation([ALL], [0, 2, None], draws=3)] == [0, 0, 1, 2, 0]


@given(st.integers(0, 7), st.integers(0, 5), st.integers(0, 5), st.sampled_from(KIND_STEPS))
@settings(deadline=None, max_examples=30)
def test_a_draw_keeps_so_many_of_every_class_and_more_contain_fewer(number, draw, seed, kinds):
    one = sample_layout(LAYOUT, AblationSetting(kinds, number, draw), seed=seed)
    more = sample_layout(LAYOUT, AblationSetting(kinds, number + 1, draw), seed=seed)
    whole = sample_layout(LAYOUT, AblationSetting(kinds, None, 0), seed=seed)
    for class_id in range(len(SIZES)):
        there = columns(whole, class_id)
        kept = columns(one, class_id)
        assert len(kept) == min(number, len(there))
        assert [column for column in there if column in kept] == kept
        assert set(kept) <= set(columns(more, class_id))
        assert columns(one, class_id, ["class_name"]) == columns(LAYOUT, class_id, ["class_name"])
        has_synonyms = TextKind.SYNONYM in kinds
        assert columns(one, class_id, ["synonym"]) == (columns(LAYOUT, class_id, ["synonym"]) if has_synonyms else [])
    assert (one.text_count, bool(one.by_pair)) == (LAYOUT.text_count, TextKind.ONE_TO_ONE in kinds)


def test_draws_differ_and_every_text_has_its_chance():
    seen = set()
    for draw in range(60):
        layout = sample_layout(LAYOUT, AblationSetting(ALL, 1, draw), seed=0)
        seen |= {column for class_id in range(len(SIZES)) for column in columns(layout, class_id)}
    assert seen == {column for class_id in range(len(SIZES)) for column in columns(LAYOUT, class_id)}


@pytest.mark.parametrize("kinds", KIND_STEPS)
def test_a_row_is_what_a_classifier_of_those_texts_alone_gives(kinds):
    plan = plan_ablation([kinds], [2, None], draws=2)
    rows = run(plan, seed=7, threshold=0.3, logit_scale=8.0)
    for setting, row in zip(plan, rows, strict=True):
        layout = sample_layout(LAYOUT, setting, seed=7)
        logits = fold_classifier(TEXTS, layout, logit_scale=8.0).logits(EMBEDDINGS)
        predictions = build_predictions(logits, IDS, method="coder")
        if TextKind.ONE_TO_ONE in kinds:
            predictions = rerank_predictions(predictions, EMBEDDINGS, fold_pairs(TEXTS, LAYOUT), threshold=0.3)
            assert predictions.details["changed"].any()
        top1, top5, mean = evaluate(predictions, LABELS, CLASSES)
        assert (row.top1, row.top5, row.mean_per_class_accuracy) == pytest.approx((top1.value, top5.value, mean.value))
        assert (row.n, row.ci_low, row.ci_high) == (90, top1.ci_low, top1.ci_high)
        counts = [len(columns(layout, class_id)) for class_id in range(len(SIZES))]
        assert (row.kinds, row.texts_per_class, row.draw) == ("+".join(kinds), setting.texts_per_class, setting.draw)
        assert row.mean_texts == pytest.approx(np.mean(counts))


def test_the_first_and_last_steps_are_clip_and_all_of_coder():
    first, last = run(plan_ablation([KIND_STEPS[0], KIND_STEPS[3]], [None]))
    names = [columns(LAYOUT, class_id, ["class_name"])[0] for class_id in range(len(SIZES))]
    best = (EMBEDDINGS @ TEXTS[names].T).argmax(dim=1).numpy()
    assert first.top1 == pytest.approx(np.mean(best == LABELS.label_ids))
    best = fold_classifier(TEXTS, LAYOUT).logits(EMBEDDINGS).argmax(dim=1).numpy()
    assert last.top1 == pytest.approx(np.mean(best == LABELS.label_ids))


def test_chunks_make_no_difference_and_are_read_once():
    plan = plan_ablation([ALL], [1, None], draws=2)
    assert run(plan, chunks=iter(chunks(13))) == run(plan)


def test_draws_are_summarised():
    plan = plan_ablation([KIND_STEPS[2]], [1, None], draws=3)
    rows = run(plan)
    one, whole = summarise_draws(rows)
    top1 = [row.top1 for row in rows if row.texts_per_class == 1]
    assert one == AblationSummary(
        rows[0].kinds, 1, 3, rows[0].mean_texts, np.mean(top1), pytest.approx(np.std(top1, ddof=1))
    )
    assert (whole.texts_per_class, whole.draws, whole.top1_std) == (None, 1, None)
    assert isinstance(rows[0], AblationRow)


def test_no_image_a_missing_label_and_a_strange_label_are_refused():
    plan = plan_ablation([KIND_STEPS[0]])
    with pytest.raises(DatasetError, match="there are 0 images"):
        run(plan, chunks=[])
    with pytest.raises(DatasetError, match="1 of 2 predicted images have no label: 'stranger'"):
        run(plan, chunks=[(["image 0", "stranger"], EMBEDDINGS[:2])])
    strange = LabelTable(("a",), np.array([7]), "test")
    with pytest.raises(DatasetError, match=r"image 'a': the label 7 is not in 0..6"):
        ablate([(["a"], EMBEDDINGS[:1])], TEXTS, LAYOUT, labels=strange, settings=plan)


def test_impossible_plans_are_refused():
    with pytest.raises(ConfigError, match="0 draws"):
        plan_ablation(draws=0)
    with pytest.raises(ConfigError, match=r"\[-1\] texts per class"):
        plan_ablation([ALL], [-1])
