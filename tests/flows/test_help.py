"""`coder-eval --help` leads: where to begin stands first, and every command stands there once."""

import re

from click.testing import CliRunner

from flows.cli import main
from flows.cli_sections import OTHERS, SECTIONS


def test_every_command_stands_once_and_the_first_one_first() -> None:
    shown = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    assert "coder-eval try photos/ " in shown
    _, begin, commands = shown.partition("Begin here:")
    assert begin
    names = re.findall(r"^  ([a-z]+) ", commands, flags=re.MULTILINE)
    assert names == [name for names in SECTIONS.values() for name in names]
    assert set(names) == set(main.commands)
    assert OTHERS not in shown
    lines = [line for line in commands.splitlines() if line.startswith("  ")]
    assert len(lines) == len(names), "a line is broken"
