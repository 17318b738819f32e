"""What every test of the core may rely on."""

import logging

import pytest


@pytest.fixture(autouse=True)
def own_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core's logger as a library has it: a flow that ran in this process before may have left its handler there."""
    logger = logging.getLogger("coder_core")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", True)
