"""JSON within bounds: what Python's parser reads is read alike, what would hurt is one error."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.errors import DatasetError, InputError, UnfinishedInputError
from coder_core.storage.bounded_json import MAX_DIGITS, MAX_JSON_DEPTH, read_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def refusal(content: bytes, error_class: type[InputError] = DatasetError, **options: object) -> str:
    with pytest.raises(error_class) as error:
        read_json(content, "x.json", error_class=DatasetError, **options)  # type: ignore[arg-type]
    assert error.value.place == "x.json"
    assert error.value.remedy
    assert len(str(error.value)) < 400
    return str(error.value)


@given(VALUES, st.booleans(), st.sampled_from([b"", b"\xef\xbb\xbf"]))
def test_json_is_read_as_python_reads_it(value: object, is_ascii: bool, mark: bytes) -> None:
    content = mark + json.dumps(value, ensure_ascii=is_ascii).encode()
    assert read_json(content, "x.json") == value


@given(VALUES, st.data())
def test_half_of_a_document_is_unfinished_or_no_json(value: object, data: st.DataObject) -> None:
    content = json.dumps({"key": [value, "end"]}).encode()
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    with pytest.raises(InputError) as error:
        read_json(cut, "x.json", unfinished_class=UnfinishedInputError)
    if cut.endswith((b"[", b",", b":", b"{")):
        assert isinstance(error.value, UnfinishedInputError)


@pytest.mark.parametrize("content", [b"", b"[", b'["a', b'["a"', b'["a",', b'{"a": [1, 2', b'{"a\\"', b'["\\u12'])
def test_what_ends_too_early_is_told_from_what_is_wrong(content: bytes) -> None:
    refusal(content, UnfinishedInputError, unfinished_class=UnfinishedInputError)
    with pytest.raises(DatasetError):
        read_json(content, "x.json", error_class=DatasetError)


@pytest.mark.parametrize("content", [b"]", b"[}", b'["a" "b"]', b"[1,]", b"{1: 2}", b"nonsense", b"[1] [2]", b"['a']"])
def test_what_is_wrong_is_never_unfinished(content: bytes) -> None:
    with pytest.raises(InputError) as error:
        read_json(content, "x.json", unfinished_class=UnfinishedInputError)
    assert not isinstance(error.value, UnfinishedInputError)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[" * 100_000 + b"]" * 100_000, f"nested deeper than {MAX_JSON_DEPTH} levels"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested deeper"),
        (b"[" * 100_000, "nested deeper"),
        (b"[{}" * 40 + b"]" * 40, "nested deeper"),
        (b"[" + b"1" * 4_000 + b"]", "an integer of 4000 digits, more than 19"),
        (b"[-" + b"1" * 5_000 + b"]", "an integer of 5001 digits"),
        (b"[1e999]", "the number 1e999 is not finite"),
        (b"[NaN]", "NaN is no number of JSON"),
        (b"[-Infinity]", "-Infinity is no number"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' is there twice"),
        (b'["\\ud83d"]', "half of a surrogate pair"),
        ("[1]".encode("utf-16"), "UTF-16"),
    ],
)
def test_what_would_hurt_is_one_error(content: bytes, told: str) -> None:
    assert told in refusal(content)


def test_depth_and_bytes_are_limits_of_the_caller() -> None:
    assert read_json(b"[[[]]]", "x", max_depth=3) == [[[]]]
    assert "deeper than 2" in refusal(b"[[[]]]", max_depth=2)
    assert read_json(b'["[[[[", "]]"]', "x", max_depth=1) == ["[[[[", "]]"]
    assert read_json(rb'["\"[[[", "\\"]', "x", max_depth=1) == ['"[[[', "\\"]
    assert "it has 6 bytes, more than 5" in refusal(b"[[[]]]", max_bytes=5)


def test_numbers_of_sixty_four_bits_and_pairs_of_surrogates_are_whole() -> None:
    assert read_json(b"[-9223372036854775808]", "x") == [-(2**63)]
    assert len(str(2**63)) == MAX_DIGITS
    assert read_json(b'["\\ud83d\\ude00"]', "x") == ["\U0001f600"]


def test_a_repeated_key_among_many_is_found_quickly() -> None:
    keys = ", ".join(f'"{number}": 0' for number in range(200_000))
    assert "the key '7' is there twice" in refusal(f'{{{keys}, "7": 1}}'.encode())
