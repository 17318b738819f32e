"""Text and CSV lists as people and programs leave them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.class_source.entries import build_class_list
from coder_core.class_source.text_formats import parse_csv, parse_lines
from coder_core.errors import InputError, UnfinishedInputError

HOSTILE = ["../../etc/passwd", "a'; DROP TABLE texts; --", "<b>x</b>", "bell\x07", "{{ event }}", "N/A", "#1", "1,5"]


def names(content: bytes) -> list[str]:
    return [entry.name for entry in parse_lines(content, "list.txt")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"cat\ndog\n", ["cat", "dog"]),
        (b"\xef\xbb\xbfcat\r\ndog\r\n", ["cat", "dog"]),
        (b"cat\rdog\r", ["cat", "dog"]),
        (b"\n  cat \n\n\tdog\n\n", ["cat", "dog"]),
        ("zorro\u2028x\x0by\n".encode(), ["zorro\u2028x\x0by"]),
        (b"", []),
        (b"\n\n", []),
    ],
)
def test_lines(content: bytes, expected: list[str]) -> None:
    assert names(content) == expected


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]), min_size=1), max_size=5))
def test_what_was_written_is_read(written: list[str]) -> None:
    assert names("".join(f"{name}\n" for name in written).encode()) == written


def test_hostile_names_are_data() -> None:
    assert names("".join(f"{name}\n" for name in HOSTILE).encode()) == HOSTILE
    rows = ["class_name", *('"' + name.replace('"', '""') + '"' for name in HOSTILE)]
    assert [entry.name for entry in parse_csv("\n".join([*rows, ""]).encode(), "list.csv")] == HOSTILE


@pytest.mark.parametrize("parse", [parse_lines, parse_csv])
def test_a_last_line_without_an_end_is_unfinished(parse) -> None:
    with pytest.raises(UnfinishedInputError, match=r"list: the last line has no line end.*end its last line"):
        parse(b"class_name\ncat\ndo", "list")


@pytest.mark.parametrize("parse", [parse_lines, parse_csv])
@pytest.mark.parametrize("content", [b"caf\xe9\n", "cat\n".encode("utf-16"), b"\xff\xfe\n"])
def test_what_is_not_utf_8_is_refused(parse, content: bytes) -> None:
    with pytest.raises(InputError, match=r"list: this is not UTF-8 text .* Save it as UTF-8"):
        parse(content, "list")


def test_csv_columns_in_any_order_beside_others() -> None:
    content = b'note,class_id,class_name\nx,7,cat\n,,\n"a\nb",8," two, words "\n'
    found = parse_csv(content, "list.csv")
    assert [(entry.name, entry.stable_id, entry.place) for entry in found] == [
        ("cat", "7", "line 2"),
        ("two, words", "8", "line 4"),
    ]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"class_id,class_name\n1,cat\n2\n", "line 3"),
        (b'class_id,class_name\n1,cat\n2,"do\n', "line 3"),
    ],
    ids=["ragged", "open quote"],
)
def test_an_unfinished_last_row(content: bytes, place: str) -> None:
    with pytest.raises(UnfinishedInputError, match=place):
        parse_csv(content, "list.csv")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"name\ncat\n", r"no column 'class_name', but 'name'"),
        (b"class_id,class_name\n2\n1,cat\n", r"line 2: the row has 1 fields, the header 2"),
        (b"class_name\ncat,fat\ndog\n", r"line 2: the row has 2 fields, the header 1.*quotes"),
        (b"class_name\ncat,fat\n", r"line 2: the row has 2 fields, the header 1.*quotes"),
    ],
)
def test_a_wrong_csv_is_told_apart_from_an_unfinished_one(content: bytes, told: str) -> None:
    with pytest.raises(InputError, match=told) as refused:
        parse_csv(content, "list.csv")
    assert not isinstance(refused.value, UnfinishedInputError)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"class_name\n", r"there is no class in it"),
        (b"class_name\ncat\ndog\ncat\n", r"the class 'cat' is there twice: line 2 and line 4"),
        (b"class_id,class_name\n1,cat\n1,dog\n", r"class_id '1' is there twice: line 2 and line 3"),
        (b"class_id,class_name\n1,cat\n,dog\n", r"line 3: the class 'dog' has no class_id"),
        (b"class_id,class_name\n1,__\n", r"line 2: the class name '__' is blank"),
    ],
)
def test_what_is_no_class_list_is_refused(content: bytes, told: str) -> None:
    with pytest.raises(InputError, match=told):
        build_class_list(parse_csv(content, "list.csv"), "list.csv")
