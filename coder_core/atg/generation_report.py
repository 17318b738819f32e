"""The report of a generation: what was generated, reused and failed, class by class and reason by reason, and the cost.

Every question is counted exactly once, as generated, reused or failed; so nothing can get lost without a word.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from coder_core.atg.parsing import Phrases
from coder_core.atg.questions import Plan
from coder_core.classes import ClassList
from coder_core.counted import counted
from coder_core.llm.completions import Completions, Spent
from coder_core.llm.faults import Problem
from coder_core.texts.kinds import TextKind

__all__ = [
    "ClassWithoutTexts",
    "FailedText",
    "FewPictures",
    "GenerationReport",
    "KindCount",
    "merge_reports",
    "write_report",
]

REASONS_SHOWN = 20
"""How many reasons for failures a printed report lists before it counts the rest."""
NAMES_SHOWN = 3
"""How many classes it names for each."""


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KindCount(_Row):
    """How many questions of one kind ended how, and what their answers took, good and bad."""

    kind: TextKind
    generated: int = 0
    reused: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0


class FailedText(_Row):
    """A class, or a pair of classes, without texts of a kind, and why."""

    kind: TextKind
    class_id: int
    class_name: str
    rival_id: int | None = None
    rival_name: str | None = None
    fault: str
    reason: str


class ClassWithoutTexts(_Row):
    """A class that lacks all texts of some kinds."""

    class_id: int
    class_name: str
    kinds: tuple[TextKind, ...]


class FewPictures(_Row):
    """A class of which fewer pictures were shown than were asked for, or none."""

    class_id: int
    class_name: str
    pictures: int


class GenerationReport(_Row):
    """What a generation did.

    Attributes:
        counts: Per kind; a question is generated, reused or failed.
        failed: What has no texts, and why.
        classes_told_apart: Ids of the classes that have texts of the kind `one_to_one`, sorted.
        few_pictures: Classes of which fewer pictures were shown than were asked for, by id.
        calls: HTTP calls made.
        bad_answers: Answers that came and were of no use.
        is_priced: Whether a price is known.
        analogues_dropped: Analogues that were too similar to another class.
        further_questions: Questions asked again for dropped analogues, held or not.
        stopped: Why it ended early; None when it did not.
        seconds: Time it took.
    """

    counts: tuple[KindCount, ...]
    failed: tuple[FailedText, ...] = ()
    classes_told_apart: tuple[int, ...] = ()
    few_pictures: tuple[FewPictures, ...] = ()
    calls: int = 0
    bad_answers: int = 0
    is_priced: bool = True
    analogues_dropped: int = 0
    further_questions: int = 0
    stopped: str | None = None
    seconds: float = 0.0

    @property
    def generated(self) -> int:
        """Questions that were answered now."""
        return sum(count.generated for count in self.counts)

    @property
    def reused(self) -> int:
        """Questions whose answers were held."""
        return sum(count.reused for count in self.counts)

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the questions that were answered."""
        return sum(count.prompt_tokens for count in self.counts)

    @property
    def completion_tokens(self) -> int:
        """Tokens of the answers, bad ones included."""
        return sum(count.completion_tokens for count in self.counts)

    @property
    def cost_usd(self) -> float:
        """Their price; 0 when none is known."""
        return sum(count.cost_usd for count in self.counts)

    @property
    def has_failures(self) -> bool:
        """Whether a question has no answer, or the generation ended early: a command should exit with an error."""
        return bool(self.failed) or self.stopped is not None

    @property
    def classes_without_texts(self) -> tuple[ClassWithoutTexts, ...]:
        """The classes that lack all texts of some kinds that were asked for, by id; an empty answer is an answer."""
        names: dict[int, str] = {}
        kinds: dict[int, dict[TextKind, None]] = {}
        for text in self.failed:
            for class_id, name in ((text.class_id, text.class_name), (text.rival_id, text.rival_name)):
                is_lacking = text.kind is not TextKind.ONE_TO_ONE or class_id not in self.classes_told_apart
                if class_id is not None and name is not None and is_lacking:
                    names[class_id] = name
                    kinds.setdefault(class_id, {})[text.kind] = None
        return tuple(
            ClassWithoutTexts(class_id=class_id, class_name=names[class_id], kinds=tuple(kinds[class_id]))
            for class_id in sorted(kinds)
        )

    def __str__(self) -> str:
        price = f"${self.cost_usd:.4f}" if self.is_priced else "price unknown, counted as $0"
        lines = [
            f"{self.generated} generated, {self.reused} reused, {len(self.failed)} failed; "
            f"{counted(self.calls, 'call')}, {counted(self.bad_answers, 'bad answer')}, "
            f"{self.prompt_tokens} + {self.completion_tokens} tokens, {price}, {self.seconds:.1f} s."
        ]
        if self.stopped:
            lines.append(f"Stopped early: {self.stopped}")
        lines += [f"  {line}" for line in self.few_pictures_lines]
        reasons: dict[tuple[str, str, str], list[str]] = {}
        for text in self.failed:
            name = text.class_name if text.rival_name is None else f"{text.class_name} / {text.rival_name}"
            reasons.setdefault((text.kind.value, text.fault, text.reason), []).append(name)
        for (kind, fault, reason), names in list(reasons.items())[:REASONS_SHOWN]:
            more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
            lines.append(f"  {kind} of {', '.join(names[:NAMES_SHOWN])}{more}: {fault}: {reason}")
        if len(reasons) > REASONS_SHOWN:
            lines.append(f"  and {len(reasons) - REASONS_SHOWN} other reasons.")
        return "\n".join(lines)

    @property
    def few_pictures_lines(self) -> list[str]:
        """One line on classes without a picture, one on those with few."""
        without = [few.class_name for few in self.few_pictures if not few.pictures]
        few = [f"{few.class_name} ({few.pictures})" for few in self.few_pictures if few.pictures]
        lines = [f"asked about without a picture, for there is none to be shown: {_shown(without)}"] if without else []
        return [*lines, *([f"asked about with fewer pictures than images_per_class: {_shown(few)}"] if few else [])]


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - REASONS_SHOWN} more" if len(names) > REASONS_SHOWN else ""
    return ", ".join(names[:REASONS_SHOWN]) + more


def write_report(
    classes: ClassList,
    plan: Plan,
    found: Mapping[str, Phrases | Problem],
    account: Completions,
    *,
    analogues_dropped: int,
    seconds: float,
    few_pictures: tuple[FewPictures, ...] = (),
) -> GenerationReport:
    """Count what became of every question of a plan."""
    counts: Counter[tuple[TextKind, str]] = Counter()
    failed = [_failed(classes, TextKind.ONE_TO_ONE, pair, problem) for pair, problem in plan.unaskable]
    told_apart: set[int] = set()
    for question in plan.questions:
        known = found[question.request.key]
        end = "generated" if question.request.key in account.generated else "reused"
        if isinstance(known, Problem):
            end = "failed"
            failed.append(_failed(classes, question.kind, question.class_ids, known))
        elif question.kind is TextKind.ONE_TO_ONE:
            told_apart.update(question.class_ids)
        counts[question.kind, end] += 1
    counts[TextKind.ONE_TO_ONE, "failed"] += len(plan.unaskable)
    keys = {request.key for request in plan.requests}
    return GenerationReport(
        counts=_kind_counts(counts, account.spent),
        failed=tuple(failed),
        classes_told_apart=tuple(sorted(told_apart)),
        few_pictures=few_pictures,
        analogues_dropped=analogues_dropped,
        further_questions=len((account.generated | account.reused) - keys),
        stopped=str(account.stop) if account.stop else None,
        seconds=seconds,
        **{name: getattr(account, name) for name in _ACCOUNT},
    )


def merge_reports(reports: Sequence[GenerationReport]) -> GenerationReport:
    """Add up the reports of chunks."""
    counts: Counter[tuple[TextKind, str]] = Counter()
    spent: dict[str, Spent] = {}
    for count in (count for report in reports for count in report.counts):
        counts.update({(count.kind, end): getattr(count, end) for end in _ENDS})
        used = Spent(count.prompt_tokens, count.completion_tokens, count.cost_usd)
        spent[count.kind] = spent.get(count.kind, Spent()).plus(used)
    stops = [report.stopped for report in reports if report.stopped]
    few = {few.class_id: few for report in reports for few in report.few_pictures}
    added = {name: sum(getattr(report, name) for report in reports) for name in (*_SUMS, *_ACCOUNT)}
    return GenerationReport(
        counts=_kind_counts(counts, spent),
        failed=tuple(text for report in reports for text in report.failed),
        classes_told_apart=tuple(sorted({class_id for report in reports for class_id in report.classes_told_apart})),
        few_pictures=tuple(few[class_id] for class_id in sorted(few)),
        stopped=stops[0] if stops else None,
        **added | {"is_priced": all(report.is_priced for report in reports)},
    )


_ENDS = ("generated", "reused", "failed")
_ACCOUNT = ("calls", "bad_answers", "is_priced")
"""What a report takes over from the account of the account."""
_SUMS = ("analogues_dropped", "further_questions", "seconds")


def _kind_counts(counts: Counter[tuple[TextKind, str]], spent: Mapping[str, Spent]) -> tuple[KindCount, ...]:
    kinds = [kind for kind in TextKind if kind in spent or any(counts[kind, end] for end in _ENDS)]
    return tuple(
        KindCount(kind=kind, **{end: counts[kind, end] for end in _ENDS}, **spent.get(kind, Spent())._asdict())
        for kind in kinds
    )


def _failed(classes: ClassList, kind: TextKind, class_ids: tuple[int, ...], problem: Problem) -> FailedText:
    rival_id = class_ids[1] if len(class_ids) > 1 else None
    return FailedText(
        kind=kind,
        class_id=class_ids[0],
        class_name=classes.names[class_ids[0]],
        rival_id=rival_id,
        rival_name=None if rival_id is None else classes.names[rival_id],
        fault=problem.fault.value,
        reason=problem.detail,
    )
