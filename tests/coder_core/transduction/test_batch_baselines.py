"""What transduction stands beside: stated and re-estimated shares, TransCLIP, StatA."""

import numpy as np
import pytest
import torch

from coder_core.transduction.batch_evidence import BatchKind
from coder_core.transduction.image_batch import in_parts
from coder_core.transduction.neighbour_mixtures import _neighbour_graph, stata_logits, transclip_logits
from coder_core.transduction.stated_prior import build_class_prior, build_sinkhorn, describe_prior

from .batches import CLASSES, accuracy, class_texts, make_batch, stage1

TAIL = [90, 60, 45, 30, 20, 15, 12, 10, 8, 6, 4, 2]


def mixtures(images):
    own = stage1().logits(images)
    return {"transclip": transclip_logits(images, own), "stata": stata_logits(images, own, class_texts())}


@pytest.mark.parametrize("prior", [None, torch.arange(1, CLASSES + 1, dtype=torch.float64)])
def test_sinkhorn_gives_every_class_its_stated_share(prior):
    images, _ = make_batch(TAIL)
    stated = None if prior is None else prior / prior.sum()
    shares = build_sinkhorn(in_parts(images), stage1(), prior=stated).logits(images).softmax(dim=1).mean(dim=0)
    np.testing.assert_allclose(shares, np.full(CLASSES, 1 / CLASSES) if stated is None else stated, rtol=2e-3)


def test_the_re_estimated_prior_is_a_fixed_point():
    """The mean of the posteriors is the prior that they were made with."""
    images, _ = make_batch(TAIL)
    built = build_class_prior(in_parts(images), stage1())
    np.testing.assert_allclose(built.logits(images).softmax(dim=1).mean(dim=0), built.bias.exp(), atol=5e-3)


@pytest.mark.parametrize("assumes_balance", [True, False])
def test_baselines_say_what_they_are(assumes_balance):
    found = describe_prior(in_parts(make_batch(TAIL)[0]), stage1(), assumes_balance=assumes_balance)
    assert found.kind is BatchKind.STATED
    assert (found.effective_classes > CLASSES - 0.1) is assumes_balance


@pytest.mark.parametrize("method", ["transclip", "stata"])
def test_mixtures_gain_on_a_balanced_batch_and_do_not_see_its_order(method):
    images, labels = make_batch([30] * CLASSES, noise=0.7)
    logits = mixtures(images)[method]
    assert float((logits.argmax(dim=1) == labels).double().mean()) > accuracy(stage1(), images, labels)
    np.testing.assert_allclose(logits.exp().sum(dim=1), 1, atol=1e-4)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(4))
    np.testing.assert_allclose(mixtures(images[order])[method].exp(), logits[order].exp(), atol=1e-3)


def test_neighbours_are_those_of_a_full_comparison():
    images, _ = make_batch([4] * CLASSES)
    cosines = (images @ images.T).numpy()
    slow = np.zeros_like(cosines)
    for row, own in enumerate(cosines):
        near = [other for other in np.argsort(-own) if other != row][:3]
        for other in near:
            slow[row, other] += own[other] / 6
            slow[other, row] += own[other] / 6
    np.testing.assert_allclose(_neighbour_graph(images).to_dense(), slow, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_mixtures_take_tiny_batches(count):
    images, _ = make_batch([30] * CLASSES)
    assert all(torch.isfinite(logits).all() for logits in mixtures(images[:count]).values())
