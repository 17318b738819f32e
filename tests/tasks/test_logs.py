"""Prefect's log says an expected error once per run and in its own words; an unexpected one keeps its traceback."""

import logging

import pytest
from prefect import flow, task
from tasks.policy import DOOR_POLICY, STEP_POLICY, is_worth_retrying

from coder_core.errors import CoderError, FeatureFileError, StoreError
from coder_core.storage.refusals import DamagedFileError
from tasks.logs import FLOW_LOGGER, LOGGERS, ExpectedErrors, prepare_logs

HASTY = {**STEP_POLICY, "retry_delay_seconds": 0}


@task(**HASTY)
def fail_in_step(error: Exception) -> None:
    raise error


@task(**DOOR_POLICY)
def fail_at_door(error: Exception) -> None:
    raise error


@flow
def fail_in_task(error: Exception, is_at_door: bool = False) -> None:
    prepare_logs()
    (fail_at_door if is_at_door else fail_in_step)(error)


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
@pytest.mark.parametrize("is_at_door", [True, False])
def test_wrong_input_is_told_by_the_states_alone(caplog: pytest.LogCaptureFixture, is_at_door: bool) -> None:
    error = FeatureFileError("row 7 holds NaN.", "images.npz", "Compute it again.")
    with pytest.raises(FeatureFileError):
        fail_in_task(error, is_at_door)
    of_task, of_flow = lines_about(error, caplog)
    assert of_task.startswith("prefect.task_runs: Finished in state Failed(")
    assert of_flow.startswith("prefect.flow_runs: Finished in state Failed(")
    levels = [record.levelname for record in caplog.records if str(error) in record.getMessage()]
    assert [level for level in levels if level != "DEBUG"] == ["ERROR", "ERROR"]
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
def test_a_retry_is_told_in_the_words_of_the_error(caplog: pytest.LogCaptureFixture) -> None:
    error = StoreError("it refuses.", "s3://bucket", "Wait.")
    with pytest.raises(StoreError):
        fail_in_task(error)
    retries = [line for line in lines_about(error, caplog) if "Retry" in line]
    assert [line.partition(" - ")[0] for line in retries] == [
        "prefect.task_runs: Task run failed with exception: StoreError: s3://bucket: it refuses. Wait."
    ] * 2
    assert "StoreError(" not in caplog.text


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_mistake_of_ours_keeps_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_in_task(ZeroDivisionError("a mistake"))
    assert "Traceback" in caplog.text


def test_the_filter_is_added_once() -> None:
    prepare_logs()
    prepare_logs()
    for name in LOGGERS:
        assert sum(isinstance(found, ExpectedErrors) for found in logging.getLogger(name).filters) == 1


class StateOf:
    """A state whose result is an error, or nothing."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def result(self) -> None:
        if self.error:
            raise self.error


@pytest.mark.parametrize(
    ("error", "is_retried"),
    [
        (StoreError("it refuses."), True),
        (DamagedFileError("its sha256 differs."), False),
        (OSError("a network is away"), True),
        (FeatureFileError("NaN."), False),
        (CoderError("whatever."), False),
        (None, False),
    ],
)
def test_what_may_pass_is_retried(error: Exception | None, is_retried: bool) -> None:
    assert is_worth_retrying(None, None, StateOf(error)) is is_retried
