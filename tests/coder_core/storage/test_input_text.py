"""Text of users: UTF-8 is read, every other encoding is named in one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.errors import DatasetError, InputError
from coder_core.storage.input_text import decode_text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")))
def test_utf_8_comes_back_with_and_without_a_mark(text: str) -> None:
    assert decode_text(text.encode(), "x") == decode_text(b"\xef\xbb\xbf" + text.encode(), "x") == text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("caf\u00e9\n".encode("utf-16"), "not UTF-8 text but UTF-16"),
        ("caf\u00e9\n".encode("utf-16-be"), "UTF-16 without a byte-order mark"),
        ("cat\n".encode("utf-16-le"), "UTF-16 without a byte-order mark"),
        ("cat\n".encode("utf-32"), "UTF-32"),
        (b"cat\ncaf\xe9\n", r"line 2, byte 0xe9; perhaps Windows-1252"),
        (b"\x89PNG\r\n", "line 1, byte 0x89"),
        (b"cat\n\0dog\n", "line 2 holds a NUL byte"),
        (b"\xed\xa0\x80", "not UTF-8"),
    ],
)
def test_other_encodings_are_told_in_one_line(content: bytes, told: str) -> None:
    with pytest.raises(DatasetError, match=told) as error:
        decode_text(content, "x.txt", DatasetError)
    assert error.value.place == "x.txt"
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="Save it as UTF-8"):
        decode_text(content, "x.txt")
