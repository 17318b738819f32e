"""What changed between two runs."""

from coder_core.class_source.changes import ClassChange
from coder_core.evaluation.class_shifts import AddedClass, ClassShift
from coder_core.pipeline.artifact_handle import Handle


class RunComparison(Handle):
    """What changed between two runs, for one method.

    Attributes:
        before: The earlier run.
        after: The later run.
        method: Whose predictions.
        change: Classes that were added, removed and renamed.
        images: Images that both runs have.
        shifts: Old classes, those that lost most to added ones first.
        added: Added classes, in the order of the class list.
    """

    before: str
    after: str
    method: str
    change: ClassChange
    images: int
    shifts: tuple[ClassShift, ...]
    added: tuple[AddedClass, ...]
