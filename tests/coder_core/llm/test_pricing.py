import asyncio

import pytest

from coder_core.errors import ConfigError
from coder_core.llm.pricing import Budget, BudgetSpentError, Price, count_tokens, find_price, load_prices

PRICE = Price(input_usd_per_million=1, output_usd_per_million=10)


def test_prices_are_data_that_a_user_overrides() -> None:
    prices = load_prices({"mine": {"input_usd_per_million": 0, "output_usd_per_million": 0}, "gpt-4o-mini": PRICE})
    assert find_price("mine", prices) == Price(input_usd_per_million=0, output_usd_per_million=0)
    assert find_price("gpt-4o-mini-2024-07-18", prices) == PRICE
    assert find_price("gpt-4o", prices) == Price(
        input_usd_per_million=2.5, output_usd_per_million=10, picture_tokens=85 + 170
    )
    assert find_price("gpt-4o-mini-turbo", prices) is None
    with pytest.raises(ConfigError, match=r"prices\.x\.input_usd_per_million"):
        load_prices({"x": {"input_usd_per_million": -1, "output_usd_per_million": 0}})


def test_costs_add_up_by_hand() -> None:
    assert PRICE.cost_usd(1_000_000, 100_000) == pytest.approx(2.0)
    assert PRICE.cost_usd(1_000_000, 100_000, is_batch=True) == pytest.approx(1.0)


def test_tokens_are_counted_roughly() -> None:
    assert count_tokens("") == 0
    assert count_tokens("four legs and a tail") == 5
    assert count_tokens("長い尾") == 3
    # OpenAI's o200k_base has 1,000 words of English prose at 1.3 tokens a word.
    assert count_tokens("the quick brown fox jumps over the lazy dog " * 100) == pytest.approx(1000, rel=0.2)


def test_a_budget_is_never_passed_and_nearly_used_up() -> None:
    async def run() -> tuple[float, int]:
        budget, calls = Budget(1.0), 0

        async def call() -> None:
            nonlocal calls
            async with budget.reserve(0.1) as reservation:
                calls += 1
                await asyncio.sleep(0.001)
                reservation.settle(0.03)

        ended = await asyncio.gather(*(call() for _ in range(100)), return_exceptions=True)
        assert all(error is None or isinstance(error, BudgetSpentError) for error in ended)
        return budget.spent_usd, calls

    spent, calls = asyncio.run(run())
    assert spent <= 1.0
    assert spent > 1.0 - 0.1
    assert calls == round(spent / 0.03)


def test_a_call_that_fails_frees_what_it_had_move_aside() -> None:
    async def run() -> float:
        budget = Budget(0.1)
        for _ in range(5):
            with pytest.raises(OSError, match="line"):
                async with budget.reserve(0.1):
                    raise OSError("line")
        async with budget.reserve(0.1) as reservation:
            reservation.settle(0.1)
        with pytest.raises(BudgetSpentError):
            async with budget.reserve(0.0001):
                pass
        return budget.spent_usd

    assert asyncio.run(run()) == pytest.approx(0.1)


def test_no_limit_only_counts() -> None:
    async def run() -> float:
        budget = Budget(None)
        async with budget.reserve(1e9) as reservation:
            reservation.settle(3)
        return budget.spent_usd

    assert asyncio.run(run()) == 3
