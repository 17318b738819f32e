"""What changed between two runs."""

from typing import NamedTuple

from coder_core.class_source.changes import ClassChange
from coder_core.evaluation.class_shifts import AddedClass, ClassShift
from coder_core.evaluation.run_differences import MethodDifference
from coder_core.pipeline.artifact_handle import Handle


class SettingChange(NamedTuple):
    """A setting that the two configs, or what they name, do not share.

    Args:
        key: As in the config, e.g. `rerank.threshold`; in brackets what is no setting, e.g. `(content of the bank)`.
        before: In the earlier run, as JSON; None where it is absent.
        after: In the later run.
    """

    key: str
    before: str | None
    after: str | None


class TextCount(NamedTuple):
    """How many texts of one kind two runs read about each class.

    Args:
        kind: Of the texts.
        before: Texts per class in the earlier run, on average over the classes of both.
        after: The same of the later run.
        unequal: Classes of both about which one run reads more texts of this kind than the other.
        sources_before: Where those of the earlier run come from, e.g. `llm:gpt-4o`.
        sources_after: The same of the later run.
    """

    kind: str
    before: float
    after: float
    unequal: int
    sources_before: tuple[str, ...]
    sources_after: tuple[str, ...]


class RunComparison(Handle):
    """What changed between two runs.

    Attributes:
        before: The earlier run.
        after: The later run.
        settings: What the configs, and what they name, do not share.
        texts: Texts about the classes of both, kind by kind, where the runs read other texts: whether one had more.
        methods: Every method of both, on the images that both have.
        method: Whose predictions the classes are compared by; None where the runs have no method in common.
        change: Classes that were added, removed and renamed.
        images: Images that both runs have.
        shifts: Old classes, those that lost most to added ones first.
        added: Added classes, in the order of the class list.
    """

    before: str
    after: str
    settings: tuple[SettingChange, ...] = ()
    texts: tuple[TextCount, ...] = ()
    methods: tuple[MethodDifference, ...] = ()
    method: str | None
    change: ClassChange
    images: int
    shifts: tuple[ClassShift, ...]
    added: tuple[AddedClass, ...]
