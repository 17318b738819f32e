"""What a process of a cluster does before it works for a run, and what it is asked first."""

import platform
import uuid
from collections.abc import Callable
from importlib.metadata import version
from typing import NamedTuple

from coder_core.errors import CoderError, ConfigError, ServiceError
from coder_core.specs import Runtime
from coder_core.storage.store import PROBE_PREFIX, Store
from tasks.json_logs import name_run_of_process
from tasks.logs import prepare_logs
from tasks.task_runner_choice import ADDRESS_PLACE


class Greeting(NamedTuple):
    """What must be the same where tasks are sent from and where they work.

    Attributes:
        python: Tasks travel as byte code, which belongs to one minor version.
        project: Version of this project.
        sees_store: Whether the worker finds a file that was written elsewhere.
    """

    python: str
    project: str
    sees_store: bool


def greet(store: Store, probe: str) -> Greeting:
    """Say what this process is."""
    python = ".".join(platform.python_version_tuple()[:2])
    return Greeting(python, version("coder-eval"), store.exists(probe))


def ask_a_worker(runtime: Runtime, ask: Callable[[Store, str], Greeting]) -> None:
    """Let one worker of a cluster say what it is, before any work.

    Args:
        runtime: Names the store and the cluster.
        ask: Has a worker of the cluster call `greet`, and waits for the answer.

    Raises:
        ConfigError: The cluster would fail in the middle of the work.
        StoreError: The store cannot be written.
    """
    place = f"{ADDRESS_PLACE}: {runtime.task_runner_address}"
    # A folder of one machine is no store for workers on another: a file is written here and looked for there.
    store, probe = Store(runtime.store), f"{PROBE_PREFIX}{uuid.uuid4().hex}"
    store.write_bytes(probe, b"")
    try:
        _check(ask(store, probe), greet(store, probe), place)
    except CoderError:
        raise
    except Exception as error:
        why = next(iter(str(error).splitlines()), "no worker has answered")
        problem = f"its workers cannot work for this project ({type(error).__name__}: {why:.200})."
        raise ConfigError(problem, place, "Start workers, with this project installed on their machines.") from error
    finally:
        store.delete(probe)


def lost_workers(cluster: str, error: Exception) -> ServiceError:
    """What to tell when workers have ended in the middle of their work."""
    problem = f"workers of the {cluster} cluster ended while they worked ({type(error).__name__})."
    remedy = "Often memory is short: set fewer `workers`, or a smaller `batch_size`. Run again: it goes on from here."
    return ServiceError(problem, f"task_runner {cluster.lower()}", remedy)


def prepare_worker(named_run: tuple[str | None, str] | None) -> None:
    """Let this process log as the process of the run does.

    Args:
        named_run: The flow run's id and the evaluation's run id.
    """
    prepare_logs()
    if named_run is not None:
        name_run_of_process(*named_run)


def _check(found: Greeting, expected: Greeting, place: str) -> None:
    if found[:2] != expected[:2]:
        problem = f"its workers have Python {found.python} and coder-eval {found.project}"
        problem += f", this process has {expected.python} and {expected.project}."
        raise ConfigError(problem, place, "Install the same versions on every machine.")
    if not found.sees_store:
        problem = "its workers do not see the store of this run."
        raise ConfigError(problem, place, "Use a store that every machine reaches, such as s3://bucket/prefix.")
