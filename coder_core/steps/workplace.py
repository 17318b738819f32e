"""What every step works with: the store behind a `Runtime`, and the report it gives about itself."""

import time

from pydantic import BaseModel, ConfigDict

from coder_core.specs import Runtime
from coder_core.storage.artifacts import Artifact, ArtifactStore
from coder_core.storage.store import Store


class Handle(BaseModel):
    """Base of what travels between steps: small, frozen, JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Product(Handle):
    """One finished artifact and what it took in this run.

    Attributes:
        step: Name of the step.
        artifact: What was found or made.
        seconds: Time spent in this run (work of several tasks added up).
        computed: Rows computed in this run; 0 when the store held them all.
        reused: Rows the store held already.
    """

    step: str
    artifact: Artifact
    seconds: float = 0.0
    computed: int = 0
    reused: int = 0


def open_store(runtime: Runtime) -> ArtifactStore:
    """The artifacts of the store that the runtime names."""
    return ArtifactStore(Store(runtime.store))


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._started
