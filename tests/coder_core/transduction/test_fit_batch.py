"""Transduction: against loops in plain numpy, on batches of every kind, and on batches that can teach nothing."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from coder_core.classifiers import restore_classifier
from coder_core.coder.classifier import LinearClassifier
from coder_core.errors import ConfigError, FeatureFileError
from coder_core.few_shot.text_metric import MetricSpace
from coder_core.transduction import prepared_batch
from coder_core.transduction.batch_discriminant import Statistics, fit_discriminant
from coder_core.transduction.batch_evidence import BatchKind, effective_share, is_balanced
from coder_core.transduction.batch_settings import DEFAULTS, BatchSettings
from coder_core.transduction.class_prior import claim_bias, claims_of, estimate_prior, prior_evidence
from coder_core.transduction.fit_batch import fit_batch
from coder_core.transduction.image_batch import KnownRows, in_parts, survey_batch, take_sample
from coder_core.transduction.temperature import match_confidence

from .batches import CLASSES, DIM, accuracy, class_texts, make_batch, stage1
from .slow_transduction import slow_claims, slow_discriminant, slow_prior

EVEN = [30] * CLASSES
TAIL = [90, 60, 45, 30, 20, 15, 12, 10, 8, 6, 4, 2]
FEW = [120, 120, 120, *[0] * (CLASSES - 3)]


def fitted(images, **more):
    return fit_batch(in_parts(images), stage1(), class_texts=class_texts(), **more)


@pytest.mark.parametrize(("is_weighted", "map_ridge"), [(False, None), (True, None), (True, 0.7)])
def test_the_discriminant_is_that_of_plain_loops(is_weighted, map_ridge):
    generator = torch.Generator().manual_seed(3)
    rows = normalize(torch.randn(40, 6, generator=generator, dtype=torch.float64), dim=1)
    shares = torch.rand(40, 3, generator=generator, dtype=torch.float64).softmax(dim=1)
    texts = normalize(torch.randn(3, 6, generator=generator, dtype=torch.float64), dim=1)
    sureness = shares.amax(dim=1, keepdim=True) if is_weighted else None
    statistics = Statistics(3, 6)
    for start in range(0, 40, 7):
        part = slice(start, start + 7)
        statistics.add(rows[part], shares[part], sureness=None if sureness is None else sureness[part])
    chosen = {"text_images": 2.0, "shrinkage": 0.3, "map_ridge": map_ridge}
    found = fit_discriminant(statistics, texts, **chosen)
    sure = np.ones(40) if sureness is None else sureness.squeeze(1).numpy()
    slow = slow_discriminant(rows.numpy(), shares.numpy(), sure, texts.numpy(), **chosen)
    np.testing.assert_allclose(found.scores(rows), slow, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("concentration", [0.0, 0.5])
def test_the_class_prior_is_that_of_plain_loops(concentration):
    chances = torch.rand(30, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64).softmax(dim=1)
    found = estimate_prior(chances, concentration=concentration, rounds=9)
    np.testing.assert_allclose(found, slow_prior(chances.tolist(), concentration, 9), rtol=1e-9)


def test_claims_are_those_of_plain_loops_and_a_class_far_from_everything_is_not_lifted_without_bound():
    generator = torch.Generator().manual_seed(2)
    chances, shares = (torch.rand(30, 4, generator=generator, dtype=torch.float64).softmax(dim=1) for _ in range(2))
    found = claims_of(chances, shares)
    np.testing.assert_allclose(found, slow_claims(chances.tolist(), shares.tolist()), rtol=1e-9)
    bias = claim_bias(torch.tensor([0.0, 1.0, 3.0, 4.0], dtype=torch.float64))
    np.testing.assert_allclose(bias, np.log([1.0, 1.5, 2.5, 3.0]), rtol=1e-9)
    assert not claim_bias(torch.zeros(3, dtype=torch.float64)).any()


def test_a_text_that_is_near_to_everything_is_found_out():
    """Stage 1 favours one class of a long-tailed batch, which tells nothing but that: its answers are put right."""
    images, labels = make_batch(TAIL, noise=0.6)
    favoured = class_texts()
    favoured[-1] = normalize(favoured[-1] + 0.4 * normalize(images.mean(dim=0), dim=0), dim=0)
    below = LinearClassifier(favoured, 14.0)

    def fit(weight):
        settings = BatchSettings(claim_weight=weight)
        return fit_batch(in_parts(images), below, class_texts=class_texts(), settings=settings)

    def wrongly_given(classifier):
        return int((classifier.logits(images[labels != CLASSES - 1]).argmax(dim=1) == CLASSES - 1).sum())

    found, without = fit(0.25), fit(0.0)
    assert found.kind is BatchKind.ALL_CLASSES
    assert wrongly_given(below) > 20
    assert wrongly_given(found.classifier) < 0.7 * wrongly_given(without.classifier)


@pytest.mark.parametrize(
    ("counts", "kind"),
    [(EVEN, BatchKind.BALANCED), (TAIL, BatchKind.ALL_CLASSES), (FEW, BatchKind.FEW_CLASSES)],
    ids=["even", "tail", "few"],
)
def test_it_finds_out_what_the_batch_is_and_gains(counts, kind):
    images, labels = make_batch(counts)
    found = fitted(images)
    assert found.kind is kind, found.reason
    assert accuracy(found.classifier, images, labels) > accuracy(stage1(), images, labels)


def test_classes_that_no_image_claims_are_switched_off():
    found = fitted(make_batch(FEW)[0])
    assert found.classes_off >= CLASSES - 4
    assert found.effective_classes < 4
    assert prior_evidence(stage1().logits(make_batch(EVEN)[0]).softmax(dim=1)) < 0.2 < found.prior_evidence


def test_parts_do_not_matter():
    images, _ = make_batch(TAIL)
    whole = fitted(images).classifier.logits(images)
    parts = fit_batch(in_parts(images, rows=17), stage1(), class_texts=class_texts()).classifier.logits(images)
    np.testing.assert_allclose(parts, whole, atol=1e-3)


def test_what_is_not_kept_in_memory_is_computed_anew(monkeypatch):
    images, _ = make_batch(TAIL)
    whole, seen = fitted(images), []

    def parts():
        seen.append(None)
        return in_parts(images, rows=50)()

    def learn():
        seen.clear()
        return fit_batch(parts, stage1(), class_texts=class_texts())

    kept = learn()
    assert len(seen) == 2, "looked through, and sampled: all of a small batch"
    monkeypatch.setattr(prepared_batch, "KEPT_NUMBERS", 0)
    anew = learn()
    assert len(seen) == 2 + DEFAULTS.rounds
    for found in (kept, anew):
        assert (found.kind, found.reason) == (whole.kind, whole.reason)
        np.testing.assert_allclose(found.classifier.logits(images), whole.classifier.logits(images), atol=1e-3)


def test_what_was_learnt_is_frozen():
    """An image alone gets the answer that it got in its batch; so does a classifier that was put together again."""
    images, _ = make_batch(EVEN)
    classifier = fitted(images).classifier
    together, again = classifier.logits(images[:20]), restore_classifier(classifier.state())
    alone = torch.cat([classifier.logits(images[row : row + 1]) for row in range(20)])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    assert torch.equal(again.logits(images[:20]), together)


def test_images_whose_class_is_known_say_where_it_lies():
    """Texts that name the wrong class mislead, and one labelled image of each class puts it right."""
    images, labels = make_batch(EVEN, noise=0.4)
    known = KnownRows(*make_batch([5] * CLASSES, noise=0.4))
    misled = LinearClassifier(class_texts().roll(1, dims=0), 1.0)
    alone = fit_batch(in_parts(images), misled, class_texts=None)
    with_known = fit_batch(in_parts(images), misled, class_texts=None, known=known)
    assert accuracy(with_known.classifier, images, labels) > accuracy(alone.classifier, images, labels) + 0.3


def test_the_temperature_makes_it_as_sure_as_stage1_and_moves_no_decision():
    images, _ = make_batch(TAIL)
    classifier = fitted(images).classifier
    prior = torch.zeros(CLASSES, dtype=torch.float64)
    own = stage1().logits(images).log_softmax(dim=1)
    hot = match_confidence(classifier.logits(images), own, prior)
    wanted = stage1().logits(images).softmax(dim=1).amax(dim=1).mean()
    tempered = (classifier.logits(images) / hot).softmax(dim=1)
    assert float(tempered.amax(dim=1).mean()) == pytest.approx(float(wanted), abs=1e-4) or hot == 1.0
    assert torch.equal(tempered.argmax(dim=1), classifier.logits(images).argmax(dim=1))


def test_a_sample_is_as_large_as_asked_for_and_has_all_of_a_small_batch():
    images, _ = make_batch(EVEN)
    survey = survey_batch(in_parts(images, rows=50), MetricSpace(), DIM)
    assert torch.equal(take_sample(in_parts(images, rows=50), survey, len(images)), images)
    assert len(take_sample(in_parts(images, rows=50), survey, 100)) == pytest.approx(100, abs=30)


NOTHING = {
    "one image": lambda images: images[:1],
    "no image": lambda images: images[:0],
    "all images the same": lambda images: images[:1].repeat(50, 1),
    "all images but one are no numbers": lambda images: torch.cat([images[:1], torch.full((9, DIM), torch.nan)]),
    "fewer images than classes": lambda images: images[: CLASSES - 4],
}


@pytest.mark.parametrize("case", NOTHING)
def test_stage1_comes_back_unchanged_with_the_reason_where_nothing_can_be_learnt(case):
    below, images = stage1(), make_batch(EVEN)[0]
    found = fit_batch(in_parts(NOTHING[case](images)), below, class_texts=class_texts())
    assert found.classifier is below
    assert found.kind is BatchKind.NOTHING
    assert found.reason.startswith("stage 1 unchanged: ")


def test_one_class_leaves_nothing_to_tell_apart():
    below = LinearClassifier(class_texts(1))
    assert fit_batch(in_parts(make_batch(EVEN)[0]), below, class_texts=class_texts(1)).classifier is below


def test_images_that_are_no_numbers_change_nothing():
    images, _ = make_batch(TAIL)
    broken = torch.cat([images, torch.full((3, DIM), torch.nan), torch.zeros(1, DIM)])
    found, clean = fitted(broken), fitted(images)
    assert (found.images, found.unusable) == (len(images), 4)
    np.testing.assert_allclose(found.classifier.logits(images), clean.classifier.logits(images), atol=1e-3)


def test_odd_batches_give_finite_answers():
    """Texts of two classes equal; a class without an image near it; images of another domain than the classes."""
    images, _ = make_batch(TAIL)
    twins = class_texts()
    twins[1] = twins[0]
    strangers = normalize(torch.randn(80, DIM, generator=torch.Generator().manual_seed(9)), dim=1)
    for batch, texts in ((images, twins), (make_batch([*EVEN[:-1], 0])[0], class_texts()), (strangers, class_texts())):
        found = fit_batch(in_parts(batch), LinearClassifier(texts, 14.0), class_texts=texts)
        logits = found.classifier.logits(batch)
        assert torch.isfinite(logits).all()
        if texts is twins:
            assert torch.allclose(logits[:, 0], logits[:, 1], atol=1e-3)


def test_shapes_that_do_not_fit_are_refused():
    images, _ = make_batch(EVEN)
    with pytest.raises(FeatureFileError, match="dimensions"):
        fit_batch(in_parts(images[:, :-1].contiguous()), stage1(), class_texts=class_texts())
    with pytest.raises(ConfigError, match="class texts"):
        fit_batch(in_parts(images), stage1(), class_texts=class_texts(3))


def test_effective_share_counts_classes():
    assert effective_share(torch.tensor([5.0, 5.0, 0.0, 0.0], dtype=torch.float64)) == pytest.approx(0.5)


def drawn_counts(seed: int) -> torch.Tensor:
    """Counts of 390 images of 13 classes that are equally frequent, as a random draw has them."""
    counts = np.random.default_rng(seed).multinomial(390, [1 / 13] * 13)
    return torch.tensor(counts, dtype=torch.float64)


def test_a_random_draw_from_balanced_classes_is_not_held_for_a_balanced_batch():
    mistaken = sum(is_balanced(drawn_counts(seed), doubt=0.1) for seed in range(500))
    assert mistaken <= 3, "one in a thousand is as even by chance"


def test_even_counts_are_balance_and_distorted_ones_too_where_stage_1_is_in_doubt():
    even = torch.tensor([30.0, 31, 29, 30, 32, 28, 30, 30, 31, 29, 30, 30, 30], dtype=torch.float64)
    assert is_balanced(even, doubt=0.01)
    assert not is_balanced(even / 10, doubt=0.01), "three images of each say nothing"
    distorted = torch.tensor([20.0, 50, 40, 15, 30, 30, 25, 45, 30, 25, 30, 20, 30], dtype=torch.float64)
    assert not is_balanced(distorted, doubt=0.1)
    assert is_balanced(distorted, doubt=0.4), "(0.4 * 30)^2 is more than a draw's variance of 30"
    assert not is_balanced(torch.tensor([90.0, 5, 5, 200], dtype=torch.float64), doubt=0.9)


def test_few_images_of_each_class_are_left_alone_whatever_they_seem_to_say():
    images, _ = make_batch([7] * CLASSES)
    found = fitted(images)
    assert found.kind is BatchKind.NOTHING
    assert f"{7 * CLASSES} images say too little about {CLASSES} classes" in found.reason
    images, _ = make_batch([9] * CLASSES)
    assert fitted(images).kind is not BatchKind.NOTHING
