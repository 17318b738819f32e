"""Text and CSV lists as people and programs leave them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.class_source.entries import build_class_list
from coder_core.class_source.text_formats import parse_csv, parse_lines, parse_tsv
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
        (b"# birds\n#\n#\tof Europe\nwren\n#1\n#owl\nC# minor\n", ["wren", "#1", "#owl", "C# minor"]),
        (b"[x]\ny\n", ["[x]", "y"]),
        (b"tench, Tinca tinca\ngoldfish\n", ["tench, Tinca tinca", "goldfish"]),
    ],
)
def test_lines(content: bytes, expected: list[str]) -> None:
    assert names(content) == expected


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]), min_size=1), max_size=5))
def test_what_was_written_is_read(written: list[str]) -> None:
    written = [name for name in written if name not in ("#", "\ufeff") and name[0] not in "[{(]})" and name[-1] != ","]
    assert names("".join(f"{name}\n" for name in written).encode()) == written


def test_hostile_names_are_data() -> None:
    assert names("".join(f"{name}\n" for name in HOSTILE).encode()) == HOSTILE
    rows = ["class_name", *('"' + name.replace('"', '""') + '"' for name in HOSTILE)]
    assert [entry.name for entry in parse_csv("\n".join([*rows, ""]).encode(), "list.csv")] == HOSTILE


@pytest.mark.parametrize("parse", [parse_lines, parse_csv, parse_tsv])
def test_a_last_line_without_an_end_is_unfinished(parse) -> None:
    with pytest.raises(UnfinishedInputError, match=r"list: the last line has no line end.*end its last line"):
        parse(b"class_name\ncat\ndo", "list")


@pytest.mark.parametrize("parse", [parse_lines, parse_csv, parse_tsv])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"caf\xe9\n", r"not UTF-8 text \(line 1, byte 0xe9; perhaps Windows-1252\)"),
        ("cat\n".encode("utf-16"), "not UTF-8 text but UTF-16"),
        (b"\xff\xfe\n", "UTF-16"),
        (b"cat\0\n", "NUL"),
    ],
)
def test_what_is_not_utf_8_is_refused(parse, content: bytes, told: str) -> None:
    with pytest.raises(InputError, match=f"list: .*{told}.* Save it as UTF-8"):
        parse(content, "list")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'["cat", "dog"]\n', "a list in brackets"),
        (b'[\n"cat",\n"dog"\n]\n', "a list in brackets"),
        (b"['cat', 'dog']\n", "a list in brackets"),
        (b"{0: 'tench, Tinca tinca',\n 1: 'goldfish'}\n", "a list in brackets"),
        (b"<!DOCTYPE html>\n<html>\n", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a git-LFS pointer"),
        (b"n01440764\ttench\nn01443537\tgoldfish\n", "a table with tabs"),
        (b"n01440764 tench\nn01443537 goldfish\n", "ids before names"),
        (b"# UCF101\n1 ApplyEyeMakeup\n2 Archery\n3 BabyCrawling\n", "ids before names"),
        (b"0: tench\n1: goldfish\n2: shark\n", "ids before names"),
        (b'"tench",\n"goldfish",\n', "a part of a program"),
        (b'classes = [\n"tench",\n"goldfish"\n]\n', "a part of a program"),
        (b"- tench\n- goldfish\n", "a list with marks"),
        (b"class_id,class_name\n1,cat\n", "a table with commas"),
    ],
)
def test_a_list_in_another_format_is_no_list_of_lines(content: bytes, told: str) -> None:
    with pytest.raises(InputError, match=f"list.txt: this is not one class per line but {told}"):
        parse_lines(content, "list.txt")


def test_tsv_is_csv_with_tabs() -> None:
    found = parse_tsv(b'class_id\tclass_name\nn01\ttench, Tinca tinca\n007\t"NA"\n', "list.tsv")
    assert [(entry.name, entry.stable_id) for entry in found] == [("tench, Tinca tinca", "n01"), ("NA", "007")]


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
        (b"class_name;class_id\ncat;1\n", r"no column 'class_name', but 'class_name;class_id'.*separate them"),
        (b"class_name,class_id,class_name\ncat,1,dog\n", r"the column 'class_name' is there twice"),
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
        (b"class_name\n" + b"x" * 1_001 + b"\n", r"line 2: 'xxx.* has 1001 characters, more than 1000"),
        (b"class_name\nCat\ndog\ncat\n", r"classes 'Cat' and 'cat' differ in spelling only: line 2 and line 4"),
        (b"class_name\nred_kite\nRed-Kite\n", r"'red_kite' and 'Red-Kite' differ in spelling only"),
        ("class_name\ncaf\u00e9\ncafe\u0301\n".encode(), r"the class 'caf\u00e9' is there twice: line 2 and line 3"),
        ("class_name\nfile\n\ufb01le\n".encode(), r"'file' and '\\ufb01le' differ in spelling only"),
    ],
)
def test_what_is_no_class_list_is_refused(content: bytes, told: str) -> None:
    with pytest.raises(InputError, match=told):
        build_class_list(parse_csv(content, "list.csv"), "list.csv")


def test_names_are_composed_and_without_marks_around_them() -> None:
    entries = parse_lines("cat\n\ufeffcafe\u0301\u200b\n".encode(), "list.txt")
    assert build_class_list(entries, "list.txt").names == ("cat", "caf\u00e9")


@pytest.mark.parametrize(
    "names", [["1 euro", "2 euro", "5 euro"], ["0 a", "1 b"], ["7-up", "99 flake"], ["10 a", "11 b", "12 c"]]
)
def test_names_may_begin_with_numbers(names: list[str]) -> None:
    assert [entry.name for entry in parse_lines("".join(f"{name}\n" for name in names).encode(), "list")] == names
