"""`PIVOT metrics ON metric`, which does not name the values that become columns: the values are asked for first.

DuckDB would make a type of the values that it finds, which is writing, and has no syntax tree of such a statement that
could be looked at. So the values are found by a question of their own, and written into the statement: `ON (metric) IN
('top1', 'top5')`. Both pass the guard like every other question, so what is cut wrongly here is refused and not run.
"""

from collections.abc import Callable
from typing import NamedTuple

import duckdb

from coder_core.errors import QueryError

MOST_VALUES = 1_000
"""Columns: a table that is wider shows nothing, and takes minutes to bind."""
_PIVOTS = frozenset({"PIVOT", "PIVOT_WIDER"})
_ENDS = frozenset({"USING", "GROUP", "ORDER", "LIMIT", "UNION", "EXCEPT", "INTERSECT"})
_MAIN = frozenset({"SELECT", "FROM", *_PIVOTS})

FindValues = Callable[[str], list[str]]
"""Answers a question whose rows hold one text."""


class _Token(NamedTuple):
    """A word or sign of SQL.

    Args:
        word: In upper case where it is bare, else empty.
        start: Its first byte.
        depth: Of the parentheses around it; an opening one belongs to what is around it.
    """

    word: str
    start: int
    depth: int


class _Pivot(NamedTuple):
    """A PIVOT that names no values.

    Args:
        start: Position of its word among the tokens.
        on: Position of ON.
        end: Position after the last token of ON.
    """

    start: int
    on: int
    end: int


def name_pivot_values(sql: str, find_values: FindValues) -> str:
    """Write the values that become columns into every PIVOT that does not name them.

    Args:
        sql: Any text; one without such a PIVOT is returned as it is.
        find_values: Asked for the values of each expression: it must guard the question.

    Raises:
        QueryError: An expression has no values, or too many.
    """
    for _ in range(sql.upper().count("PIVOT")):
        tokens = _tokens(sql)
        pivots = [pivot for at in range(len(tokens)) if (pivot := _pivot(tokens, at))]
        if not pivots:
            break
        inner = max(pivots, key=lambda pivot: (tokens[pivot.start].depth, -pivot.start))
        sql = _named(sql, tokens, inner, find_values)
    return sql


def _tokens(sql: str) -> list[_Token]:
    content, found, depth = sql.encode(), list[_Token](), 0
    raw = duckdb.tokenize(sql)
    ends = [start for start, _ in raw[1:]] + [len(content)]
    for (start, kind), end in zip(raw, ends, strict=True):
        if kind == duckdb.token_type.comment:
            continue
        text = content[start:end].decode().strip()
        depth -= text == ")"
        is_bare = kind in {duckdb.token_type.keyword, duckdb.token_type.identifier, duckdb.token_type.operator}
        found.append(_Token(text.upper() if is_bare and not text.startswith('"') else "", start, depth))
        depth += text == "("
    return found


def _pivot(tokens: list[_Token], at: int) -> _Pivot | None:
    """Take apart the statement `PIVOT table ON ...` at a position; None for everything else."""
    depth = tokens[at].depth
    if tokens[at].word not in _PIVOTS:
        return None
    own = [place for place in range(at + 1, _close(tokens, at)) if tokens[place].depth == depth]
    on = next((place for place in own if tokens[place].word in {"ON", *_ENDS - {"USING"}}), None)
    if on is None or tokens[on].word != "ON":
        return None
    end = next((place for place in own if place > on and tokens[place].word in _ENDS), _close(tokens, at))
    pivot = _Pivot(at, on, end)
    return pivot if any(item and not _is_named(tokens, item) for item in _items(tokens, pivot)) else None


def _close(tokens: list[_Token], at: int) -> int:
    """The position of the parenthesis, or of the semicolon, or of the end, that closes what a token stands in."""
    depth = tokens[at].depth
    closing = (
        place for place in range(at + 1, len(tokens)) if tokens[place].depth < depth or tokens[place].word == ";"
    )
    return next(closing, len(tokens))


def _items(tokens: list[_Token], pivot: _Pivot) -> list[range]:
    """Cut what stands after ON at its commas."""
    depth = tokens[pivot.on].depth
    inside = range(pivot.on + 1, pivot.end)
    commas = [place for place in inside if tokens[place].word == "," and tokens[place].depth == depth]
    starts = [pivot.on + 1, *(comma + 1 for comma in commas)]
    return [range(start, end) for start, end in zip(starts, [*commas, pivot.end], strict=True)]


def _is_named(tokens: list[_Token], item: range) -> bool:
    return any(tokens[place].word == "IN" and tokens[place].depth == tokens[item.start].depth for place in item)


def _named(sql: str, tokens: list[_Token], pivot: _Pivot, find_values: FindValues) -> str:
    content = sql.encode()
    before = _common_tables(tokens, pivot.start)
    source = _text(content, tokens, pivot.start + 1, pivot.on)
    items = []
    for item in _items(tokens, pivot):
        expression = _text(content, tokens, item.start, item.stop)
        if item and not _is_named(tokens, item):
            values = _values(_text(content, tokens, *before), source, expression, find_values)
            expression = f"({expression}\n) IN ({', '.join(map(_quoted, values))})"
        items.append(expression)
    head = content[: tokens[pivot.on].start].decode()
    tail = content[tokens[pivot.end].start :].decode() if pivot.end < len(tokens) else ""
    joined = ",\n".join(items)  # (a line may end in a comment)
    return f"{head}ON {joined}\n{tail}"


def _common_tables(tokens: list[_Token], at: int) -> tuple[int, int]:
    """The `WITH ... AS (...)` that a PIVOT sees, of the whole statement or of its own parentheses."""
    opening = next((place for place in range(at - 1, -1, -1) if tokens[place].depth < tokens[at].depth), -1)
    for first, last in ((opening + 1, at), (0, opening)):
        if first < last and tokens[first].word == "WITH":
            level = [place for place in range(first, last) if tokens[place].depth == tokens[first].depth]
            main = next((place for place in level if tokens[place].word in _MAIN), None)
            closed = [place for place in level if tokens[place].word == ")"]
            return first, main if main is not None else closed[-1] + 1 if closed else first
    return 0, 0


def _text(content: bytes, tokens: list[_Token], first: int, last: int) -> str:
    start = tokens[first].start if first < len(tokens) else len(content)
    end = tokens[last].start if last < len(tokens) else len(content)
    return content[start:end].decode().strip()


def _values(common_tables: str, source: str, expression: str, find_values: FindValues) -> list[str]:
    found = f"SELECT DISTINCT ({expression}\n)::VARCHAR AS value FROM {source}\n"  # noqa: S608 (the guard looks at it)
    sql = f"{common_tables}\nFROM ({found}) WHERE value IS NOT NULL ORDER BY value LIMIT {MOST_VALUES + 1}"
    values = find_values(sql)
    if not values:
        raise QueryError(f"PIVOT finds no value of {expression}.", "SQL", "No row that it reads has one.")
    if len(values) > MOST_VALUES:
        problem = f"PIVOT would make more than {MOST_VALUES:,} columns of {expression}."
        raise QueryError(problem, "SQL", "Name the values: PIVOT metrics ON metric IN ('top1', 'top5') ...")
    return values


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
