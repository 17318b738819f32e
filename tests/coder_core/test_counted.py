"""A number and its noun."""

import pytest

from coder_core.counted import counted


@pytest.mark.parametrize(
    ("number", "words", "expected"),
    [
        (1, ("image",), "1 image"),
        (0, ("image",), "0 images"),
        (2, ("class",), "2 classes"),
        (3, ("bad answer",), "3 bad answers"),
        (2, ("entry",), "2 entries"),
        (2, ("day",), "2 days"),
        (1, ("image is", "images are"), "1 image is"),
        (5, ("image is", "images are"), "5 images are"),
    ],
)
def test_the_noun_goes_with_the_number(number: int, words: tuple[str, ...], expected: str) -> None:
    assert counted(number, *words) == expected


def test_thousands_may_have_commas() -> None:
    assert (counted(12_345, "row", form=","), counted(12_345, "row")) == ("12,345 rows", "12345 rows")
