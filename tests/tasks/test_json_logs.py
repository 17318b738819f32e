"""JSON logs: one object per line whatever is logged, secrets never, and Prefect's own configuration otherwise."""

import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import prefect.logging
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_core.errors import ConfigError
from tasks import json_logs
from tasks.json_logs import JSON_SETTINGS, JsonLines, log_environment, name_run_in_logs


def written(message: object, *args: object, level: int = logging.INFO, **attached: object) -> dict[str, object]:
    """What a record becomes, read back as a collector would."""
    record = logging.LogRecord("coder_core.steps", level, "file.py", 1, message, args, None)
    vars(record).update(attached)
    line = JsonLines().format(record)
    assert len(line.splitlines()) == 1
    assert line.isascii()
    return dict(json.loads(line))


@pytest.fixture
def _forget_run() -> Iterator[None]:
    token = json_logs._RUN.set(None)
    yield
    json_logs._RUN.reset(token)


@given(st.text())
@settings(max_examples=50)
def test_any_message_is_one_line_and_comes_back(text: str) -> None:
    found = written("%s", f"<{text}>")
    if "//" not in text and "=" not in text:  # what may hold a password is another test's
        assert found["message"] == f"<{text}>"


@pytest.mark.parametrize("sign", ["\n", "\r\n", "\x1b[31m", "\u2028", "\u0085", "\x00", "\ud800", ":smile: [red]"])
def test_signs_that_end_lines_or_steer_terminals_are_data(sign: str) -> None:
    assert written("class %r: %s", "x", sign)["message"] == f"class 'x': {sign}"


@pytest.mark.usefixtures("_forget_run")
def test_time_is_utc_and_the_moment_of_the_record() -> None:
    found = written("hello", level=logging.WARNING, created=1_700_000_000.25)
    assert found["time"] == "2023-11-14T22:13:20.250+00:00"
    assert datetime.fromisoformat(str(found["time"])) == datetime.fromtimestamp(1_700_000_000.25, UTC)
    assert (found["level"], found["logger"], found["message"]) == ("WARNING", "coder_core.steps", "hello")
    assert set(found) == {"time", "level", "logger", "message"}


@pytest.mark.usefixtures("_forget_run")
def test_the_run_id_belongs_to_its_flow_run_alone() -> None:
    name_run_in_logs("flow-1", "flags-20261124")
    own = written("x", flow_run_id="flow-1", flow_run_name="brave-owl", task_run_name="embed", flow_name="coder-eval")
    assert own["run_id"] == "flags-20261124"
    assert (own["flow_run_name"], own["task_run_name"]) == ("brave-owl", "embed")
    assert "run_id" not in written("x", flow_run_id="flow-2")
    assert "run_id" not in written("x")
    assert "flow_name" not in written("x", flow_run_id="flow-1", flow_name="<unknown>")


def test_an_exception_is_a_field_of_the_same_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        found = written("failed", exc_info=sys.exc_info())
    assert str(found["exception"]).startswith("Traceback")
    assert str(found["exception"]).endswith("ValueError: two\nlines")


def test_secrets_are_replaced_in_message_and_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws/secret+0123456789")
    monkeypatch.setenv("PREFECT_API_KEY", "none")
    try:
        raise ValueError("Bearer sk-secret-0123456789")
    except ValueError:
        found = written("put %s with aws/secret+0123456789: none", "s3://me:word@host/x", exc_info=sys.exc_info())
    told = json.dumps(found)
    assert "sk-secret" not in told
    assert "aws/secret" not in told
    assert found["message"] == "put s3://***@host/x with ***: none"


def test_the_format_is_chosen_by_name() -> None:
    assert log_environment({}) == log_environment({"CODER_LOG_FORMAT": "text"}) == {}
    assert log_environment({"CODER_LOG_FORMAT": "json"}) == {"PREFECT_LOGGING_SETTINGS_PATH": str(JSON_SETTINGS)}
    with pytest.raises(ConfigError, match=r"CODER_LOG_FORMAT: there is no log format 'xml'\. Set it to text or json\."):
        log_environment({"CODER_LOG_FORMAT": "xml"})


def test_everything_but_the_console_is_as_prefect_has_it() -> None:
    ours = yaml.safe_load(JSON_SETTINGS.read_text())
    theirs = yaml.safe_load(Path(prefect.logging.__file__).with_name("logging.yml").read_text())
    assert ours["loggers"] == theirs["loggers"]
    assert ours["root"] == theirs["root"]
    assert ours["handlers"].keys() == theirs["handlers"].keys()
    for name in ("api", "worker_api"):
        assert ours["handlers"][name] == theirs["handlers"][name]
