"""What class names alone show: spelling that no caption has, ids instead of names, names that mean two things.

A CLIP model has read captions. `AnnualCrop`, `001.Black_footed_Albatross` and `n01440764` stand in none of them.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from coder_core.classes import ClassList, display_name, normalise_name
from coder_core.counted import counted
from coder_core.review.finding import Fault, Finding, show_changes, show_names
from coder_core.texts.bank_checks import find_equal_classes

__all__ = ["check_names"]

GENERAL = "general"
"""The domain whose sentences say nothing about what kind of thing a class is."""

HOMONYMS: Mapping[str, tuple[str, str]] = {
    "bass": ("bass fish", "bass guitar"),
    "bat": ("bat, a flying animal", "baseball bat"),
    "bow": ("archery bow", "ribbon bow"),
    "boxer": ("boxer dog", "boxer, an athlete"),
    "cardinal": ("cardinal bird", "cardinal of the church"),
    "crane": ("crane bird", "construction crane"),
    "cricket": ("cricket insect", "game of cricket"),
    "jaguar": ("jaguar, a wild cat", "Jaguar car"),
    "kite": ("kite bird", "toy kite"),
    "maillot": ("maillot, a swimsuit", "maillot, a jersey"),
    "mole": ("mole, a burrowing animal", "mole on skin"),
    "monitor": ("monitor lizard", "computer monitor"),
    "mouse": ("mouse, an animal", "computer mouse"),
    "nail": ("metal nail", "fingernail"),
    "organ": ("pipe organ", "organ of the body"),
    "palm": ("palm tree", "palm of a hand"),
    "pike": ("pike fish", "pike, a weapon"),
    "pitcher": ("baseball pitcher", "pitcher, a jug"),
    "pool": ("swimming pool", "pool table"),
    "python": ("python snake", "Python code"),
    "ray": ("ray, a fish", "ray of light"),
    "seal": ("seal, a sea animal", "wax seal"),
    "spring": ("metal spring", "spring season"),
    "swallow": ("swallow bird", "act of swallowing"),
    "tank": ("military tank", "storage tank"),
    "trunk": ("tree trunk", "trunk of an elephant"),
    "turkey": ("turkey bird", "the country Turkey"),
}
"""English words that a photograph can show as two different things, each with two names that say which."""

_WORDNET_ID = re.compile(r"n\d{8}")
_NUMBER = re.compile(r"(?<!\d)\d++[.\s_-]+(?=\D)")
_RUN_TOGETHER = re.compile(r"[A-Z]?[a-z]{2,}(?:[A-Z][a-z]*)+")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]")
_SUFFIX = re.compile(r"(?<![\s._-])[\s._-]*+(?:\(\d+\)|(?<!\d)\d+|copy|new|old)$")
_PREFIXES = ("Mac", "Mc")
"""What family names begin with: `McDonald` is one word."""


def check_names(
    classes: ClassList, *, domain: str = GENERAL, wordnet_names: Callable[[], Mapping[str, str]] | None = None
) -> list[Finding]:
    """Look at the names of classes.

    Args:
        classes: As the texts would say them.
        domain: Whose sentences they stand in: any but `general` says what a homonym means.
        wordnet_names: Gives WordNet id -> name; asked only where there are such ids.

    Returns:
        One finding per fault, with the names that are proposed.
    """
    spelling = [_wordnet_ids(classes, wordnet_names), _numbered(classes), _run_together(classes)]
    found = _without_clashes(classes, [finding for finding in spelling if finding is not None])
    found += [finding for finding in (_same_name(classes), _suffix_only(classes)) if finding is not None]
    return [*found, *(_homonyms(classes) if domain == GENERAL else ())]


def _without_clashes(classes: ClassList, found: list[Finding]) -> list[Finding]:
    """Proposals that would give two classes one name, told and not made; an id without a meaning is no better name."""
    proposed = {label: name for finding in found for label, name in finding.new_names.items()}
    labels_of: dict[str, list[int]] = {}
    for label, name in enumerate(classes):
        labels_of.setdefault(normalise_name(proposed.get(label, name)), []).append(label)
    groups = [tuple(group) for group in labels_of.values() if len(group) > 1 and proposed.keys() & set(group)]
    if not groups:
        return found
    ids = tuple(sorted(label for group in groups for label in group))
    kept = [_keep(finding, ids) if finding.fault is not Fault.WORDNET_ID else finding for finding in found]
    shown = "; ".join(f"{show_names(classes, group)} -> {_called(classes, proposed, group)!r}" for group in groups[:3])
    problem = f"{len(ids)} classes would share a name with another: {shown}."
    return [*kept, Finding(Fault.SAME_NAME, ids, problem, "No text could tell them apart: rename or merge them.")]


def _keep(finding: Finding, clashing: tuple[int, ...]) -> Finding:
    new_names = {label: name for label, name in finding.new_names.items() if label not in clashing}
    return finding._replace(new_names=new_names)


def _called(classes: ClassList, proposed: Mapping[int, str], group: tuple[int, ...]) -> str:
    return next(proposed.get(label, classes.names[label]) for label in group)


def _wordnet_ids(classes: ClassList, wordnet_names: Callable[[], Mapping[str, str]] | None) -> Finding | None:
    ids = tuple(label for label, name in enumerate(classes) if _WORDNET_ID.fullmatch(name.strip()))
    if not ids:
        return None
    table = wordnet_names() if wordnet_names else {}
    names = {label: table[word] for label in ids if (word := classes.names[label].strip()) in table}
    called = counted(len(ids), "class is", "classes are")
    problem = f"{called} called by WordNet ids, which no caption has: {show_names(classes, ids)}."
    missing = len(ids) - len(names)
    unknown = f" {missing} are not ImageNet-1k's: name them yourself." if missing else ""
    remedy = f"ImageNet's names: {show_changes(classes, names)}.{unknown}" if names else unknown.strip()
    return Finding(Fault.WORDNET_ID, ids, problem, remedy, names)


def _numbered(classes: ClassList) -> Finding | None:
    """Numbers in front of most names: one `7 up` among others is a name."""
    names = {label: _spoken(name) for label, name in enumerate(classes) if _NUMBER.match(name)}
    if len(names) < 2 or 2 * len(names) < len(classes):
        return None
    ids = tuple(names)
    problem = f"{len(ids)} names begin with a number: {show_names(classes, ids)}."
    return Finding(Fault.NUMBERED, ids, problem, f"Without it: {show_changes(classes, names)}.", names)


def _run_together(classes: ClassList) -> Finding | None:
    names = {
        label: _spoken(name) for label, name in enumerate(classes) if _is_run_together(name) and not _NUMBER.match(name)
    }
    if not names:
        return None
    ids = tuple(names)
    problem = f"{counted(len(ids), 'name is', 'names are')} words run together: {show_names(classes, ids)}."
    return Finding(Fault.RUN_TOGETHER, ids, problem, f"As words: {show_changes(classes, names)}.", names)


def _is_run_together(name: str) -> bool:
    words = display_name(name).split()
    return any(_RUN_TOGETHER.fullmatch(word) and not word.startswith(_PREFIXES) for word in words)


def _spoken(name: str) -> str:
    """A name as a caption would have it: no number in front, words apart."""
    words = display_name(_NUMBER.sub("", name, count=1)).split()
    return " ".join(
        " ".join(_WORD.findall(word)).lower()
        if _RUN_TOGETHER.fullmatch(word) and not word.startswith(_PREFIXES)
        else word
        for word in words
    )


def _same_name(classes: ClassList) -> Finding | None:
    groups = [group.class_ids for group in find_equal_classes(classes)]
    if not groups:
        return None
    ids = tuple(sorted(label for group in groups for label in group))
    shown = "; ".join(f"{show_names(classes, group)} (ids {', '.join(map(str, group))})" for group in groups[:3])
    problem = f"{len(ids)} classes share a name with another, up to case, `_` and blanks: {shown}."
    return Finding(Fault.SAME_NAME, ids, problem, "No text can tell them apart: rename or merge them.")


def _suffix_only(classes: ClassList) -> Finding | None:
    """`cat` beside `cat 2`, `cats` or `cat copy`; where no class has the bare name, the number is part of a name."""
    label_of = {normalise_name(name): label for label, name in enumerate(classes)}
    pairs = [
        (label_of[base], label)
        for name, label in label_of.items()
        for base in dict.fromkeys((_SUFFIX.sub("", name).strip(), name.removesuffix("s")))
        if base and base != name and base in label_of
    ]
    if not pairs:
        return None
    ids = tuple(sorted({label for pair in pairs for label in pair}))
    shown = "; ".join(f"{classes.names[one]!r} and {classes.names[other]!r}" for one, other in pairs[:3])
    problem = f"{counted(len(pairs), 'pair of names differs', 'pairs of names differ')} by a suffix only: {shown}."
    return Finding(Fault.SUFFIX_ONLY, ids, problem, "Say in the name what differs, or merge the classes.")


def _homonyms(classes: ClassList) -> Iterator[Finding]:
    for label, name in enumerate(classes):
        meanings = HOMONYMS.get(normalise_name(name))
        if meanings is not None:
            problem = f"{name!r} means two things that photographs show."
            remedy = f"Say which: {meanings[0]!r} or {meanings[1]!r} (class_names in the config), or set texts.domain."
            yield Finding(Fault.HOMONYM, (label,), problem, remedy)
