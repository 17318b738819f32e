"""Are the classes that an evaluation would classify now those that it classified last?

Reads the class source (or the data set's own classes) and the class list of the evaluation's latest published run, and
says what is different. Whether that is announced is decided apart, and once per change (`announcements`).
"""

from datetime import datetime
from typing import ClassVar

from coder_core.class_source.announcements import Announcements, is_due
from coder_core.class_source.changes import compare_classes
from coder_core.class_source.class_look import ClassLook
from coder_core.class_source.read_class_source import name_source, read_class_source
from coder_core.class_source.settings import ClassSource
from coder_core.class_source.settling import Look, settle
from coder_core.classes import ClassList, rename_classes
from coder_core.errors import UnfinishedInputError
from coder_core.fingerprint import key_of
from coder_core.images.renamed_classes import PLACE, open_renamed
from coder_core.pipeline.context import Context
from coder_core.pipeline.run_manifest import decode_run_manifest
from coder_core.pipeline.step import Step
from coder_core.results.result_tables import ResultTables
from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.load_dataset import read_classes
from coder_core.storage.addresses import redact


class LookAtClasses(Step[ClassLook]):
    """Compare the classes that there are with those evaluated last.

    Raises:
        InputError: The source is missing, empty or contradicts itself.
        QueryError: The source's SQL is wrong, or does more than read.
        StoreError: The store refuses, or the class list of the latest run is gone.
    """

    loop_free: ClassVar[str] = "compares two lists of names"

    spec: EvalSpec

    @property
    def title(self) -> str:
        """With the evaluation."""
        return f"look-at-classes-of-{self.spec.name}"

    def run(self, context: Context) -> ClassLook:
        """Look."""
        spec, listed = self.spec, _outside_list(self.spec)
        source = _name_dataset(spec) if listed is None else name_source(listed)
        try:
            now = _read_classes_now(spec, context.runtime)
        except UnfinishedInputError as unfinished:
            return ClassLook(name=spec.name, source=source, unfinished=str(unfinished))
        run_id = ResultTables(context.artifacts.store).latest(spec.name)
        before = _classes_of(context, run_id) if run_id else None
        change = compare_classes(before, now)
        return ClassLook(name=spec.name, source=source, evaluated_run=run_id, class_count=len(now), **change._asdict())


class ClaimAnnouncement(Step[int]):
    """Whether this caller, and nobody else, is to announce a change that it saw: the attempt's number, from 1.

    0 when nothing changed, when the change was announced and its run is still to come or going, or when another
    watcher has just taken it.
    """

    version: ClassVar[int] = 2
    loop_free: ClassVar[str] = "creates one file"

    look: ClassLook
    now: datetime
    is_under_way: bool

    def run(self, context: Context) -> int:
        """Claim it."""
        look = self.look
        if look.unfinished is not None:
            return 0
        announcements = Announcements(context.artifacts.store, look.name)
        if not look.has_changed:
            announcements.clear()
            return 0
        last = announcements.latest(look.change_key)
        if not is_due(last, now=self.now, is_under_way=self.is_under_way):
            return 0
        claim = announcements.claim(look.change_key, last, now=self.now)
        return claim.attempt if claim else 0


class WithdrawAnnouncement(Step[None]):
    """Take back what was claimed and could not be announced: the next look announces it."""

    loop_free: ClassVar[str] = "removes one file"

    look: ClassLook
    attempt: int

    def run(self, context: Context) -> None:
        """Withdraw it."""
        Announcements(context.artifacts.store, self.look.name).withdraw(self.look.change_key, self.attempt)


def _classes_of(context: Context, run_id: str) -> ClassList:
    content = ResultTables(context.artifacts.store).read_manifest(run_id)
    return read_classes(context, decode_run_manifest(content, run_id=run_id).dataset.classes)


def _outside_list(spec: EvalSpec) -> ClassSource | None:
    """The class list that is kept outside the data set, where there is one."""
    listed: ClassSource | None = getattr(spec.dataset, "classes", None)
    return listed


def _read_classes_now(spec: EvalSpec, runtime: Runtime) -> ClassList:
    listed = _outside_list(spec)
    if listed is not None:
        found = read_class_source(listed, settle_seconds=runtime.settle_seconds)
        return rename_classes(found, spec.class_names, PLACE)
    return settle(lambda: _look_at_dataset(spec), settle_seconds=runtime.settle_seconds, place=_name_dataset(spec))


def _look_at_dataset(spec: EvalSpec) -> Look[ClassList]:
    """The data set's own classes; a folder into which images are still being copied is another one at every look."""
    source = open_renamed(spec.dataset, spec.class_names)
    return Look(key_of([source.identity, source.classes.names]), source.classes)


def _name_dataset(spec: EvalSpec) -> str:
    return redact(str(getattr(spec.dataset, "path", spec.dataset.kind)))
