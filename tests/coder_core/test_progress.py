"""Progress is for people: a bar on a terminal, a line now and then in a log, and nothing on standard output."""

import io
import logging
import sys

import pytest

from coder_core import progress
from coder_core.progress import LOG_EVERY_SECONDS, track


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def logged(caplog, monkeypatch):
    """Messages of the progress logger; a flow that ran before may have left Prefect's handler on it."""
    monkeypatch.setattr(logging.getLogger("coder_core"), "handlers", [])
    monkeypatch.setattr(logging.getLogger("coder_core"), "propagate", True)
    caplog.set_level(logging.INFO, logger="coder_core")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "coder_core.progress"]


def work(clock, *, steps, seconds):
    with track("embedding images", total=steps, unit="images") as shown:
        for _ in range(steps):
            clock[0] += seconds
            shown.advance(1)
    return shown


def test_a_log_gets_a_line_now_and_then(clock, logged, capsys):
    work(clock, steps=100, seconds=1.0)
    assert len(logged()) == int(100 // LOG_EVERY_SECONDS)
    assert logged()[0] == "embedding images: 12 of 100 images, 1.0 a second, 0:01:28 left"
    assert capsys.readouterr() == ("", "")


def test_what_nobody_can_know_before_the_end_is_told_without_it(clock, logged):
    with track("listing files", total=None, unit="files") as shown:
        clock[0] += 20
        shown.advance(2000)
    assert logged() == ["listing files: 2,000 files, 100 a second"]


def test_what_is_quick_is_not_logged(clock, logged, capsys):
    assert work(clock, steps=1000, seconds=0.001).done == 1000
    assert logged() == []
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_and_no_log(monkeypatch, clock, logged, capsys):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    work(clock, steps=40, seconds=1.0)
    assert "embedding images" in terminal.getvalue()
    assert logged() == []
    assert capsys.readouterr().out == ""


def test_the_bar_goes_away_when_the_work_fails(monkeypatch, capsys):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    shown = []
    with pytest.raises(KeyError):
        fail(shown)
    assert shown[0]._bar.disable
    assert capsys.readouterr().out == ""


def fail(shown):
    with track("reading", total=3, unit="images") as bar:
        shown.append(bar)
        raise KeyError("broken")
