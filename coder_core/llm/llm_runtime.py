"""Where and how fast a language model is asked: never hashed.

The API key is not among the settings: the endpoint takes it from `OPENAI_API_KEY` when it opens, so it cannot travel
into a flow's parameters, a manifest or a log.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from coder_core.llm.pricing import Price
from coder_core.sealing import seal_server

__all__ = ["LlmRuntime"]


class LlmRuntime(BaseSettings):
    """Which server, how fast, how much. Never hashed. Every field can come from the environment: CODER_LLM_<FIELD>."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="CODER_LLM_", env_ignore_empty=True)

    base_url: Annotated[str, AfterValidator(seal_server)] | None = Field(
        default=None, description="The server; default: OPENAI_BASE_URL, or OpenAI itself."
    )
    concurrency: int = Field(default=32, ge=1, le=1024, description="Calls under way at a time.")
    requests_per_minute: float | None = Field(default=None, gt=0, description="Your account's limit; default: none.")
    tokens_per_minute: float | None = Field(default=None, gt=0, description="Your account's limit; default: none.")
    timeout_seconds: float = Field(
        default=180.0, gt=0, description="Longest time for one call; a server of your own may queue them."
    )
    max_tokens: int = Field(default=512, ge=16, le=131_072, description="Longest answer; doubled when one is cut off.")
    max_tokens_limit: int = Field(
        default=16_384, ge=16, le=131_072, description="How far it is doubled: hidden thoughts of a model count, too."
    )
    max_attempts: int = Field(default=6, ge=1, le=50, description="Calls for one question, all faults together.")
    max_bad_answers: int = Field(default=3, ge=1, le=50, description="Of these, answers that cannot be used.")
    backoff_seconds: float = Field(default=0.5, ge=0, description="Longest pause before the second call; then doubled.")
    max_backoff_seconds: float = Field(default=30.0, ge=0, description="Longest pause between two calls.")
    max_wait_seconds: float = Field(default=120.0, ge=0, description="Longest Retry-After that is waited for.")
    max_start_seconds: float = Field(
        default=300.0,
        ge=0,
        description="Longest wait for a server that is loading its model (HTTP 502, 503) or is gone.",
    )
    grace_seconds: float = Field(
        default=2.0, ge=0, description="How long an interrupted run waits for answers that are under way and paid for."
    )
    max_reply_bytes: int = Field(default=4 * 2**20, ge=1024, description="Largest reply, as it is sent.")
    max_decoded_bytes: int = Field(default=16 * 2**20, ge=1024, description="Largest reply after decompression.")
    max_encodings: int = Field(default=1, ge=0, le=4, description="Compressions of a reply on top of each other.")
    max_answer_lines: int = Field(default=2_000, ge=1, description="Most lines of one answer.")
    max_file_bytes: int = Field(default=512 * 2**20, ge=1024, description="Largest file of the Batch API.")
    file_timeout_seconds: float = Field(default=600.0, gt=0, description="Longest time for one such file.")
    max_failures_in_a_row: int = Field(
        default=20, ge=1, description="Questions given up one after another before the run stops."
    )
    max_cost_usd: float | None = Field(default=None, ge=0, description="Stop before this is passed; default: no limit.")
    prices: dict[str, Price] = Field(default_factory=dict, description="Prices of models, over the shipped ones.")

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
