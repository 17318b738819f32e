"""A fresh ledger, and settings that do not wait."""

import uuid
from collections.abc import Callable

import pytest

from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.storage.store import Store

KEY = "sk-proj-TopSecret0123456789abcdef"


@pytest.fixture
def ledger() -> CompletionLedger:
    return CompletionLedger(Store(f"memory://{uuid.uuid4().hex}"))


@pytest.fixture(autouse=True)
def api_key(monkeypatch: pytest.MonkeyPatch) -> str:
    """The key of every test; whatever the machine has set otherwise is out of the way."""
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return KEY


@pytest.fixture
def make_runtime() -> Callable[..., LlmRuntime]:
    """Settings for a server on loopback: short pauses, short patience."""

    def make(base_url: str, **options: object) -> LlmRuntime:
        quick = {"concurrency": 16, "backoff_seconds": 0.01, "max_backoff_seconds": 0.1, "timeout_seconds": 5.0}
        quick |= {"max_start_seconds": 5.0, "grace_seconds": 1.0}
        return LlmRuntime(base_url=base_url, **{**quick, **options})

    return make
