"""What DuckDB says about wrong SQL, told in our words: what, where, and the name that was probably meant."""

import difflib
import re

from rich.cells import cell_len

from coder_core.printable_text import printable
from coder_core.results.schema import TABLES, VIEWS

SHOWN_CHARACTERS = 400
"""Of a message: DuckDB repeats whole statements and long lists in some."""
LEAST_LIKENESS = 0.6
EXCERPT_CHARACTERS = 50
"""On either side of the place of an error."""
_PLACE = re.compile(r"SQL, line (?P<line>\d+), character (?P<character>\d+)")
_WORD = re.compile(r"\w+")
_POINTER = re.compile(r"\n+LINE (\d+): ([^\n]*)\n( *)(\^+)")
_UNKNOWN_COLUMN = re.compile(r'(?:Referenced column|does not have a column named) "([^"]*)"')
_UNKNOWN_TABLE = re.compile(r"Table with name (\S+) does not exist")
_CANDIDATES = re.compile(r"\n\s*(?:Did you mean|Candidate bindings):?\s*:?[^\n]*")
_KIND = re.compile(r"^[A-Z][A-Za-z ]+ Error: ")


def explain_sql_error(message: str, sql: str) -> tuple[str, str, str]:
    """Take apart what DuckDB says.

    Args:
        message: Its message, in several lines.
        sql: The question.

    Returns:
        The problem, the place (line and character, from 1), and what to do.
    """
    pointer = _POINTER.search(message)
    place, token = _place(pointer, sql) if pointer else ("SQL", "")
    text = message[: pointer.start()] if pointer else message
    problem = " ".join(_CANDIDATES.sub("", _KIND.sub("", text.strip())).split())
    problem = problem if len(problem) <= SHOWN_CHARACTERS else f"{problem[:SHOWN_CHARACTERS]}…"
    problem = problem.rstrip("!.") + (f" (at {token})." if token and token not in problem else ".")
    return problem, place, _remedy(text, sql)


def excerpt(sql: str, place: str) -> list[str]:
    """Show the place of an error in two lines: that line of the question, cut where it is long, and a mark below it.

    Args:
        sql: The question.
        place: As `explain_sql_error` says it; nothing is shown for one without a character.
    """
    found = _PLACE.fullmatch(place)
    lines = sql.split("\n")
    if not found or int(found["line"]) > len(lines):
        return []
    line, at = lines[int(found["line"]) - 1], int(found["character"]) - 1
    start = max(0, at - EXCERPT_CHARACTERS)
    before, after = printable(line[start:at]), printable(line[at : at + EXCERPT_CHARACTERS])
    dots = "…" if start else ""
    tail = "…" if at + EXCERPT_CHARACTERS < len(line) else ""
    word = _WORD.match(after)
    mark = " " * cell_len(dots + before) + "^" * max(1, cell_len(word[0]) if word else 1)
    return [f"{dots}{before}{after}{tail}", mark]


def _place(pointer: "re.Match[str]", sql: str) -> tuple[str, str]:
    """Find where DuckDB points at; it shows a long line in part, between dots."""
    number, shown, gap, arrows = int(pointer[1]), pointer[2], pointer[3], pointer[4]
    columns = len(gap) - len(f"LINE {number}: ")
    start = _characters(shown, columns)
    token = shown[start : _characters(shown, columns + len(arrows))]
    lines = sql.split("\n")
    line = lines[number - 1] if number <= len(lines) else ""
    begun = shown[:start].removeprefix("...")
    at = line.find(begun + token) if shown.startswith("...") else 0 if line.startswith(begun) else -1
    if columns < 0 or at < 0:
        return f"SQL, line {number}", token
    return f"SQL, line {number}, character {at + len(begun) + 1}", token


def _characters(text: str, columns: int) -> int:
    """Count the characters that take so many columns: DuckDB points below a line as a terminal shows it."""
    taken = 0
    for at, character in enumerate(text):
        if taken >= columns:
            return at
        taken += cell_len(character)
    return len(text)


def _remedy(text: str, sql: str) -> str:
    if (unknown := _UNKNOWN_COLUMN.search(text)) and (columns := _named_columns(sql)):
        return f"{_meant(unknown[1], columns)}The columns are: {', '.join(columns)}."
    tables = [*TABLES, *VIEWS]
    if unknown := _UNKNOWN_TABLE.search(text):
        return f"{_meant(unknown[1], tables)}The tables are: {', '.join(tables)}."
    if found := _CANDIDATES.search(text):
        return f"{' '.join(found[0].split()).rstrip('.?')}?"
    return f"The tables are: {', '.join(tables)}."


def _named_columns(sql: str) -> list[str]:
    """List the columns of the tables and views that a question names, each once."""
    words = set(re.findall(r"[a-z_]+", sql.lower()))
    columns = [table.columns for table in TABLES.values() if table.name in words]
    columns += [view.columns for view in VIEWS.values() if view.name in words]
    return list(dict.fromkeys(column.name for own in columns for column in own))


def _meant(word: str, names: list[str]) -> str:
    near = difflib.get_close_matches(word.lower(), names, n=1, cutoff=LEAST_LIKENESS)
    return f"Did you mean {near[0]!r}? " if near else ""
