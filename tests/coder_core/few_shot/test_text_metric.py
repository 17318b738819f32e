"""The metric family against explicit CODERs, and against matrix powers computed in another way."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from coder_core.errors import ConfigError
from coder_core.few_shot.cache_adapter import Cache
from coder_core.few_shot.examples import Support
from coder_core.few_shot.text_metric import fit_metric

from .few_shot_world import DIM, clustered, small_support, unit

TEXTS = normalize(unit(40, DIM, 5) + 0.7 * unit(1, DIM, 6), dim=1)  # with a common mean, as real texts have


def explicit_cache(support, queries, values, *, beta, is_min_max):
    """CODER-Adapter as the paper writes it: M-dimensional keys, one query and one key at a time."""
    scores = torch.zeros(len(queries), values)
    for row, query in enumerate(queries):
        phi = TEXTS @ query
        affinity = torch.tensor(
            [float(torch.dot(phi, key) / phi.norm() / key.norm()) for key in support.embeddings @ TEXTS.T]
        )
        if is_min_max:
            affinity = (affinity - affinity.min()) / (affinity.max() - affinity.min())
        for value, label in zip(affinity, support.label_ids.tolist(), strict=True):
            scores[row, label] += torch.exp(-beta * (1 - value))
    return scores


@pytest.mark.parametrize("is_min_max", [False, True])
def test_uncentred_gamma_1_is_the_papers_coder_adapter(is_min_max):
    support, (queries, _) = small_support(), clustered(4, 5, 9)
    cache = Cache(fit_metric(TEXTS, is_centred=False), (1.0,), is_min_max=is_min_max)
    found = cache.prepare(support).classifier({"gamma": 1.0, "beta": 3.0}).logits(queries)
    expected = explicit_cache(support, queries, 4, beta=3.0, is_min_max=is_min_max)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("is_centred", [False, True])
def test_gamma_0_is_tip_adapter(is_centred):
    support, (queries, _) = small_support(), clustered(4, 5, 9)
    settings = {"gamma": 0.0, "beta": 5.5}
    found = Cache(fit_metric(TEXTS, is_centred=is_centred)).prepare(support).classifier(settings).logits(queries)
    expected = torch.zeros(len(queries), 4)
    for row, query in enumerate(queries):
        for key, label in zip(support.embeddings, support.label_ids.tolist(), strict=True):
            expected[row, label] += torch.exp(-5.5 * (1 - query @ key))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(found, Cache().prepare(support).classifier(settings).logits(queries), atol=1e-5, rtol=0)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, -1.0])
@pytest.mark.parametrize("shrinkage", [0.0, 0.1])
def test_inner_products_are_those_of_the_matrix_power(gamma, shrinkage):
    rows = unit(7, DIM, 3)
    centred = (TEXTS - TEXTS.mean(0)).double().numpy()
    left, values, _ = np.linalg.svd(centred.T @ centred / len(centred))
    power = (left * (values / values[0] + shrinkage) ** gamma) @ left.T
    inner = rows.double().numpy() @ power @ rows.double().numpy().T
    norms = np.sqrt(np.diag(inner))
    mapped = fit_metric(TEXTS).space(gamma, shrinkage=shrinkage).map(rows)
    np.testing.assert_allclose(mapped @ mapped.T, inner / norms[:, None] / norms, atol=1e-5)


def test_fewer_texts_than_dimensions_have_positive_powers_only():
    metric, rows = fit_metric(TEXTS[:5]), unit(6, DIM, 3)
    assert torch.isfinite(metric.space(0.5).map(rows)).all()
    assert int((metric.variances > 0).sum()) == 4
    with pytest.raises(ConfigError, match=r"gamma -1.0 does not exist.*more texts than dimensions"):
        metric.space(-1.0)
    assert torch.isfinite(metric.space(-1.0, shrinkage=0.1).map(rows)).all()


def test_order_and_repetition_of_the_texts_change_nothing():
    rows = unit(6, DIM, 3)
    whole = fit_metric(TEXTS).space(0.5).map(rows)
    again = fit_metric(torch.cat([TEXTS, TEXTS])[torch.randperm(80, generator=torch.Generator().manual_seed(0))])
    mapped = again.space(0.5).map(rows)
    torch.testing.assert_close(mapped @ mapped.T, whole @ whole.T, atol=1e-5, rtol=0)


@pytest.mark.parametrize("texts", [TEXTS[:0], TEXTS[:1].repeat(4, 1)])
def test_texts_that_say_nothing_are_refused(texts):
    with pytest.raises(ConfigError, match="do not vary"):
        fit_metric(texts)


def test_negative_shrinkage_is_refused():
    with pytest.raises(ConfigError, match="the shrinkage is -1"):
        fit_metric(TEXTS).space(1.0, shrinkage=-1.0)


def test_a_row_of_equal_affinities_becomes_zeros():
    keys = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    cache = (
        Cache(is_min_max=True).prepare(Support(keys, torch.tensor([0, 1]), 2)).classifier({"gamma": 0.0, "beta": 1.0})
    )
    queries = torch.tensor([[0.5**0.5, 0.5**0.5], [0.6, 0.8]])
    zero, one = np.exp(-1), np.exp(0)  # the least affinity becomes 0, the largest 1
    np.testing.assert_allclose(cache.logits(queries), [[zero, zero], [zero, one]], rtol=1e-6)
