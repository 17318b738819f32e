"""Long answers on a terminal, page by page, with the reader's own pager.

`PAGER` is split into words and started as it is, never through a shell; what it is given holds no character that a
terminal would obey. `less` is told to stay on the page (`LESSSECURE`: no shell, no editor, no files). Where the output
is no terminal, or fits on it, nothing is paged.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from coder_core.printable_text import printable
from flows.cli_logging import warning_line

FALLBACK = "less"
LESS = {"LESS": "FSRX", "LESSSECURE": "1", "LESSCHARSET": "utf-8"}
"""End at once where all fits, cut long lines (arrows move sideways), and leave the page on the screen."""


def show(text: str, *, is_paged: bool = True) -> None:
    """Print an answer; page by page where a terminal is too small for it.

    Args:
        text: Without a line feed at its end.
        is_paged: False prints it in one go.
    """
    command = _pager_command() if is_paged and sys.stdout.isatty() and sys.stdin.isatty() else []
    if not command or _fits(text):
        click.echo(text, color=True)  # or click would take pieces out of what it holds
        return
    process = subprocess.Popen(  # noqa: S603 (what the reader names in PAGER, without a shell)
        command, stdin=subprocess.PIPE, env={**LESS, **os.environ, "LESSSECURE": "1"}
    )
    with _left_to_the_pager():
        with suppress(BrokenPipeError):  # the reader has seen enough
            process.communicate(f"{printable(text, keep=chr(10))}\n".encode("utf-8", "backslashreplace"))
        process.wait()


def _pager_command() -> list[str]:
    """The words of PAGER, or `less`; none where the reader wants no pager, or has none."""
    named = os.environ.get("PAGER")
    try:
        words = shlex.split(FALLBACK if named is None else named)
    except ValueError:
        words = ["?"]
    if not words or words == ["cat"]:
        return []
    if shutil.which(words[0]) is None:
        if named is not None:
            click.echo(warning_line(f"PAGER names {named!r}, which is no program here: not paged."), err=True)
        return []
    return words


def _fits(text: str) -> bool:
    columns, lines = shutil.get_terminal_size()
    shown = text.split("\n")
    return len(shown) < lines and all(len(line) <= columns for line in shown)


@contextmanager
def _left_to_the_pager() -> Iterator[None]:
    """Ctrl-C belongs to the pager while it runs: `less` stops a search with it, and the reader ends it with q."""
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
