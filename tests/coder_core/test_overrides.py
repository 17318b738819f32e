"""`--set key.path=value`: what it changes, and what it refuses."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.config import apply_override, load_spec
from coder_core.errors import ConfigError

from .test_config import FLAGS, SMALLEST, attempt, refusal


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("name=b", lambda spec: spec.name == "b"),
        ("name='1'", lambda spec: spec.name == "1"),
        ("dataset.seed=3", lambda spec: spec.dataset.seed == 3),
        (" dataset . seed =3", lambda spec: spec.dataset.seed == 3),
        ("dataset={kind: flags, seed: 4}", lambda spec: spec.dataset.seed == 4),
        ('dataset={"kind": "flags", "seed": 4}', lambda spec: spec.dataset.seed == 4),
        ("methods.0=clip_ensemble", lambda spec: spec.methods == ("clip_ensemble",)),
        ("methods=[clip_ensemble, clip]", lambda spec: spec.methods == ("clip_ensemble", "clip")),
        ("matrix.write=true", lambda spec: spec.matrix.write),
        ("texts.bank=", lambda spec: spec.texts.bank is None),
        ("texts.domains.x.class_name=a {class}=b", lambda spec: spec.texts.domains["x"]["class_name"] == "a {class}=b"),
    ],
)
def test_an_override_sets_one_value(override, read):
    assert read(load_spec(SMALLEST, [override]))
    assert SMALLEST["dataset"] == FLAGS
    assert SMALLEST["methods"] == ["clip"]


def test_later_overrides_win():
    assert load_spec(SMALLEST, ["dataset.seed=3", "dataset.seed=4"]).dataset.seed == 4


def test_an_override_reaches_into_a_list():
    settings = {"dataset": {"kind": "features", "path": "/i.npz"}}
    settings["encoder"] = {"kind": "precomputed", "texts": [{"path": "/a.npz"}, {"path": "/b.npz"}]}
    spec = load_spec({**SMALLEST, **settings}, ["encoder.texts.1.path=/c.npz"])
    assert [file.path for file in spec.encoder.texts] == ["/a.npz", "/c.npz"]


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("dataset.seed", "expected key.path=value"),
        ("=3", "expected key.path=value"),
        ("dataset..seed=3", "expected key.path=value"),
        ("name=[", "no YAML value"),
        ("name=2024-13-01", "no YAML value"),
        ("name=" + "1" * 5000, "no YAML value"),
        ("methods.1=clip", "1 items, '1' is none"),
        ("methods.-1=clip", "'-1' is none"),
        ("methods.x=clip", "'x' is none"),
        ("methods.\N{SUPERSCRIPT TWO}=clip", "is none"),
        ("name.x=3", "'a' has no key 'x'"),
    ],
)
def test_an_override_that_cannot_be_is_refused(override, problem):
    error = refusal(SMALLEST, [override])
    assert error.place.startswith("--set")
    assert problem in error.problem


def test_an_override_with_an_unknown_key_is_an_unknown_key():
    assert "Did you mean 'seed'?" in refusal(SMALLEST, ["dataset.seeed=3"]).remedy


@given(path=st.text(st.sampled_from("ab.019 "), max_size=8), value=st.text(string.printable, max_size=12))
def test_any_override_is_applied_or_refused(path, value):
    settings = {"a": {"b": [1, {"a": 2}]}, "b": None}
    outcome = attempt(lambda: apply_override(settings, f"{path}={value}"))
    assert outcome.place.startswith("--set") if isinstance(outcome, ConfigError) else set(settings) <= set(outcome)
    assert settings == {"a": {"b": [1, {"a": 2}]}, "b": None}
