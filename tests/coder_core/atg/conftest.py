"""A fresh ledger, and settings that do not wait."""

from tests.coder_core.atg.llm_fixtures import api_key, ledger, make_runtime

__all__ = ["api_key", "ledger", "make_runtime"]
