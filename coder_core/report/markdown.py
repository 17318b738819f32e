"""Markdown whose parts are data: Prefect's pages render Markdown, and a class name must not become a link or a picture.

Prefect 3.8's page (v2, the default) shows table artifacts as text and Markdown artifacts as Markdown; its older page
(v1) renders the cells of table artifacts as Markdown, too. A picture in a name would call a foreign server from the
browser of whoever looks. So tables that hold names are Markdown artifacts with every name escaped, which both pages
show right (read in the scripts that Prefect 3.8.8 ships, and v2's renderer was run on such a table).
"""

import base64
import json
import re
import string
from collections.abc import Sequence

from coder_core.results.query_result import QueryResult
from coder_core.results.render import plain_value, printable

_ESCAPES = str.maketrans({char: f"\\{char}" for char in string.punctuation})
"""Any ASCII punctuation may stand behind a backslash (CommonMark 0.31, section 2.4)."""

_LINK_MARKS = re.compile(r"(?<=https:)(?=//)|(?<=http:)(?=//)|(?<=www)(?=\.)|(?<=@)", re.IGNORECASE)
_NOTHING = "<!-- -->"
"""Page v2 makes links of bare addresses after the escapes are read; a comment inside an address keeps it text."""


def escape_markdown(text: str) -> str:
    """Write a text so that Markdown shows exactly its characters, control characters as their escapes, in one line."""
    return _NOTHING.join(part.translate(_ESCAPES) for part in _LINK_MARKS.split(printable(text)))


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a table; numbers stand right, every cell is escaped, None is empty.

    Args:
        headings: One per column.
        rows: As long as the headings.
    """
    is_number = [
        bool(rows) and all(isinstance(row[at], int | float | None) for row in rows) for at in range(len(headings))
    ]
    rule = ["---:" if right else "---" for right in is_number]
    cells = [
        [escape_markdown(heading) for heading in headings],
        rule,
        *([_cell(value) for value in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def answer_table(result: QueryResult) -> str:
    """Write the answer of a query as a table of Markdown; lists and maps are JSON, every cell is escaped."""
    rows = [[_answer_value(value) for value in row] for row in result.rows]
    return markdown_table(result.columns, rows)


def _answer_value(value: object) -> object:
    plain = plain_value(value)
    return json.dumps(plain, ensure_ascii=False) if isinstance(plain, list | dict) else plain


def embed_svg(svg: bytes, alt: str) -> str:
    """A picture inside the Markdown itself: both pages take `data:` for images, and an image runs no script."""
    return f"![{escape_markdown(alt)}](data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')})"


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return escape_markdown(f"{value:.6g}")
        case _:
            return escape_markdown(str(value))
