"""Prefect's log says an expected error once per run and in its own words; an unexpected one keeps its traceback."""

import logging
from pathlib import Path
from typing import Any, ClassVar

import pytest
from prefect import flow

from coder_core.errors import FeatureFileError, StoreError
from coder_core.pipeline.context import Context
from coder_core.pipeline.step import Step
from coder_core.pipeline.traits import PREFLIGHT, Traits
from coder_core.specs import Runtime
from tasks import logs
from tasks.logs import CORE, FLOW_LOGGER, LOGGERS, ExpectedErrors, ToRunLogger, prepare_logs
from tasks.prefect_runner import prefect_runner


class Fail(Step[int]):
    """Fails with the error that a test gives it."""

    errors: ClassVar[list[Exception]] = []
    traits: ClassVar[Traits] = Traits(retry_delays=(0.0, 0.0))

    def run(self, context: Context) -> int:
        raise self.errors[-1]


class FailInPreflight(Fail):
    """Fails before the work."""

    traits: ClassVar[Traits] = PREFLIGHT


class Say(Step[int]):
    """Logs a line, as the core does."""

    def run(self, context: Context) -> int:
        logging.getLogger("coder_core.steps.example").info("predict-coder: %s rows", 120)
        return 120


def run_step(step: Step[Any], store: Path) -> None:
    """Run a step in a flow of its own."""

    @flow
    def body() -> None:
        with prefect_runner(Runtime(store=str(store), device="cpu")) as run:
            run(step)

    body()


@flow
def fail_in_body(error: Exception) -> None:
    prepare_logs()
    raise error


def lines_about(error: Exception, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged about an error, formatted as a handler would, tracebacks included."""
    formatter = logging.Formatter("%(name)s: %(message)s")
    told = [formatter.format(record) for record in caplog.records if record.levelno >= logging.INFO]
    return [line for line in told if str(error) in line]


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("step", [Fail(), FailInPreflight()], ids=["step", "preflight"])
def test_wrong_input_is_told_once_by_the_state_of_the_flow_run(
    caplog: pytest.LogCaptureFixture, step: Fail, tmp_path: Path
) -> None:
    error = FeatureFileError("row 7 holds NaN.", "images.npz", "Compute it again.")
    Fail.errors.append(error)
    with pytest.raises(FeatureFileError):
        run_step(step, tmp_path)
    (of_flow,) = lines_about(error, caplog)
    assert of_flow.startswith("prefect.flow_runs: Finished in state Failed(")
    ended = [record for record in caplog.records if record.getMessage().startswith("Finished in state Failed(")]
    assert [(record.name, record.levelname) for record in ended] == [
        ("prefect.task_runs", "ERROR"),
        ("prefect.flow_runs", "ERROR"),
    ]
    assert "Traceback" not in caplog.text


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_an_error_of_the_flow_itself_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    error = StoreError("it refuses.", "s3://bucket", "Wait.")
    with pytest.raises(StoreError):
        fail_in_body(error)
    assert len(lines_about(error, caplog)) == 1
    (told,) = [record for record in caplog.records if record.name == FLOW_LOGGER and str(error) in record.getMessage()]
    assert (told.levelno, told.levelname) == (logging.ERROR, "ERROR"), "Prefect logs it as information"
    assert "Traceback" not in caplog.text


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_retry_is_told_in_the_words_of_the_error(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    error = StoreError("it refuses.", "s3://bucket", "Wait.")
    Fail.errors.append(error)
    with pytest.raises(StoreError):
        run_step(Fail(), tmp_path)
    retries = [line for line in lines_about(error, caplog) if "Retry" in line]
    assert [line.partition(" - ")[0] for line in retries] == [
        "prefect.task_runs: Task run failed with exception: StoreError: s3://bucket: it refuses. Wait."
    ] * 2
    assert "StoreError(" not in caplog.text


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_mistake_of_ours_keeps_its_traceback(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    Fail.errors.append(ZeroDivisionError("a mistake"))
    with pytest.raises(ZeroDivisionError):
        run_step(Fail(), tmp_path)
    assert "Traceback" in caplog.text


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_what_the_core_says_is_said_by_the_task_run_that_it_works_for(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    run_step(Say(), tmp_path)
    told = [record for record in caplog.records if record.getMessage() == "predict-coder: 120 rows"]
    (of_task,) = [record for record in told if record.name == "prefect.task_runs"]
    assert of_task.levelno == logging.INFO
    assert vars(of_task)["task_run_name"] == "say"


def test_filter_and_handler_are_added_once() -> None:
    prepare_logs()
    prepare_logs()
    assert sum(isinstance(found, ToRunLogger) for found in logging.getLogger(CORE).handlers) == 1
    for name in LOGGERS:
        assert sum(isinstance(found, ExpectedErrors) for found in logging.getLogger(name).filters) == 1


def records_of(logger: str, run: dict[str, str], error: Exception) -> list[logging.LogRecord]:
    """What Prefect logs about a run that fails: the exception with its traceback, then the state with its words."""
    raised = logging.LogRecord(logger, logging.ERROR, "", 0, "failed with exception", (), (type(error), error, None))
    ended = logging.LogRecord(logger, logging.INFO, "", 0, "Finished in state Failed(%r)", (str(error),), None)
    for record in (raised, ended):
        vars(record).update(run)
    return [raised, ended]


@pytest.mark.parametrize("is_told_by_caller", [False, True])
def test_of_the_states_of_task_and_flow_only_one_tells_the_words(
    is_told_by_caller: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs._Caller, "tells_errors", False)
    if is_told_by_caller:
        logs.leave_errors_to_caller()
    error = StoreError("it refuses.", "s3://bucket", "Wait.")
    said = []
    for logger, run in (
        ("prefect.task_runs", {"task_run_id": "t", "flow_run_id": "f"}),
        (FLOW_LOGGER, {"flow_run_id": "f"}),
    ):
        told = ExpectedErrors()
        said += [record.getMessage() for record in records_of(logger, run, error) if told.filter(record)]
    assert [str(error) in line for line in said] == [False, not is_told_by_caller]
    assert all(line.startswith("Finished in state Failed(") for line in said)
