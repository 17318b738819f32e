"""Are the classes that an evaluation would classify now those that it classified last?

Reads the class source (or the data set's own classes) and the class list of the evaluation's latest published run, and
says what is different. Whether somebody is told is decided apart, and once per change (`announcements`).
"""

from datetime import datetime

from coder_core.class_source.announcements import Announcements, is_due
from coder_core.class_source.changes import compare_classes
from coder_core.class_source.reading import name_source, read_class_source
from coder_core.class_source.settings import ClassSource
from coder_core.class_source.settling import Look, settle
from coder_core.classes import ClassList
from coder_core.errors import UnfinishedInputError
from coder_core.fingerprint import key_of
from coder_core.images.sources import open_source
from coder_core.specs import EvalSpec, FlagsDataset, Runtime, SplitDataset
from coder_core.steps.past_runs import find_latest_run, read_run_classes
from coder_core.steps.workplace import Handle, open_store
from coder_core.storage.addresses import redact


class ClassLook(Handle):
    """What a look at the classes of an evaluation saw.

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

    @property
    def change_key(self) -> str:
        """sha256 of the change and of what it is a change to."""
        return key_of([self.evaluated_run, self.added, self.removed, self.renamed])


def look_at_classes(spec: EvalSpec, runtime: Runtime) -> ClassLook:
    """Compare the classes that there are with those evaluated last.

    Raises:
        InputError: The source is missing, empty or contradicts itself.
        QueryError: The source's SQL is wrong, or does more than read.
        StoreError: The store refuses, or the class list of the latest run is gone.
    """
    listed = _outside_list(spec)
    source = _name_dataset(spec) if listed is None else name_source(listed)
    try:
        now = _read_classes_now(spec, runtime)
    except UnfinishedInputError as unfinished:
        return ClassLook(name=spec.name, source=source, unfinished=str(unfinished))
    artifacts = open_store(runtime)
    run_id = find_latest_run(artifacts, spec.name)
    before = read_run_classes(artifacts, run_id) if run_id else None
    change = compare_classes(before, now)
    return ClassLook(name=spec.name, source=source, evaluated_run=run_id, class_count=len(now), **change._asdict())


def claim_announcement(look: ClassLook, runtime: Runtime, *, now: datetime, is_under_way: bool) -> bool:
    """Whether this caller, and nobody else, is to announce the change that it saw.

    Args:
        look: What it saw.
        runtime: Where the store is.
        now: UTC.
        is_under_way: Whether a run of the evaluation is scheduled or going.

    Returns:
        False when nothing changed, when the change was announced and its run is still to come or going, or when
        another watcher has just taken it.
    """
    if look.unfinished is not None:
        return False
    announcements = Announcements(open_store(runtime).store, look.name)
    if not look.has_changed:
        announcements.clear()
        return False
    last = announcements.latest(look.change_key)
    if not is_due(last, now=now, is_under_way=is_under_way):
        return False
    return announcements.claim(look.change_key, last, now=now) is not None


def _outside_list(spec: EvalSpec) -> ClassSource | None:
    return None if isinstance(spec.dataset, FlagsDataset | SplitDataset) else spec.dataset.classes


def _read_classes_now(spec: EvalSpec, runtime: Runtime) -> ClassList:
    listed = _outside_list(spec)
    if listed is not None:
        return read_class_source(listed, settle_seconds=runtime.settle_seconds)
    return settle(lambda: _look_at_dataset(spec), settle_seconds=runtime.settle_seconds, place=_name_dataset(spec))


def _look_at_dataset(spec: EvalSpec) -> Look[ClassList]:
    """The data set's own classes; a folder into which images are still being copied is another one at every look."""
    source = open_source(spec.dataset)
    return Look(key_of([source.identity, source.classes.names]), source.classes)


def _name_dataset(spec: EvalSpec) -> str:
    return spec.dataset.kind if isinstance(spec.dataset, FlagsDataset) else redact(spec.dataset.path)
