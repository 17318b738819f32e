"""Changes of a class list for people: what a look saw, and what new classes did to old ones."""

from collections.abc import Iterator, Sequence

from coder_core.steps.class_watch import ClassLook
from coder_core.storage.render import printable

NAMES_SHOWN = 20
"""Names of each kind that a terminal is shown; the counts are whole."""


def write_look(look: ClassLook) -> str:
    """Write what a look at the classes saw, one fact per line."""
    if look.unfinished is not None:
        return f"{printable(look.source)} is not finished, nothing was compared: {printable(look.unfinished)}"
    against = f"against run {look.evaluated_run}" if look.evaluated_run else f"{look.name} was never evaluated"
    return "\n".join([f"{printable(look.source)}: {look.class_count} classes, {against}", *_changes(look)])


def _changes(look: ClassLook) -> Iterator[str]:
    if not look.has_changed:
        yield "nothing changed"
    renamed = [f"{old} -> {new}" for old, new in look.renamed]
    for kind, names in (("added", look.added), ("removed", look.removed), ("renamed", renamed)):
        if names:
            yield f"{kind} ({len(names)}): {_shown(names)}"


def _shown(names: Sequence[str]) -> str:
    rest = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(printable(name) for name in names[:NAMES_SHOWN]) + rest
