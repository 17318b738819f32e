"""Keys of artifacts: what Prefect accepts, stable from run to run, and never shared by two evaluations."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.step_pages import artifact_key

NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
"""As `EvalSpec.name` allows."""


@given(NAMES)
@settings(max_examples=50)
def test_prefect_accepts_every_key(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+", artifact_key(name, "metrics"))


@pytest.mark.parametrize(("name", "key"), [("flags", "flags-metrics"), ("dtd-features", "dtd-features-metrics")])
def test_a_plain_name_is_the_key(name: str, key: str) -> None:
    assert artifact_key(name, "metrics") == key


def test_names_that_differ_in_what_a_key_cannot_hold_stay_apart() -> None:
    names = ["a-b", "a_b", "a.b", "A-b", "a--b", "a-b-", "A_B"]
    assert len({artifact_key(name, "metrics") for name in names}) == len(names)
    assert artifact_key("A_B", "metrics") == "a-b-" + artifact_key("A_B", "metrics").split("-")[2] + "-metrics"
