import json
import math
from enum import Enum, StrEnum
from typing import Annotated

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from coder_core import fingerprint
from coder_core.fingerprint import (
    NotIdentity,
    canonical_json,
    content_hash,
    differences,
    key_of,
    key_of_columns,
)
from coder_core.image_ids import ImageIds
from coder_core.specs import Runtime

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


class Colour(Enum):
    RED = "red"


class Kind(StrEnum):
    NAME = "name"


class Spec(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    seed: int = 1
    kinds: object = ()


def test_a_key_is_the_sha256_of_sorted_ascii_json_without_spaces() -> None:
    value = {"b": [1, 1.0, True, None], "a": "ä"}
    assert canonical_json(value) == '{"a":"\\u00e4","b":[1,1.0,true,null]}'
    assert key_of(value) == content_hash(canonical_json(value).encode())
    assert len(key_of(value)) == 64


@pytest.mark.parametrize(
    ("value", "same"),
    [
        ((1, 2), [1, 2]),
        (Colour.RED, "red"),
        ({"kind": Kind.NAME}, {"kind": "name"}),
        (Spec(kinds=("a",)), {"seed": 1, "kinds": ["a"]}),
        ({"spec": Spec()}, {"spec": {"kinds": [], "seed": 1}}),
    ],
)
def test_other_spellings_of_a_value_have_its_key(value: object, same: object) -> None:
    assert key_of(value) == key_of(same)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": {1, 2}}, "value.a"),
        ([frozenset()], "value[0]"),
        (math.nan, "value"),
        ({"a": [1, math.inf]}, "value.a[1]"),
        (b"raw", "value"),
        ({"f": len}, "value.f"),
        ([object()], "value[0]"),
        ({1: "a"}, "value"),
        (Spec(kinds={1}), "value.kinds"),
        (Spec(kinds=[{"x": {1}}]), "value.kinds[0].x"),
        ([Spec(kinds=math.nan)], "value[0].kinds"),
        (Spec(kinds=len), "value.kinds"),
    ],
)
def test_what_has_no_one_text_is_refused_with_the_path_to_it(value: object, path: str) -> None:
    with pytest.raises(TypeError) as refusal:
        canonical_json(value)
    assert str(refusal.value).startswith(f"{path}: ")


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 9])
def test_long_columns_have_the_key_of_the_whole(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "PIECE_ROWS", 4)
    texts, numbers = [f'"é {row}' for row in range(rows)], np.arange(rows) - 2
    mixed = [*texts, *[None, True, 1, 1.5, {"a": [1]}][:rows]]
    expected = key_of([texts, numbers.tolist(), (3, 4), "name", None, mixed, {"b": 1}])
    assert key_of_columns(ImageIds.of(texts), numbers, (3, 4), "name", None, mixed, {"b": 1}) == expected


@given(JSON)
def test_a_value_and_its_round_trip_have_one_key(value: object) -> None:
    assert key_of(json.loads(canonical_json(value))) == key_of(value)


@given(JSON, JSON)
def test_keys_differ_exactly_when_a_difference_is_named(old: object, new: object) -> None:
    assert (key_of(old) != key_of(new)) == bool(differences(old, new))


def test_a_difference_names_the_field_and_both_values() -> None:
    old = {"texts": {"kinds": ["name", "attribute"], "seed": 1}}
    new = {"texts": {"kinds": ["name", "synonym"], "seed": 1.0, "limit": 5}}
    assert differences(old, new) == [
        'texts.kinds[1]: was "attribute", now "synonym"',
        "texts.limit: was absent, now 5",
        "texts.seed: was 1, now 1.0",
    ]
    assert differences(new, new) == []


def test_a_long_text_is_cut_to_where_it_changed() -> None:
    old = "x" * 500 + "lemur" + "y" * 500
    (shown,) = differences({"prompt": old}, {"prompt": old.replace("lemur", "koala")})
    assert "lemur" in shown
    assert "koala" in shown
    assert len(shown) < 300


def test_settings_from_the_environment_are_no_part_of_an_identity() -> None:
    with pytest.raises(TypeError, match=r"value\.runtime: Runtime comes from the environment"):
        canonical_json({"runtime": Runtime()})


class File(BaseModel):
    path: Annotated[str, NotIdentity("moved, it is the same file")]
    content: str = "abc"


class Counted:
    def identity(self) -> str:
        return "what I count by"


def test_a_field_that_is_no_identity_changes_no_key_however_deep() -> None:
    assert key_of([File(path="a")]) == key_of([File(path="b")]) == key_of([{"content": "abc"}])
    assert key_of(File(path="a", content="x")) != key_of(File(path="a"))


def test_leaving_a_field_out_needs_a_reason() -> None:
    with pytest.raises(TypeError, match="reason"):
        NotIdentity(" ")


def test_what_has_an_identity_stands_for_it() -> None:
    assert canonical_json({"a": Counted()}) == '{"a":"what I count by"}'
