"""No text makes a terminal do anything."""

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.errors import InputError
from coder_core.printable_text import GuardedStream, printable

HOSTILE = (
    "\x1b[2J\x1b[H",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31m",
    "\x90q\x9c",
    "a\rb",
    "a\x08b",
    "\x00",
    "\x7f",
    "\u202egnp.exe",
    "\u2066a\u2069",
    "\u200b\u200e\u061c",
    "\u2028\u2029",
    "\ufeff",
    "\ue000",
    "\U000e0041",
    "\ud83d",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_terminal_would_obey_is_shown(text: str) -> None:
    shown = printable(f"a {text} b")
    assert not {unicodedata.category(char)[0] for char in shown} & {"C"}
    assert "\\" in shown
    assert "\n" not in str(InputError(text, text, text))
    assert printable(str(InputError(f"x {text}", text, text))) == str(InputError(f"x {text}", text, text))


@given(st.text())
def test_whatever_is_written_to_a_guarded_terminal_is_printable(text: str) -> None:
    terminal = io.StringIO()
    guarded = GuardedStream(terminal)
    guarded.writelines([text, "\n"])
    written = terminal.getvalue()
    assert printable(written, keep="\n\t") == written
    if text.isprintable() and printable(text) == text:
        assert written == f"{text}\n"
