"""What completions cost: prices as data, tokens counted roughly, and a budget that is a hard stop for dollars.

Tokens are counted roughly (`count_tokens`), because the exact vocabularies cannot be had offline; on English prompts
the count is within a fifth of OpenAI's own. What a run really cost is what the server reports per answer.

Before every call its worst case is set aside (each byte of the question a token, the longest answer allowed); after
it, the real cost takes its place. A call that does not fit waits while others are under way, because they nearly always
cost less than was set aside; when none is, nothing more fits and the budget is spent. So the limit is never passed, and
not missed by more than one call's worst case. What a call cost whose answer was lost on the line nobody says: it counts
as free here, and not on the provider's bill.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from typing import Any

import yaml
from pydantic import Field, ValidationError

from coder_core.errors import ConfigError
from coder_core.expected_values import describe_refusal
from coder_core.llm.chat_requests import CompletionRequest, Message
from coder_core.spec_base import Spec

__all__ = [
    "Budget",
    "BudgetSpentError",
    "Price",
    "count_message_tokens",
    "count_tokens",
    "find_price",
    "load_prices",
    "picture_tokens",
    "worst_cost_usd",
]

CHARACTERS_PER_TOKEN = 4
"""OpenAI's rule of thumb for English text."""
TOKENS_PER_MESSAGE = 4
"""Role and separators of one chat message, as OpenAI's cookbook counts them."""
SCHEMA_TOKENS = 60
"""What the answer schema adds to a structured question."""
SCHEMA_BYTES = 512
"""What it and the names of the roles have at most."""
PICTURE_TOKENS = 1_601
"""A picture of at most 512 x 512 pixels, where a model's price says nothing else. An upper estimate: models that cut
pictures into tiles of 512 pixels count 85 + 170, those with patches of 32 pixels 256 times 1 to 2.46 (both OpenAI),
with patches of 28 pixels 361 (Qwen-VL), with one tile of 560 pixels 1,601 (Llama 3.2)."""

_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_MILLION = 1_000_000


class Price(Spec):
    """What a model's tokens cost."""

    input_usd_per_million: float = Field(ge=0, description="US dollars per million tokens of questions.")
    output_usd_per_million: float = Field(ge=0, description="US dollars per million tokens of answers.")
    batch_factor: float = Field(default=0.5, ge=0, le=1, description="What the Batch API charges of it.")
    picture_tokens: int = Field(
        default=PICTURE_TOKENS, ge=0, description="Tokens that a picture of at most 512 x 512 pixels counts as."
    )

    def cost_usd(self, prompt_tokens: int, completion_tokens: int, *, is_batch: bool = False) -> float:
        """The price of so many tokens."""
        full = prompt_tokens * self.input_usd_per_million + completion_tokens * self.output_usd_per_million
        return full / _MILLION * (self.batch_factor if is_batch else 1.0)


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


def picture_tokens(price: Price | None) -> int:
    """What one picture counts as."""
    return PICTURE_TOKENS if price is None else price.picture_tokens


def count_message_tokens(messages: Sequence[Message], *, is_structured: bool, picture: int = PICTURE_TOKENS) -> int:
    """Count the tokens of a conversation roughly; `picture` is what each picture in it counts as."""
    parts = [part for message in messages for part in _parts(message)]
    words = sum(picture if text is None else count_tokens(text) for text in parts)
    return words + TOKENS_PER_MESSAGE * len(messages) + (SCHEMA_TOKENS if is_structured else 0)


def _parts(message: Message) -> list[str | None]:
    """The texts of a message, and None for each picture."""
    content = message["content"]
    return [content] if isinstance(content, str) else [part.get("text") for part in content]


def worst_cost_usd(request: CompletionRequest, price: Price, *, max_tokens: int, is_batch: bool = False) -> float:
    """The most that one call can cost: no token of a text is shorter than a byte."""
    parts = [part for message in request.messages(is_structured=True) for part in _parts(message)]
    prompt_tokens = sum(price.picture_tokens if text is None else len(text.encode()) for text in parts)
    return price.cost_usd(prompt_tokens + SCHEMA_BYTES, max_tokens, is_batch=is_batch)


class BudgetSpentError(Exception):
    """The next call might pass the limit."""


class Reservation:
    """What one call has set aside; `settle` says what it really cost."""

    def __init__(self) -> None:
        self.cost_usd = 0.0

    def settle(self, cost_usd: float) -> None:
        """Add what the call cost; without it, it cost nothing."""
        self.cost_usd += cost_usd


class Budget:
    """Dollars of one set of questions, for one event loop.

    Args:
        max_cost_usd: The limit; None for none.
    """

    def __init__(self, max_cost_usd: float | None) -> None:
        self.max_cost_usd = max_cost_usd
        self.spent_usd = 0.0
        self._reserved_usd = 0.0
        self._under_way = 0
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def reserve(self, worst_usd: float) -> AsyncIterator[Reservation]:
        """Set the worst case of one call aside while it is under way.

        Nothing is waited for when the block ends: so nobody is interrupted between an answer and its keeping.

        Raises:
            BudgetSpentError: It does not fit, and no other call is under way that might make room.
        """
        while self._under_way and not self._fits(worst_usd):
            await self._changed.wait()
        if not self._fits(worst_usd):
            raise BudgetSpentError
        reservation = Reservation()
        self._reserved_usd += worst_usd
        self._under_way += 1
        try:
            yield reservation
        finally:
            self._under_way -= 1
            self._reserved_usd -= worst_usd
            self.spent_usd += reservation.cost_usd
            self._changed.set()
            self._changed = asyncio.Event()

    def _fits(self, worst_usd: float) -> bool:
        return self.max_cost_usd is None or self.spent_usd + self._reserved_usd + worst_usd <= self.max_cost_usd


@cache
def _shipped() -> dict[str, Price]:
    text = resources.files("coder_core.llm").joinpath("prices.yaml").read_text(encoding="utf-8")
    return {name: _checked(name, price) for name, price in yaml.safe_load(text).items()}


def _checked(name: str, price: Price | Mapping[str, Any]) -> Price:
    try:
        return Price.model_validate(price)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(["prices", name, *map(str, first["loc"])])
        raise ConfigError(
            f"{describe_refusal(first)}.", place, "See coder_core/llm/prices.yaml for the shape."
        ) from None
