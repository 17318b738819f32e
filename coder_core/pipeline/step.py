"""A step: one piece of work whose fields are its identity.

    class WriteTexts(ArtifactStep[TextsArtifact]):
        version: ClassVar[int] = 2
        classes: ClassesArtifact
        domain: str
        sentences: PackagedData = PackagedData(name="texts/domains.yaml")

        def make(self, context: Context, output: Output) -> TextsArtifact: ...

The key of what a step makes is the sha256 of its kind, its version and ALL of its fields; leaving one out takes
`Annotated[T, NotIdentity("why")]` beside the field. An artifact counts by its key, a `FileInput` by content and
columns, `PackagedData` by content. So nobody assembles a key, and nobody can forget a field. What the store holds is
not made again; where something is made, the log says which field differs from the last time.

A plain `Step` looks at the world (a folder, a server, the clock): it runs every time, and what it finds becomes
artifacts under the key of their content.
"""

import logging
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict

from coder_core.counted import counted
from coder_core.errors import StepContractError
from coder_core.fingerprint import NotIdentity, key_of, plain_json
from coder_core.interruption import check_interruption, time_limit
from coder_core.pipeline.artifact_handle import ArtifactHandle, Handle
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.pace import Pace
from coder_core.pipeline.traits import STEP, Traits
from coder_core.storage.artifacts import ArtifactPayload

logger = logging.getLogger(__name__)

Result = TypeVar("Result", covariant=True)
Made = TypeVar("Made", bound=ArtifactHandle, covariant=True)


class StepRecord(Handle):
    """What one step did in a run: a row of the tables `timings` and `artifacts`.

    Attributes:
        step: Its name.
        kind: Kind of the artifact; empty where there is none.
        key: Key of the artifact.
        rows: Rows of it.
        seconds: Time spent in this run; work of several shards added up.
        computed: Rows computed in this run.
        reused: Rows that the store held already.
        pace: How fast inputs went through a model; None where none did.
    """

    step: str
    kind: str = ""
    key: str = ""
    rows: int = 0
    seconds: float = 0.0
    computed: int = 0
    reused: int = 0
    pace: Pace | None = None

    def __str__(self) -> str:
        if not self.kind:
            return f"{self.seconds:.1f} s"
        rows = counted(self.rows, "row")
        return f"{rows}: {self.computed} computed, {self.reused} found in the store, {self.seconds:.1f} s"


class Done(NamedTuple):
    """The result of a step, and what it took."""

    result: Any
    records: tuple[StepRecord, ...]


class Step(BaseModel, Generic[Result]):
    """One piece of work. Frozen; travels to other processes."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    version: ClassVar[int] = 1
    """Raised by whoever changes what the step computes."""

    traits: ClassVar[Traits] = STEP

    loop_free: ClassVar[str] = ""
    """Why this step has no loop that could take long; every other step iterates with `each`."""

    @property
    def name(self) -> str:
        """What the step is called in tables and logs; by default its class's name."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    @property
    def title(self) -> str:
        """What a task run of it is called; by default its name with dashes."""
        return self.name.replace("_", "-")

    @property
    def key(self) -> str:
        """sha256 of kind, version and every field that counts."""
        return key_of(self.payload)

    @property
    def payload(self) -> ArtifactPayload:
        """Everything that decides what the step makes, as it stands in the manifest."""
        counted = {name: getattr(self, name) for name in self._counted_fields()}
        inputs = {path: key for name, value in counted.items() for path, key in _artifacts_in(value, name)}
        plain = {name: plain_json(value, name) for name, value in counted.items()}
        spec = {name: value for name, value in plain.items() if name not in inputs or inputs[name] != value}
        return ArtifactPayload(kind=self._kind(), step_version=self.version, spec=spec, inputs=inputs)

    def run(self, context: Context) -> Result:
        """Do the work."""
        raise NotImplementedError

    def records(self, result: Any, seconds: float) -> tuple[StepRecord, ...]:  # noqa: ARG002
        """What is kept of it among the timings; nothing but its time, by default."""
        return (StepRecord(step=self.name, seconds=seconds),)

    def __call__(self, context: Context) -> Done:
        """Run the step within its time limit.

        Raises:
            StepContractError: It returns something else than it declares.
            InterruptedWorkError: The run has ended.
            TimeLimitError: It took too long.
        """
        started = time.monotonic()
        check_interruption()
        inner = context.inner()
        with time_limit(self.traits.time_limit_seconds):
            result = self.run(inner)
        self.check_result(result)
        return Done(result, (*inner.nested, *self.records(result, time.monotonic() - started)))

    def check_result(self, result: object) -> None:
        """Refuse what is not of the declared type."""
        declared = self.result_type()
        if not isinstance(result, get_origin(declared) or declared):
            name = type(self).__name__
            raise StepContractError(
                f"it returned a {type(result).__name__} and declares {declared.__name__}.",
                f"step {name}",
                "Return what the class declares in `Step[...]`.",
            )

    @classmethod
    def result_type(cls) -> Any:
        """What the class declares in brackets."""
        for base in cls.__mro__:
            arguments = getattr(base, "__pydantic_generic_metadata__", {}).get("args")
            if arguments and not isinstance(arguments[0], TypeVar):
                return type(None) if arguments[0] is None else arguments[0]
        raise StepContractError(f"{cls.__name__} does not say what it returns.", "Step[...]", "Name the type.")

    @classmethod
    def _counted_fields(cls) -> list[str]:
        return [
            name
            for name, field in cls.model_fields.items()
            if not any(isinstance(item, NotIdentity) for item in field.metadata)
        ]

    @classmethod
    def _kind(cls) -> str:
        return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()


class ArtifactStep(Step[Made], Generic[Made]):
    """A step that makes one artifact, or finds it made."""

    def make(self, context: Context, output: Output) -> Made:
        """Write the parts of the artifact and return its handle: `output.finish(...)`."""
        raise NotImplementedError

    def is_intact(self, artifact: Made, context: Context) -> bool:  # type: ignore[misc]  # noqa: ARG002
        """Whether a found artifact can be used: one may rest on rows of a ledger that were damaged since."""
        return True

    def find(self, context: Context) -> Made | None:
        """The artifact, if the store holds it and it can be used."""
        manifest = context.artifacts.find_manifest(self.payload)
        if manifest is None:
            return None
        found: Made = self.result_type().of_manifest(manifest)
        context.artifacts.forget(found.stored)
        if self.is_intact(found, context):
            return found
        context.artifacts.forget(found.stored)
        return None

    def __call__(self, context: Context) -> Done:
        """Find the artifact or make it, within the time limit; see `Step.__call__`."""
        context = context.paced()
        started = time.monotonic()
        check_interruption()
        with time_limit(self.traits.time_limit_seconds):
            found = self.find(context)
            if found is not None:
                return self.found(found, time.monotonic() - started)
            self.explain_miss(context)
            output = self.open_output(context)
            made = self.make(context, output)
        return self.commit(context, output, made, time.monotonic() - started)

    def open_output(self, context: Context) -> Output:
        """Where the artifact's parts go."""
        return Output(context.artifacts.writer(self.payload))

    def found(self, artifact: ArtifactHandle, seconds: float) -> Done:
        """The account of an artifact that was there."""
        record = self._record(artifact, seconds, computed=0)
        logger.info("%s: %s", self.title, record)
        return Done(artifact, (record,))

    def commit(self, context: Context, output: Output, made: Any, seconds: float) -> Done:
        """Finish the artifact, and give the account of it.

        Raises:
            StepContractError: `make` returned something else than the declared handle of this very artifact.
        """
        self.check_result(made)
        if made.key != self.key:
            raise StepContractError(
                f"it returned the artifact {made.key[:12]} and was to make {self.key[:12]}.",
                f"step {type(self).__name__}",
                "Return `output.finish(...)`.",
            )
        output.commit(made)
        context.artifacts.note_latest(made.stored, self.name)
        record = self._record(made, seconds, computed=output.computed_rows, pace=context.pace.total)
        logger.info("%s: %s", self.title, record)
        return Done(made, (record,))

    def explain_miss(self, context: Context) -> None:
        """Say in the log why the artifact has to be made."""
        logger.info("%s: computing, because %s", self.title, context.artifacts.explain_miss(self.payload, self.name))

    def _record(
        self, artifact: ArtifactHandle, seconds: float, *, computed: int, pace: Pace | None = None
    ) -> StepRecord:
        return StepRecord(
            step=self.name,
            kind=artifact.kind,
            key=artifact.key,
            rows=artifact.rows,
            seconds=seconds,
            computed=computed,
            reused=max(0, self.usable_rows(artifact) - computed),
            pace=pace,
        )

    def usable_rows(self, artifact: ArtifactHandle) -> int:
        """Rows that are computed or found; all of them, by default."""
        return artifact.rows

    @classmethod
    def _kind(cls) -> str:
        return str(cls.result_type().kind)


def _artifacts_in(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Every artifact inside a value, with the path to it: what must be kept as long as the step's own."""
    if isinstance(value, ArtifactHandle):
        yield path, value.key
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _artifacts_in(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _artifacts_in(item, f"{path}.{name}")
    elif isinstance(value, tuple | list):
        for place, item in enumerate(value):
            yield from _artifacts_in(item, f"{path}.{place}")
