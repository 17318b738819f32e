"""YAML in which every scalar is text, within bounds."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coder_core.errors import DatasetError, InputError
from coder_core.storage.yaml_text import read_yaml_text

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)


@given(st.lists(TEXTS | st.lists(TEXTS, max_size=3) | st.dictionaries(TEXTS, TEXTS, max_size=3), max_size=5))
def test_what_was_written_is_read(value: object) -> None:
    assert read_yaml_text(yaml.safe_dump(value, allow_unicode=True), "x") == value


def test_no_scalar_is_anything_but_text() -> None:
    text = "[no, 007, 1e3, 12:30, 2024-01-01, null, ~, .nan, 0x1F, true, !!int 3]"
    expected = ["no", "007", "1e3", "12:30", "2024-01-01", "null", "~", ".nan", "0x1F", "true", "3"]
    assert read_yaml_text(text, "x") == expected
    assert read_yaml_text("", "x") is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 10_000, "nest"),
        ("a: 1\na: 2\n", "the key 'a' is there twice, line 2"),
        ("a: [1\n", "not YAML"),
        ("--- a\n--- b\n", "not YAML"),
        ("? [a]\n: b\n", "a key is no text"),
        ("&a [*a]\n", "lead into themselves"),
        pytest.param(
            "a: &a ["
            + "x, " * 9
            + "x]\n"
            + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [" + f"*{chr(97 + n)}, " * 10 + "]\n" for n in range(9)),
            "aliases repeat",
            marks=pytest.mark.slow,
        ),
        ("%YAML 9\n", "not YAML"),
        ("a\0b", "not YAML"),
    ],
)
def test_what_would_hurt_is_one_error(text: str, told: str) -> None:
    with pytest.raises(DatasetError, match=told) as error:
        read_yaml_text(text, "x.yaml", DatasetError)
    assert error.value.place == "x.yaml"
    with pytest.raises(InputError):
        read_yaml_text(text, "x.yaml")
