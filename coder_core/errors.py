"""Errors a user can act on: each says where, what was found, and what to do.

Nothing that authorises is in any of them, wherever its words come from (`redaction`).
One class per decision a caller can take; the command line turns `exit_code` into the process's exit status.
"""

from collections.abc import Sequence
from typing import Self

from coder_core.printable_text import printable
from coder_core.redaction import redact


class CoderError(Exception):
    """Base of every error this project raises on purpose; told in one line, whatever the words of others in it.

    Args:
        problem: What was expected and what was found, with the value.
        place: File, key, row or URL where it was found.
        remedy: What the reader can do about it.
    """

    exit_code = 1
    longest_words = 2_000
    """Characters of each part: a value that is quoted may have any length."""

    def __init__(self, problem: str, place: str = "", remedy: str = "") -> None:
        problem, place, remedy = (_bounded(redact(text), self.longest_words) for text in (problem, place, remedy))
        super().__init__(problem, place, remedy)
        self.problem = problem
        self.place = place
        self.remedy = remedy

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        advice = f" {self.remedy}" if self.remedy else ""
        return printable(" ".join(f"{where}{self.problem}{advice}".splitlines()))


def _bounded(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[:characters]}…"


class ConfigError(CoderError):
    """A config names an unknown key, has a wrong type or an impossible value."""

    exit_code = 2


class SeveralProblemsError(ConfigError):
    """A config, or what it names, is wrong in more than one place; all told at once.

    Attributes:
        problems: One error each, at least two.
        exit_code: That of all of them, or of a wrong config where they differ.
    """

    longest_words = 20_000

    def __init__(self, problems: Sequence[CoderError], place: str = "") -> None:
        self.problems = tuple(problems)
        codes = {problem.exit_code for problem in self.problems}
        self.exit_code = codes.pop() if len(codes) == 1 else ConfigError.exit_code
        told = "; ".join(f"({number}) {problem}" for number, problem in enumerate(self.problems, start=1))
        super().__init__(f"{len(self.problems)} problems: {told}", place, "Mend them all.")

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[CoderError, ...], str]]:
        """Travel between processes as what it was made of."""
        return type(self), (self.problems, self.place)


def raise_all(problems: Sequence[CoderError]) -> None:
    """Raise the one problem that there is, or all of them as one; nothing where there is none."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise SeveralProblemsError(problems)


class InputError(CoderError):
    """A file that the user gave cannot be used as it is."""

    exit_code = 3


class UnfinishedInputError(InputError):
    """A file that the user gave is still being written, or was left half written: looking again later may help."""


class TextBankError(InputError):
    """A text bank does not fit the class list or its own format."""


class FeatureFileError(InputError):
    """A file of precomputed features has a wrong shape, a wrong type or impossible values."""


class DatasetError(InputError):
    """A data set is missing, empty or contradicts itself."""


class CheckpointError(InputError):
    """An encoder's architecture or weights cannot be loaded."""


class DeviceError(ConfigError):
    """The device that models are to run on is not there, cannot compute so, or has too little memory for one image."""


class StoreError(CoderError):
    """The store refuses: it is unreachable, read-only, or holds something that contradicts its own record."""

    exit_code = 4


class ClassifierStateError(StoreError):
    """A classifier that was taken apart cannot be put together again: its numbers are missing, damaged or another's."""


class QueryError(CoderError):
    """An SQL query is wrong or asks for what it must not touch."""

    exit_code = 5


class ServiceError(CoderError):
    """A part of the service (server, worker, deployment) does not start or has ended."""

    exit_code = 7


class LabelLeakError(CoderError):
    """Prediction code was about to see test labels, or what was given to learn from is under test."""

    exit_code = 3


class StepContractError(CoderError):
    """A step does not keep what it declares: a mistake in this project or in an extension of it."""
