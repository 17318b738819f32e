"""Markdown from hostile names, read back by a Markdown parser that knows nothing of ours."""

import base64
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from coder_core.report.markdown import embed_svg, escape_markdown, markdown_table
from coder_core.results.render import printable

NOTHING = ("html_inline", "<!-- -->")
HOSTILE = [
    "![beacon](http://evil.example/x.png)",
    "[x](javascript:alert(1))",
    "<img src=x onerror=alert(1)>",
    "a | b \\| c",
    "`code` **bold** _it_ ~~no~~",
    "one\ntwo\r\n# three\x1b[31m",
    "&lt;script&gt; &amp;",
    "http://auto.example www.auto.example a@b.example",
    "\\",
    "",
    "- [ ] item",
    "1. <!-- ",
]


def cells(markdown: str) -> list[list[str]]:
    """The texts of a rendered table, row by row; anything in a cell but text fails."""
    rows: list[list[str]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline":
            parts = [child for child in token.children or () if (child.type, child.content) != NOTHING]
            assert {child.type for child in parts} <= {"text", "text_special"}
            rows[-1].append("".join(part.content for part in parts))
    return rows


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_shown_as_it_is(name: str) -> None:
    markdown = markdown_table(["class", "n"], [[name, 3], ["wren", 4]])
    assert cells(markdown) == [["class", "n"], [printable(name).strip(), "3"], ["wren", "4"]]


@given(st.text(min_size=1))
@settings(max_examples=50)
def test_any_text_stays_text(text: str) -> None:
    (row,) = cells(markdown_table([f"x{text}x"], []))
    assert row == [f"x{printable(text)}x"]


@pytest.mark.parametrize("name", ["http://a.example", "HTTPS://a.example", "WWW.a.example", "a@b.example"])
def test_what_github_would_link_by_itself_is_broken_up(name: str) -> None:
    """Page v2 looks for addresses in each text node (micromark's GFM autolinks, section 6.9 of the GFM spec)."""
    (block,) = [token for token in MarkdownIt("commonmark").parse(escape_markdown(name)) if token.type == "inline"]
    nodes = "".join("\n" if child.type == "html_inline" else child.content for child in block.children or ())
    assert nodes.replace("\n", "") == name
    assert not re.search(r"(?i)https?://|www\.|\w@\w", nodes)


def test_numbers_stand_right_and_nothing_is_empty() -> None:
    table = markdown_table(["name", "share", "is ok"], [["a", 0.123456789, True], ["b", None, False]])
    assert table.splitlines()[1] == "| --- | ---: | ---: |"
    assert cells(table)[1:] == [["a", "0.123457", "true"], ["b", "", "false"]]


def test_a_picture_is_the_whole_picture() -> None:
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'></svg>"
    parser = MarkdownIt()
    parser.validateLink = lambda _url: True  # type: ignore[method-assign]  # its own list of pictures has no SVG
    (block,) = [token for token in parser.parse(embed_svg(svg, "a ] b")) if token.type == "inline"]
    (image,) = block.children or ()
    assert (image.type, "".join(child.content for child in image.children or ())) == ("image", "a ] b")
    kind, _, content = str(image.attrs["src"]).partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(content) == svg
