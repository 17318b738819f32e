"""How far a command is: lines on standard error where nobody else shows the log, and a word where it is stopped."""

import json
import logging
import re
from pathlib import Path

import pytest

from coder_core import progress
from coder_core.progress import track
from flows.cli_common import is_export
from flows.cli_logging import progress_on_stderr
from flows.stopping import describe_stop


@pytest.fixture(autouse=True)
def unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    """No handler on the core's logger (a flow that ran before may have left one), and a line for every step."""
    monkeypatch.setattr(logging.getLogger("coder_core"), "handlers", [])
    monkeypatch.setattr(progress, "LOG_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_broken_off", [])


def ask_one() -> None:
    with progress_on_stderr(), track("asking", total=3, unit="answers") as shown:
        shown.advance(1)


def test_a_command_without_a_log_shows_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_one()
    told = capsys.readouterr()
    assert re.fullmatch(r"\d\d:\d\d:\d\d \| asking: 1 of 3 answers, \S+ a second, 0:\d\d:\d\d left\n", told.err)
    assert told.out == ""
    monkeypatch.setenv("CODER_LOG_FORMAT", "json")
    ask_one()
    assert json.loads(capsys.readouterr().err)["message"].startswith("asking: 1 of 3 answers")


def test_a_line_is_shown_once_where_the_log_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("coder_core"), "handlers", [logging.NullHandler()])
    ask_one()
    assert capsys.readouterr().err == ""


def break_off() -> None:
    with track("classifying", total=1200, unit="images") as shown:
        shown.advance(96)
        raise KeyboardInterrupt


def test_who_keeps_nothing_says_how_far_it_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert describe_stop("Ctrl-C", None) == "Stopped by Ctrl-C. classifying: 96 of 1,200 images."
    kept = describe_stop("Ctrl-C", "./store")
    assert "kept in ./store (classifying: 96 of 1,200 images). The same command goes on from there." in kept
    assert not is_export(str(tmp_path))
    (tmp_path / "classifier.json").touch()
    assert is_export(str(tmp_path))
    assert not is_export("x" * 10_000)
