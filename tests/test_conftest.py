"""What every test leaves behind: nothing."""

import logging

import pytest

from tests.conftest import core_logger_kept


def test_the_cores_logger_is_as_it_was_after_a_flow(request: pytest.FixtureRequest) -> None:
    core = logging.getLogger("coder_core")
    before = (core.propagate, core.level, list(core.handlers))
    with core_logger_kept():  # what `tasks.logs.prepare_logs` does
        core.addHandler(logging.NullHandler())
        core.setLevel(logging.INFO)
        core.propagate = not core.propagate
    assert (core.propagate, core.level, list(core.handlers)) == before
    assert "_core_logger_kept" in request.fixturenames, "for every test, unasked"
