"""The form that Prefect shows for the flow: every parameter explained, and no default that would overrule a worker."""

import pytest
from prefect.utilities.callables import parameter_schema

from coder_core.specs import Runtime
from flows.coder_eval import coder_eval


def test_every_parameter_is_explained_and_optional() -> None:
    schema = parameter_schema(coder_eval)
    assert list(schema.properties) == ["config", "overrides", "runtime"]
    assert all(field["description"] for field in schema.properties.values())
    assert not schema.required
    assert schema.properties["config"]["default"] == "demo:flags"
    assert [option["type"] for option in schema.properties["config"]["anyOf"]] == ["string", "object"]


def test_the_form_leaves_open_what_the_environment_of_the_worker_decides() -> None:
    fields = parameter_schema(coder_eval).definitions["Runtime"]["properties"]
    assert list(fields) == list(Runtime.model_fields)
    assert all(field["description"] and "default" not in field for field in fields.values())


def test_what_a_form_leaves_open_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODER_STORE", "s3://bucket/of-the-worker")
    given = coder_eval.validate_parameters({"runtime": {"workers": 7}})["runtime"]
    assert (given.workers, given.store) == (7, "s3://bucket/of-the-worker")
