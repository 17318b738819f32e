"""Why a part of the service has ended, out of what it has printed."""

import pytest

from service.processes import last_words

TRACEBACK = """
Traceback (most recent call last):
  File "a.py", line 1, in <module>
    connect()
sqlite3.OperationalError: database is locked

ERROR:    Application startup failed. Exiting.
"""


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", ""),
        ("  \n", ""),
        ("Started.\nStopping, because it was asked to.\n\n", "Stopping, because it was asked to."),
        (TRACEBACK, "sqlite3.OperationalError: database is locked"),
        (TRACEBACK * 2 + "RuntimeError: the last one\n<no Python frame>\n", "RuntimeError: the last one"),
        ("KeyError: 'a'\nand more", "KeyError: 'a'"),
        ("An Error: in a sentence is none\nThe end.", "The end."),
    ],
)
def test_the_exception_is_the_reason_and_not_what_is_said_after_it(log: str, words: str) -> None:
    assert last_words(log) == words
