"""Where the time of a run went, step by step: what Prefect's page shows, from the rows that table `timings` holds."""

from collections.abc import Sequence
from typing import NamedTuple

from coder_core.steps.workplace import Product


class StepTime(NamedTuple):
    """One step of a run.

    Attributes:
        step: Its name.
        seconds: Spent in this run; work of several tasks added up, so that the sum may exceed the run's time.
        rows: Rows of what it produced.
        computed: Rows among them computed in this run.
        origin: `made`, `reused` (from the store), or `partly made`.
    """

    step: str
    seconds: float
    rows: int
    computed: int
    origin: str


def list_step_times(products: Sequence[Product]) -> list[StepTime]:
    """The steps in the order in which they were made."""
    return [
        StepTime(product.step, round(product.seconds, 3), product.artifact.rows, product.computed, _origin(product))
        for product in products
    ]


def _origin(product: Product) -> str:
    if product.computed == 0:
        return "reused"
    return "partly made" if product.reused else "made"
