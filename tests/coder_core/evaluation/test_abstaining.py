"""The cut below which "none of these" is said, against a search over all cuts."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from coder_core.evaluation.abstaining import choose_cutoff

IMAGES = st.lists(st.tuples(st.integers(0, 5).map(lambda n: n / 5), st.booleans()), max_size=12)


@given(IMAGES, st.sampled_from([0.0, 0.5, 0.8, 1.0]))
def test_the_lowest_cut_that_is_right_often_enough(images: list[tuple[float, bool]], precision: float) -> None:
    probabilities, right = np.array([p for p, _ in images]), np.array([is_right for _, is_right in images], dtype=bool)
    cuts = [cut for cut in set(probabilities) if right[probabilities >= cut].mean() >= precision]
    found = choose_cutoff(probabilities, right, precision=precision)
    if not cuts:
        assert found is None
        return
    kept = probabilities >= min(cuts)
    assert found == (min(cuts), right[kept].mean(), kept.sum(), len(images))
