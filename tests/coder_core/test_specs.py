"""What may be asked for: bounds, pairings, and the wall between `EvalSpec` and `Runtime`."""

import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from coder_core.atg.generator_spec import GeneratorSpec
from coder_core.fingerprint import key_of
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.method_texts import kinds_of_method
from coder_core.methods import METHODS, VARIANTS
from coder_core.spec_base import Spec
from coder_core.specs import DEFAULT_STORE, NEEDS_BANK, RERANK, EvalSpec, MethodName, Runtime
from coder_core.texts.kinds import DESCRIPTIVE_KINDS

FLAGS = {"kind": "flags"}
CLIP = {"kind": "open_clip", "checkpoint": "openai", "architecture": "ViT-B-32"}
FEATURES = {"kind": "features", "path": "images.npz"}
PRECOMPUTED = {"kind": "precomputed", "texts": [{"path": "texts.npz"}]}
SMALLEST = {"name": "a", "dataset": FLAGS, "encoder": CLIP, "methods": ["clip"]}


def all_specs(base=Spec):
    """Every kind of spec, at any depth of inheritance, that the package defines."""
    found = [below for each in base.__subclasses__() for below in (each, *all_specs(each))]
    return sorted(set(found), key=lambda each: each.__name__)


SPECS = all_specs()
RUNTIMES = (Runtime, LlmRuntime)


def spec(**changes):
    return EvalSpec.model_validate({**SMALLEST, **changes})


def test_method_names_are_those_of_the_methods():
    assert typing.get_args(MethodName) == (*METHODS, *VARIANTS, RERANK)


def test_methods_that_need_a_bank_are_those_that_read_descriptive_texts():
    known = {**METHODS, **VARIANTS}
    describing = {name for name in known if set(kinds_of_method(name)) & set(DESCRIPTIVE_KINDS)}
    assert describing | {RERANK} == NEEDS_BANK


def test_no_field_that_decides_numbers_is_a_runtime_field():
    hashed = {name for found in SPECS for name in found.model_fields}
    assert EvalSpec in SPECS
    assert GeneratorSpec in SPECS
    for runtime in RUNTIMES:
        assert hashed & set(runtime.model_fields) == set()
    assert "logit_scale" in hashed
    assert "batch_size" not in hashed


def test_no_spec_holds_a_runtime():
    annotations = [str(field.annotation) for found in SPECS for field in found.model_fields.values()]
    assert [text for text in annotations if "Runtime" in text] == []
    assert not any(issubclass(runtime, Spec) for runtime in RUNTIMES)


@pytest.mark.parametrize("found", SPECS, ids=lambda found: found.__name__)
def test_specs_are_closed_and_frozen(found: type[BaseModel]):
    assert found.model_config["extra"] == "forbid"
    assert found.model_config["frozen"] is True


@given(changed=st.sampled_from(sorted(SMALLEST)))
def test_every_setting_of_an_evaluation_changes_its_key(changed):
    others = {"name": "b", "dataset": {**FLAGS, "seed": 2}, "encoder": {**CLIP, "checkpoint": "x"}}
    others["methods"] = ["clip_ensemble"]
    assert key_of(spec(**{changed: others[changed]})) != key_of(spec())
    assert key_of(spec()) == key_of(spec())


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": ".hidden"}, "name"),
        ({"name": "a" * 101}, "name"),
        ({"dataset": {**FLAGS, "images_per_class": 0}}, "images_per_class"),
        ({"dataset": {**FLAGS, "images_per_class": 1001}}, "images_per_class"),
        ({"dataset": {**FLAGS, "images_per_class": True}}, "images_per_class"),
        ({"dataset": {**FLAGS, "seed": -1}}, "seed"),
        ({"encoder": {**CLIP, "checkpoint": ""}}, "checkpoint"),
        ({"methods": []}, "name at least one"),
        ({"methods": ["clip", "tip"]}, "methods"),
        ({"methods": ["clip", "clip"]}, "methods: each name once"),
        ({"logit_scale": 0}, "logit_scale"),
        ({"logit_scale": 1001}, "logit_scale"),
        ({"logit_scale": float("nan")}, "logit_scale"),
        ({"matrix": {"write": "yes"}}, "write"),
        ({"batch_size": 3}, "batch_size"),
    ],
)
def test_what_is_out_of_bounds_is_refused(changes, where):
    with pytest.raises(ValidationError, match=where):
        spec(**changes)


@pytest.mark.parametrize("changes", [{"dataset": FEATURES}, {"encoder": PRECOMPUTED}])
def test_features_and_the_encoder_without_a_model_need_each_other(changes):
    with pytest.raises(ValidationError, match="do not go together"):
        spec(**changes)
    assert spec(dataset=FEATURES, encoder=PRECOMPUTED).encoder.kind == "precomputed"


@pytest.mark.parametrize("method", sorted(NEEDS_BANK - {"coder", "coder_rerank"}))
def test_methods_that_read_descriptions_need_descriptions(method):
    with pytest.raises(ValidationError, match=f"required by {method}"):
        spec(methods=["clip", method])
    for texts in ({"bank": "bank.yaml"}, {"generator": {"model": "m"}}):
        assert spec(methods=["clip", method], texts=texts).methods == ("clip", method)


BANK = {"bank": "bank.yaml"}


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"controls": ["waffle"]}, "required by controls.waffle"),
        ({"controls": ["waffle", "waffle"], "texts": BANK}, "controls: each name once"),
        ({"baseline": "vcd"}, "baseline 'vcd' is not among the methods"),
        ({"methods": ["coder_rerank"], "texts": BANK}, "list coder, too"),
        ({"rerank": {"choose_threshold": True}}, "name them under `validation`"),
        ({"validation": FLAGS}, "choices would be made on test images"),
        ({"validation": FEATURES}, "validation.kind 'features'"),
        ({"texts": {**BANK, "pairs": "confused"}}, "only a texts.generator"),
        ({"rerank": {"candidates": 6}}, "candidates"),
        ({"rerank": {"threshold": -0.1}}, "threshold"),
        ({"ablation": {"draws": 0}}, "draws"),
        ({"ablation": {}}, "required by ablation"),
        ({"ablation": {"texts_per_class": [1, -1]}, "texts": BANK}, "texts_per_class"),
        ({"ablation": {"texts_per_class": [2, 2]}, "texts": BANK}, "texts_per_class: each number once"),
        ({"few_shot": {"pool": FLAGS}}, "methods would learn from test images"),
        ({"few_shot": {"pool": FEATURES}}, "few_shot.pool.kind 'features'"),
        ({"few_shot": {"pool": {**FLAGS, "seed": 2}, "shots": [0]}}, "shots"),
    ],
)
def test_settings_that_need_others_say_which(changes, where):
    with pytest.raises(ValidationError, match=where):
        spec(**changes)


def test_paths_without_a_base_stay_as_they_are():
    assert spec(dataset={"kind": "folder", "path": "images"}).dataset.path == "images"


def test_runtime_takes_every_field_from_the_environment(monkeypatch):
    given_values = {"store": "memory://x", "device": "cuda:1", "batch_size": 7, "shard_images": 8, "workers": 9}
    given_values |= {"gpu_slots": 2, "matrix_part_mb": 10, "classes_per_task": 11, "settle_seconds": 0.5}
    given_values |= {"report": True, "task_runner": "dask", "task_runner_address": "tcp://there:8786"}
    given_values |= {"compile_mode": "default", "threads": 3}
    assert set(given_values) | {"llm"} == set(Runtime.model_fields)
    for name, value in given_values.items():
        monkeypatch.setenv(f"CODER_{name.upper()}", str(value))
    monkeypatch.setenv("CODER_LLM_CONCURRENCY", "12")
    assert Runtime().model_dump(exclude={"llm"}) == given_values
    assert Runtime().llm.concurrency == 12
    assert Runtime(workers=3).workers == 3


def test_runtime_without_an_environment_has_its_defaults(monkeypatch):
    for name in Runtime.model_fields:
        monkeypatch.delenv(f"CODER_{name.upper()}", raising=False)
    assert Runtime().store == DEFAULT_STORE
    assert Runtime().device == "auto"


def test_the_evaluation_does_not_read_the_environment(monkeypatch):
    monkeypatch.setenv("CODER_NAME", "other")
    monkeypatch.setenv("CODER_LOGIT_SCALE", "3")
    assert spec().logit_scale == 100.0
    assert spec().name == "a"


@pytest.mark.parametrize(
    "values",
    [
        {"device": "gpu"},
        {"device": "cuda:"},
        {"batch_size": 0},
        {"workers": 257},
        {"x": 1},
        {"task_runner": "threads2"},
    ],
)
def test_impossible_runtimes_are_refused(values):
    with pytest.raises(ValidationError):
        Runtime(**values)
