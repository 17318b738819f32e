"""What completions cost: prices as data, and an estimate before anything is spent.

Tokens are counted roughly (`count_tokens`), because the exact vocabularies cannot be had offline; on English prompts
the count is within a fifth of OpenAI's own. What a run really cost is what the server reports per answer.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import yaml
from pydantic import Field, ValidationError

from coder_core.atg.requests import CompletionRequest
from coder_core.errors import ConfigError
from coder_core.spec_base import Spec

__all__ = [
    "CostEstimate",
    "Price",
    "count_message_tokens",
    "count_tokens",
    "estimate_cost",
    "find_price",
    "load_prices",
]

CHARACTERS_PER_TOKEN = 4
"""OpenAI's rule of thumb for English text."""
TOKENS_PER_MESSAGE = 4
"""Role and separators of one chat message, as OpenAI's cookbook counts them."""
SCHEMA_TOKENS = 60
"""What the answer schema adds to a structured question."""
SCHEMA_BYTES = 512
"""What it and the names of the roles have at most."""
EXPECTED_ANSWER_TOKENS = 90
"""One list of about eight short phrases as JSON (the published banks: 5 to 10 phrases of 5 words)."""

_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_MILLION = 1_000_000


class Price(Spec):
    """What a model's tokens cost."""

    input_usd_per_million: float = Field(ge=0, description="US dollars per million tokens of questions.")
    output_usd_per_million: float = Field(ge=0, description="US dollars per million tokens of answers.")
    batch_factor: float = Field(default=0.5, ge=0, le=1, description="What the Batch API charges of it.")

    def cost_usd(self, prompt_tokens: int, completion_tokens: int, *, is_batch: bool = False) -> float:
        """The price of so many tokens."""
        full = prompt_tokens * self.input_usd_per_million + completion_tokens * self.output_usd_per_million
        return full / _MILLION * (self.batch_factor if is_batch else 1.0)


class CostEstimate(Spec):
    """What a purchase would take, printed by a dry run.

    Attributes:
        model: Who would be asked.
        calls: Questions that no ledger row answers.
        reused: Questions that one does.
        prompt_tokens: Tokens of the questions, roughly.
        completion_tokens: Tokens of the answers, roughly.
        cost_usd: Their price; 0 when none is known.
        is_priced: Whether a price is known.
        max_further_calls: How often, at most, analogous classes will be asked for again.
    """

    model: str
    calls: int
    reused: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    is_priced: bool
    max_further_calls: int = 0

    def __str__(self) -> str:
        price = f"about ${self.cost_usd:.4f}" if self.is_priced else "price unknown, counted as $0"
        further = (
            f", up to {self.max_further_calls} further calls for dropped analogues" if self.max_further_calls else ""
        )
        tokens = f"about {self.prompt_tokens} + {self.completion_tokens} tokens"
        return f"{self.model}: {self.calls} calls ({self.reused} answers are held), {tokens}, {price}{further}."


def load_prices(extra: Mapping[str, Price | Mapping[str, Any]] | None = None) -> dict[str, Price]:
    """Load the shipped prices and merge a user's own over them.

    Raises:
        ConfigError: A price is negative or has an unknown key.
    """
    given = {name: _checked(name, price) for name, price in (extra or {}).items()}
    return _shipped() | given


def find_price(model: str, prices: Mapping[str, Price]) -> Price | None:
    """Find a model's price by its name, with or without a date at its end; None when it is unknown."""
    return prices.get(model) or prices.get(_DATE.sub("", model))


def count_tokens(text: str) -> int:
    """Count tokens roughly: a token per four ASCII characters, one per other character (Chinese, emoji)."""
    others = 0 if text.isascii() else sum(not sign.isascii() for sign in text)
    return -(-(len(text) - others) // CHARACTERS_PER_TOKEN) + others


def count_message_tokens(messages: Sequence[Mapping[str, str]], *, is_structured: bool) -> int:
    """Count the tokens of a conversation roughly."""
    told = sum(count_tokens(message["content"]) + TOKENS_PER_MESSAGE for message in messages)
    return told + (SCHEMA_TOKENS if is_structured else 0)


def estimate_cost(
    missing: Sequence[CompletionRequest], price: Price | None, *, model: str, reused: int, is_batch: bool = False
) -> CostEstimate:
    """Estimate what the answers to these questions would cost, one call each.

    Args:
        missing: The questions that no ledger row answers.
        price: The model's price, if known.
        model: Who would be asked.
        reused: How many questions need not be asked.
        is_batch: Whether they go through the Batch API.
    """
    prompt_tokens = sum(_prompt_tokens(request) for request in missing)
    completion_tokens = sum(EXPECTED_ANSWER_TOKENS * len(request.subject.names) for request in missing)
    return CostEstimate(
        model=model,
        calls=len(missing),
        reused=reused,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost_usd=price.cost_usd(prompt_tokens, completion_tokens, is_batch=is_batch) if price else 0.0,
        is_priced=price is not None,
    )


def worst_cost_usd(request: CompletionRequest, price: Price, *, max_tokens: int, is_batch: bool = False) -> float:
    """The most that one call can cost: no token is shorter than a byte."""
    messages = request.prompt.messages(request.inputs.values(), is_structured=True)
    prompt_bytes = sum(len(message["content"].encode()) for message in messages) + SCHEMA_BYTES
    return price.cost_usd(prompt_bytes, max_tokens, is_batch=is_batch)


def _prompt_tokens(request: CompletionRequest) -> int:
    messages = request.prompt.messages(request.inputs.values(), is_structured=True)
    return count_message_tokens(messages, is_structured=True)


@cache
def _shipped() -> dict[str, Price]:
    text = resources.files("coder_core.atg").joinpath("prices.yaml").read_text(encoding="utf-8")
    return {name: _checked(name, price) for name, price in yaml.safe_load(text).items()}


def _checked(name: str, price: Price | Mapping[str, Any]) -> Price:
    try:
        return Price.model_validate(price)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(["prices", name, *map(str, first["loc"])])
        raise ConfigError(f"{first['msg']}.", place, "See coder_core/atg/prices.yaml for the shape.") from None
