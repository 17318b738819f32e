"""What a look at the classes of an evaluation found: nothing, or what has changed since it ran last."""

from pydantic import BaseModel, ConfigDict

from coder_core.counted import counted
from coder_core.fingerprint import key_of


class ClassLook(BaseModel):
    """What a look at the classes of an evaluation found.

    Attributes:
        name: The evaluation.
        source: Where the classes come from.
        evaluated_run: The run it is compared with; None where nothing was published yet.
        class_count: Classes now; 0 where the source is unfinished.
        added: New classes.
        removed: Classes that are gone.
        renamed: Old and new names.
        unfinished: Why the source cannot be read yet; nothing is compared then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str
    evaluated_run: str | None = None
    class_count: int = 0
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    unfinished: str | None = None

    @property
    def has_changed(self) -> bool:
        """Whether the evaluation is out of date."""
        return bool(self.added or self.removed or self.renamed)

    def describe(self) -> str:
        """What was found, in one line of numbers: names are others' words."""
        if self.unfinished is not None:
            return f"{self.name}: the class list is not finished, nothing was compared"
        counts = f"{len(self.added)} added, {len(self.removed)} removed, {len(self.renamed)} renamed"
        return f"{self.name}: {counted(self.class_count, 'class')}, {counts if self.has_changed else 'nothing changed'}"

    @property
    def change_key(self) -> str:
        """sha256 of the change and of what it is a change to."""
        return key_of([self.evaluated_run, self.added, self.removed, self.renamed])
