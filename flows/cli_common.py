"""What the commands share: options, and how an expected error is told."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from coder_core import DEFAULT_STORE
from coder_core.errors import CoderError, SeveralProblemsError, StoreError
from coder_core.printable_text import GuardedStream
from coder_core.redaction import redact_error
from flows.cli_logging import error_line, progress_on_stderr, warning_line
from flows.stopping import describe_stop, stoppable

if TYPE_CHECKING:
    from coder_core.storage.store import Store


set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="Override one setting of the config."
)

store_option = click.option(
    "--store",
    default=lambda: os.environ.get("CODER_STORE") or DEFAULT_STORE,
    show_default="CODER_STORE, or ./store",
    help="Root of the store: a folder or an fsspec URL such as s3://bucket/prefix.",
)

engine_option = click.option(
    "--engine",
    type=click.Choice(["auto", "prefect", "inline"]),
    default="auto",
    show_default=True,
    help="auto: under the Prefect server that is running, else in this process; prefect starts a temporary server.",
)


@contextmanager
def guarded_output() -> Iterator[None]:
    """Let a terminal be given printable text only: results hold names and answers of anybody."""
    terminal = sys.stdout
    if not terminal.isatty():
        yield
        return
    terminal.flush()
    sys.stdout = cast(TextIO, GuardedStream(terminal))
    try:
        yield
    finally:
        sys.stdout = terminal


def open_store(store: str) -> "Store":
    """The store that a command reads; warns where nothing was ever published there.

    Raises:
        StoreError: The place holds something else, or refuses.
    """
    from coder_core.care.store_format import check_is_store
    from coder_core.storage.store import Store

    opened = Store(store)
    nothing = check_is_store(opened)
    if nothing is not None:
        click.echo(warning_line(nothing), err=True)
    return opened


_SHOWN_NAME = 200
"""Characters of a name in an error: it may be wrong because it is long."""


def program_name() -> str:
    """How to call this program from here: its bare name where the shell finds it, its path otherwise."""
    return "coder-eval" if shutil.which("coder-eval") else os.path.relpath(sys.argv[0])


GOES_ON = frozenset({"run", "predict", "generate", "watch", "sweep", "try_folder", "doctor", "export"})
"""Commands that go on from what is in the store when they are started again."""


def is_export(run: str) -> bool:
    """Whether `predict` was given the folder of an exported classifier, which needs no store and keeps nothing."""
    files = ("classifier.json", "classifier.safetensors")  # one alone is an export that was not copied whole
    return any(os.path.isfile(os.path.join(run, file)) for file in files)  # noqa: PTH113, PTH118 (may be too long a name)


def explain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn an expected error into one line per problem on standard error and the exit status that its class names.

    Ctrl-C, SIGTERM and a closed terminal end the command within five seconds (`flows.stopping`).
    """

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        goes_on = command.__name__ in GOES_ON and not is_export(str(kwargs.get("run", "")))
        store = kwargs.get("store") if goes_on else None
        with stoppable(lambda name: describe_stop(name, store)), progress_on_stderr():
            explain_errors_of_service(command)(*args, **kwargs)

    return wrapper


def explain_errors_of_service(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command that takes care of signals itself."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            with guarded_output():
                command(*args, **kwargs)
        except CoderError as error:
            for line in told_errors(error):
                click.echo(error_line(line), err=True)
            sys.exit(error.exit_code)
        except BrokenPipeError:  # whoever reads has gone: click ends quietly
            raise
        except (OSError, MemoryError) as error:
            refused = machine_error(error)
            click.echo(error_line(str(refused)), err=True)
            sys.exit(refused.exit_code)
        except Exception as error:
            redact_error(error)  # a mistake of ours ends with a traceback
            raise

    return wrapper


def machine_error(error: OSError | MemoryError) -> CoderError:
    """What the machine refuses, as one line: a name that is too long, a full disk, memory."""
    if isinstance(error, MemoryError):
        return StoreError("There is not enough memory.", remedy="Close other programs, or use a smaller batch_size.")
    problem = f"The system refuses ({error.strerror or type(error).__name__})."
    return StoreError(problem, str(error.filename or "")[:_SHOWN_NAME], "Check the path, and the disk that it is on.")


def told_errors(error: CoderError) -> list[str]:
    """An error in the lines that its reader sees: one for each problem."""
    problems = error.problems if isinstance(error, SeveralProblemsError) else (error,)
    # DuckDB points with ^ at a place in its own line
    return [" ".join(word for word in str(problem).split() if word.strip("^")) for problem in problems]
