"""Every loop that may take long stops before its next item when the time is up or the run has ended."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import permutations
from types import ModuleType

import numpy as np
import pytest
import torch

from coder_core.baselines import control_texts, waffle
from coder_core.classes import ClassList
from coder_core.coder import heuristic, neighbours, pairs, reranking, second_round, text_shares, variants
from coder_core.evaluation import (
    ablation_plan,
    ablation_rows,
    breakdown,
    calibration,
    class_shifts,
    comparisons,
    error_interval,
    paired_breakdown,
    text_ablation,
    threshold,
)
from coder_core.evaluation import labels as label_tables
from coder_core.evaluation.predictions import Predictions
from coder_core.few_shot import cache_adapter, discriminant, draws, nearest_mean, pool, search, text_choice
from coder_core.few_shot.examples import Support
from coder_core.few_shot.few_shot_methods import Planned
from coder_core.interruption import InterruptedWorkError, TimeLimitError, time_limit
from coder_core.loops import each
from coder_core.results.schema import AblationRow
from coder_core.texts.bank import ClassTexts, TextBank
from coder_core.texts.domains import load_domains
from coder_core.texts.text_layout import TextLayout
from tests.rows import rows_of

from .coder.text_cases import make_case, make_images
from .stopped_work import ended_run

CLASSES = ClassList(("a", "b", "c"))
IDS = tuple("wxyz")
TRUTH = np.array([0, 1, 2, 0])
FLAGS = np.array([True, False, True, True])
LABELS = label_tables.LabelTable(IDS, TRUTH, "validation")
TOP = np.array([[0, 1, 2], [2, 1, 0], [2, 0, 1], [1, 0, 2]], dtype=np.int32)
PREDICTIONS = Predictions(IDS, TOP, np.full(TOP.shape, 0.3, dtype=np.float32), "coder")
OTHERS = Predictions(IDS[::-1], TOP, PREDICTIONS.top_probabilities, "clip")
NAMED = class_shifts.MethodPredictions(IDS, list("abca"), list("acbb"), FLAGS)
BANK = TextBank(tuple(ClassTexts(attributes=("a beak", "a wing")) for _ in CLASSES))
BIRD = load_domains()["bird"]
_, LAYOUT, TEXTS = make_case([(1, 2, 1), (0, 3, 0), (2, 0, 0)])
IMAGES = make_images(4)
PAIR_LAYOUT = TextLayout(3, 6, {}, {pair: np.array([place]) for place, pair in enumerate(permutations(range(3), 2))})
TOP_IDS, GATED = torch.from_numpy(TOP), torch.ones(4, dtype=torch.bool)
SUPPORT = Support(make_images(6, seed=2), torch.tensor([0, 0, 1, 1, 2, 2]), 3)
POOL = pool.Pool(tuple("abcdef"), SUPPORT.embeddings, SUPPORT.label_ids.numpy(), 3)
ROW = rows_of(AblationRow)("class_name", None, 0, 0.0, 4, 0.5, 0.1, 0.9, 1.0, 0.5)
COMPARED = comparisons.compare(PREDICTIONS, OTHERS, LABELS, CLASSES)

FOLDED = heuristic.fold_classifier(TEXTS, LAYOUT)
SOFTMAX = variants.build_softmax(TEXTS, LAYOUT)
SECOND_ROUND = second_round.build_second_round(TEXTS, LAYOUT)
PAIRS, PAIR_COUNTS = reranking.fold_pairs(make_images(6), PAIR_LAYOUT), pairs.count_pairs(TOP_IDS, GATED)
NEAREST, CACHE, DISCRIMINANT = (
    method.prepare(SUPPORT)
    for method in (nearest_mean.NearestMean(), cache_adapter.Cache(), discriminant.Discriminant())
)
DRAW = draws.draw_examples(POOL.label_ids, shots=1, seed=0)
SETTINGS = ablation_plan.plan_ablation(draws=1)
SCORED = [search.Scored({"gamma": 0.0}, torch.eye(4, 3))]

LOOPS = [
    (heuristic, lambda: FOLDED.logits(IMAGES)),
    (neighbours, lambda: SOFTMAX.logits(IMAGES)),
    (second_round, lambda: SECOND_ROUND.logits(IMAGES)),
    (reranking, lambda: reranking.fold_pairs(make_images(6), PAIR_LAYOUT)),
    (reranking, lambda: reranking.rerank(IMAGES, TOP_IDS, GATED, PAIRS)),
    (pairs, lambda: pairs.count_pairs(TOP_IDS, GATED)),
    (pairs, lambda: pairs.select_pairs(PAIR_COUNTS, budget=2)),
    (pairs, lambda: pairs.tabulate_budget(PAIR_COUNTS, TOP_IDS, GATED, steps=[1])),
    (text_shares, lambda: text_shares.explain_coder(IMAGES[0], TEXTS, LAYOUT, winner=0, runner_up=1)),
    (
        text_shares,
        lambda: text_shares.explain_rerank(
            IMAGES[0], make_images(6), PAIR_LAYOUT, candidates=[0, 1, 2], winner=0, runner_up=1
        ),
    ),
    (control_texts, lambda: control_texts.build_control("shuffled", CLASSES, BANK, domain=BIRD, seed=0)),
    (waffle, lambda: waffle.random_phrases(["a beak"], count=3, seed=0)),
    (nearest_mean, lambda: nearest_mean.NearestMean().prepare(SUPPORT)),
    (nearest_mean, lambda: next(NEAREST.scored(IMAGES))),
    (nearest_mean, lambda: next(NEAREST.leave_one_out_scores())),
    (cache_adapter, lambda: cache_adapter.Cache().prepare(SUPPORT)),
    (cache_adapter, lambda: next(CACHE.scored(IMAGES))),
    (cache_adapter, lambda: next(CACHE.leave_one_out_scores())),
    (discriminant, lambda: discriminant.Discriminant().prepare(SUPPORT)),
    (discriminant, lambda: next(DISCRIMINANT.scored(IMAGES))),
    (discriminant, lambda: next(DISCRIMINANT.leave_one_out_scores())),
    (search, lambda: search.search(SCORED, torch.from_numpy(TRUTH), zero_shot=None, weights=[0.0], source="it")),
    (draws, lambda: draws.draw_examples(POOL.label_ids, shots=1, seed=0)),
    (text_choice, lambda: text_choice.choose_texts(TEXTS, LAYOUT, SUPPORT)),
    (
        pool,
        lambda: pool.select_methods(POOL, DRAW, {"mean": Planned(nearest_mean.NearestMean())}, zero_shot=None),
    ),
    (ablation_plan, ablation_plan.plan_ablation),
    (ablation_rows, lambda: ablation_rows.summarise_draws([ROW])),
    (
        text_ablation,
        lambda: text_ablation.ablate([(IDS, IMAGES)], TEXTS, LAYOUT, labels=LABELS, settings=SETTINGS),
    ),
    (breakdown, lambda: breakdown.per_class(PREDICTIONS, LABELS, CLASSES)),
    (breakdown, lambda: breakdown.confusions(PREDICTIONS, LABELS, CLASSES)),
    (error_interval, lambda: calibration.calibration_interval(PREDICTIONS.top_probabilities[:, 0], FLAGS)),
    (class_shifts, lambda: class_shifts.find_class_shifts(NAMED, NAMED, ["c"])),
    (comparisons, lambda: comparisons.correct_comparisons(COMPARED)),
    (paired_breakdown, lambda: paired_breakdown.compare_classes(PREDICTIONS, OTHERS, LABELS, CLASSES)),
    (paired_breakdown, lambda: paired_breakdown.compare_confusions(PREDICTIONS, OTHERS, LABELS, CLASSES)),
    (threshold, lambda: threshold.choose_threshold(PREDICTIONS, PREDICTIONS, LABELS)),
]
CASES = pytest.mark.parametrize(("module", "work"), LOOPS, ids=[module.__name__[11:] for module, _ in LOOPS])


@CASES
def test_the_module_s_own_loop_stops_before_its_first_item(module: ModuleType, work, monkeypatch):
    """The time is up in this module's loops only, so that a loop further in cannot stop in its place."""

    def late(items, *, every: int = 1) -> Iterator:
        with time_limit(-1.0):
            yield from each(items, every=every)

    work()
    monkeypatch.setattr(module, "each", late)
    with pytest.raises(TimeLimitError):
        work()


@CASES
def test_it_stops_when_the_run_has_ended(module: ModuleType, work):
    del module
    with pytest.raises(InterruptedWorkError):
        ended_run().run(work)


@pytest.mark.parametrize(("every", "worked"), [(1, 3), (2, 4), (5, 5), (100, 10)])
def test_a_loop_goes_on_until_its_next_look_at_the_clock(every, worked):
    done = []

    def work(stack: ExitStack) -> None:
        for item in each(iter(range(10)), every=every):
            done.append(item)
            if item == 2:
                stack.enter_context(time_limit(-1.0))

    with ExitStack() as stack:
        if worked < 10:
            with pytest.raises(TimeLimitError):
                work(stack)
        else:
            work(stack)
    assert done == list(range(worked))


def test_a_lazy_search_takes_no_further_candidate():
    taken = []

    def candidates() -> Iterator[search.Scored]:
        for place in range(9):
            taken.append(place)
            yield search.Scored({"gamma": float(place)}, torch.eye(4, 3))

    def work():
        return search.search(candidates(), torch.from_numpy(TRUTH), zero_shot=None, weights=[0.0], source="it")

    with time_limit(-1.0), pytest.raises(TimeLimitError):
        work()
    assert taken == [0]
    assert len(work().tried) == 9
