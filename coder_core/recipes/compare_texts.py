"""Texts of two runs, counted: a difference in accuracy says little about two generators where one wrote more."""

from collections import Counter
from typing import NamedTuple

from coder_core.loops import each
from coder_core.pipeline.context import Context
from coder_core.pipeline.run_manifest import RunManifest
from coder_core.recipes.run_comparison import TextCount
from coder_core.steps.load_dataset import read_classes
from coder_core.steps.write_texts import read_text_table
from coder_core.texts.kinds import TextKind

LOOK_EVERY = 4096


class _Counted(NamedTuple):
    """The texts of a run: how many of a kind there are about a class, and where those of a kind come from."""

    counts: Counter[tuple[TextKind, str]]
    sources: dict[TextKind, set[str]]
    names: frozenset[str]


def count_texts(context: Context, before: RunManifest, after: RunManifest) -> tuple[TextCount, ...]:
    """Count the texts of stage 1 about the classes that two runs share.

    Nothing is told where they read the same texts, nor, where classes differ, of a kind that is as it was.
    """
    if before.texts.key == after.texts.key:
        return ()
    old, new = _count(context, before), _count(context, after)
    names = sorted(old.names & new.names)
    kinds = [kind for kind in TextKind if kind in old.sources or kind in new.sources]
    found = tuple(_compare(kind, names, old, new) for kind in kinds) if names else ()
    if old.names == new.names:
        return found
    return tuple(text for text in found if text.unequal or text.sources_before != text.sources_after)


def _compare(kind: TextKind, names: list[str], old: _Counted, new: _Counted) -> TextCount:
    pairs = [(old.counts[kind, name], new.counts[kind, name]) for name in names]
    return TextCount(
        kind=kind.value,
        before=sum(pair[0] for pair in pairs) / len(names),
        after=sum(pair[1] for pair in pairs) / len(names),
        unequal=sum(pair[0] != pair[1] for pair in pairs),
        sources_before=tuple(sorted(old.sources.get(kind, ()))),
        sources_after=tuple(sorted(new.sources.get(kind, ()))),
    )


def _count(context: Context, run: RunManifest) -> _Counted:
    names = read_classes(context, run.dataset.classes).names
    counts: Counter[tuple[TextKind, str]] = Counter()
    sources: dict[TextKind, set[str]] = {}
    for row in each(read_text_table(context, run.texts), every=LOOK_EVERY):
        counts[row.kind, names[row.class_id]] += 1
        sources.setdefault(row.kind, set()).add(row.source)
    return _Counted(counts, sources, frozenset(names))
