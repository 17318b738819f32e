"""What the state says in which a flow run ends: the result in one line, instead of nothing."""

from collections.abc import Callable
from typing import TypeVar, cast

from prefect.states import Completed

Result = TypeVar("Result")


def ended_with(result: Result, describe: Callable[[Result], str]) -> Result:
    """A flow's return value whose state carries a line about it; who calls the flow gets the value itself.

    Args:
        result: What the flow found.
        describe: Gives the line.
    """
    return cast(Result, Completed(data=result, message=describe(result)))
