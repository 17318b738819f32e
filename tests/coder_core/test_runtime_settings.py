"""A wrong setting of the environment is named with its variable, its value, and what it may be."""

import os
import re
import subprocess
import sys

import pytest

from coder_core.config import SETTING_VARIABLES, check_variables, load_runtime
from coder_core.errors import ConfigError
from coder_core.limits import LIMITS, QUERY_NUMBERS
from coder_core.specs import Runtime


def test_runtime_refusals_name_the_field():
    with pytest.raises(ConfigError, match=r"^runtime: batch_size: .*found 0"):
        load_runtime(batch_size=0)
    with pytest.raises(ConfigError, match="Did you mean 'batch_size'"):
        load_runtime(batchsize=1)


def test_runtime_refusals_know_the_environment(monkeypatch):
    monkeypatch.setenv("CODER_WORKERS", "many")
    with pytest.raises(ConfigError, match=r"^CODER_WORKERS: .*found 'many'"):
        load_runtime()
    assert load_runtime(workers=1) == Runtime(workers=1)
    monkeypatch.setenv("CODER_WORKERS", "")
    assert load_runtime().workers == Runtime(workers=2).workers, "an empty variable is none"


FREE_TEXT = {"CODER_STORE", "CODER_TASK_RUNNER_ADDRESS", "CODER_LLM_BASE_URL"}


@pytest.mark.parametrize("name", sorted({*SETTING_VARIABLES, *LIMITS, *QUERY_NUMBERS} - FREE_TEXT))
@pytest.mark.parametrize("value", ["nonsense", "{", "-1", "cud"])
def test_a_variable_with_a_nonsense_value_is_named_with_it_and_what_it_may_be(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        check_variables(os.environ)
    error = caught.value
    assert error.place.split(":")[0] == name
    assert (
        f"found {value!r}" in error.problem or f"there is no {value!r}" in error.problem or "found -1" in error.problem
    )
    assert re.search("expected|JSON|Known are|Did you mean", str(error))
    assert "\n" not in str(error)


def test_all_nonsense_is_told_at_once_each_once(monkeypatch):
    names = ["CODER_DEVICE", "CODER_LLM_CONCURRENCY", "CODER_MAX_NESTING"]
    for name in names:
        monkeypatch.setenv(name, "cud")
    with pytest.raises(ConfigError) as caught:
        check_variables(os.environ)
    told = sorted(str(problem) for problem in caught.value.problems)
    assert [line.partition(":")[0] for line in told] == names
    assert told[0].startswith("CODER_DEVICE: expected auto, cpu, cuda, cuda:<number> or mps, found 'cud'")


@pytest.mark.parametrize("device", ["cuda:", "cuda:1000", "cuda:\N{ARABIC-INDIC DIGIT THREE}", "CUDA", "gpu", "cpu "])
def test_a_device_that_cannot_be_is_refused_when_it_is_read(device):
    with pytest.raises(ConfigError, match="expected auto, cpu, cuda, cuda:<number> or mps, found"):
        load_runtime(device=device)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("CODER_LLM_TIMEOUT_SECONDS", "soon", r"^CODER_LLM_TIMEOUT_SECONDS: expected a number, found 'soon'"),
        ("CODER_LLM", "{", r"^CODER_LLM: this is no JSON, found '\{'"),
        ("CODER_LLM", '{"concurrency": 0}', r"^CODER_LLM: concurrency: .*at least 1, found 0"),
        ("CODER_LLM_PRICES", '{"gpt": {"input": "dear"}}', r"^CODER_LLM_PRICES: gpt\.input"),
    ],
)
def test_refusals_of_the_language_models_settings_name_them(monkeypatch, name, value, message):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load_runtime()
    problems = getattr(caught.value, "problems", (caught.value,))
    assert any(re.search(message, str(problem)) for problem in problems), caught.value


@pytest.mark.slow
def test_pixels_and_nesting_are_settings() -> None:
    program = """
import io
from PIL import Image
from coder_core.images.decoding import decode_image
from coder_core.storage.bounded_json import parse_json
parse_json("[" * 40 + "]" * 40)
content = io.BytesIO()
Image.new("1", (14_000, 14_000)).save(content, "PNG")
print(decode_image(content.getvalue()).size)
"""
    mine = {"CODER_MAX_IMAGE_PIXELS": "200000000", "CODER_MAX_NESTING": "50"}
    command = [sys.executable, "-c", program]
    moved = subprocess.run(command, env={**os.environ, **mine}, capture_output=True, text=True, check=False)
    assert moved.stdout == "(14000, 14000)\n", moved.stderr
    assert "nested deeper than 32" in subprocess.run(command, capture_output=True, text=True, check=False).stderr
