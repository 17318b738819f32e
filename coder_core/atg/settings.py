"""Settings of the generator: what to ask (hashed), and where and how fast (never hashed).

The API key is in neither: the endpoint takes it from `OPENAI_API_KEY` when it opens, so it cannot travel into a flow's
parameters, a manifest or a log.
"""

from typing import Any

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from coder_core.atg.pricing import Price
from coder_core.atg.prompts import DEFAULT_PROMPTS, GENERATED_KINDS
from coder_core.atg.requests import Sampling
from coder_core.spec_base import Spec
from coder_core.texts.kinds import TextKind

__all__ = ["GeneratorSpec", "LlmRuntime"]


class GeneratorSpec(Spec):
    """What a language model is asked for."""

    model: str = Field(min_length=1, max_length=200, description="The model's name as the server knows it.")
    kinds: tuple[TextKind, ...] = Field(
        default=(TextKind.ATTRIBUTE, TextKind.ANALOGOUS_CLASS),
        description=f"Of {', '.join(GENERATED_KINDS)}; one_to_one needs pairs.",
    )
    sampling: Sampling = Field(default=Sampling(), description="temperature, top_p, seed.")
    prompts: str = Field(default=DEFAULT_PROMPTS, description="Name of the prompt set.")
    prompt_sets: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Your own prompt sets or questions, merged over the shipped ones."
    )
    max_similarity: float = Field(
        default=0.9, gt=0, le=1, description="Drop an analogue whose cosine to another class exceeds this."
    )
    analogue_rounds: int = Field(default=5, ge=0, le=20, description="How often to ask again for dropped analogues.")


class LlmRuntime(BaseSettings):
    """Which server, how fast, how much. Never hashed. Every field can come from the environment: CODER_LLM_<FIELD>."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="CODER_LLM_")

    base_url: str | None = Field(default=None, description="The server; default: OPENAI_BASE_URL, or OpenAI itself.")
    concurrency: int = Field(default=32, ge=1, le=1024, description="Calls under way at a time.")
    requests_per_minute: float | None = Field(default=None, gt=0, description="Your account's limit; default: none.")
    tokens_per_minute: float | None = Field(default=None, gt=0, description="Your account's limit; default: none.")
    timeout_seconds: float = Field(
        default=180.0, gt=0, description="Longest time for one call; a server of your own may queue them."
    )
    max_tokens: int = Field(default=512, ge=16, le=32_768, description="Longest answer; doubled when one is cut off.")
    max_attempts: int = Field(default=6, ge=1, le=50, description="Calls for one question, all faults together.")
    max_bad_answers: int = Field(default=3, ge=1, le=50, description="Of these, answers that cannot be used.")
    backoff_seconds: float = Field(default=0.5, ge=0, description="Longest pause before the second call; then doubled.")
    max_backoff_seconds: float = Field(default=30.0, ge=0, description="Longest pause between two calls.")
    max_wait_seconds: float = Field(default=120.0, ge=0, description="Longest Retry-After that is waited for.")
    max_failures_in_a_row: int = Field(
        default=20, ge=1, description="Questions given up one after another before the run stops."
    )
    max_cost_usd: float | None = Field(default=None, ge=0, description="Stop before this is passed; default: no limit.")
    prices: dict[str, Price] = Field(default_factory=dict, description="Prices of models, over the shipped ones.")

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
