"""The generator: from class names to a text bank, paying for what is not known yet and for nothing else.

The ledger is asked first; a source brings what is missing; then everything is read back from the ledger and parsed, so
a first run, a resumed one and one that asks nobody give the same bank from the same rows. Analogous classes take
further rounds (`analogues`). No class vanishes: what has no texts is in the report, with the reason.
"""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from coder_core.atg.analogues import AnalogueSearch, Similarity, sift
from coder_core.atg.generation_report import FewPictures, GenerationReport, write_report
from coder_core.atg.generator_spec import GeneratorSpec
from coder_core.atg.parsing import Phrases
from coder_core.atg.prompts import PICTURED_KINDS
from coder_core.atg.questions import Pictures, Plan, Question, TextRequest, plan_questions
from coder_core.classes import ClassList
from coder_core.counted import counted
from coder_core.interruption import check_interruption
from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.completions import Completions, CompletionSource
from coder_core.llm.faults import Fault, Problem
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.llm.pricing import count_message_tokens, find_price, load_prices, picture_tokens
from coder_core.spec_base import Spec
from coder_core.texts.bank import PICTURED, ClassPair, ClassTexts, Phrase, TextBank
from coder_core.texts.kinds import TextKind

__all__ = ["CostEstimate", "Generated", "estimate_generation", "generate_phrases"]

EXPECTED_ANSWER_TOKENS = 90
"""One list of about eight short phrases as JSON (the published banks: 5 to 10 phrases of 5 words)."""

Found = Phrases | Problem
"""What is known of a request: the phrases of its classes, or why there are none."""

_FIELDS = {
    TextKind.ATTRIBUTE: "attributes",
    TextKind.ANALOGOUS_CLASS: "analogous_classes",
    TextKind.SYNONYM: "synonyms",
}


class CostEstimate(Spec):
    """What the answers to some questions would cost, one call each; printed by a dry run.

    Attributes:
        model: Who would be asked.
        calls: Questions that no ledger row answers.
        reused: Questions that one does.
        prompt_tokens: Tokens of the questions, roughly.
        completion_tokens: Tokens of the answers, roughly.
        cost_usd: Their price; 0 when none is known.
        is_priced: Whether a price is known.
        max_further_calls: How often, at most, analogous classes will be asked for again.
        pictures: Pictures that the questions show.
        tokens_per_picture: What each counts among the tokens of the questions.
    """

    model: str
    calls: int
    reused: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    is_priced: bool
    max_further_calls: int = 0
    pictures: int = 0
    tokens_per_picture: int = 0

    def __str__(self) -> str:
        price = f"about ${self.cost_usd:.4f}" if self.is_priced else "price unknown, counted as $0"
        further = (
            f", up to {counted(self.max_further_calls, 'further call')} for dropped analogues"
            if self.max_further_calls
            else ""
        )
        tokens = f"about {self.prompt_tokens} + {self.completion_tokens} tokens"
        shown = (
            f", {counted(self.pictures, 'picture')} of about {self.tokens_per_picture} tokens among them"
            if self.pictures
            else ""
        )
        calls, held = counted(self.calls, "call"), counted(self.reused, "answer is", "answers are")
        return f"{self.model}: {calls} ({held} held), {tokens}{shown}, {price}{further}."


class Generated(NamedTuple):
    """What came out.

    Args:
        bank: One entry per class of the list, in its order; classes that were not asked about are empty.
        report: What was generated, reused and failed, and what it cost.
    """

    bank: TextBank
    report: GenerationReport


def generate_phrases(
    classes: ClassList,
    spec: GeneratorSpec,
    *,
    ledger: CompletionLedger,
    source: CompletionSource | None,
    similarity: Similarity | None,
    class_ids: Sequence[int] | None = None,
    pairs: Sequence[ClassPair] = (),
    noun: str = "",
    pictures: Pictures | None = None,
) -> Generated:
    """Make the phrases of a class list, or of a chunk of it.

    Large lists are asked about chunk by chunk (`class_ids` from `chunk_class_ids`, one task each) and then read in one
    call with `source=None`, which reads the ledger alone. After the chunks, when nobody writes any more, call
    `ledger.compact()`; a run over the whole list does so itself.

    Args:
        classes: The whole class list: analogues are compared with every class, whatever the chunk.
        spec: What is asked for.
        ledger: Where answers are kept.
        source: Who brings what is missing; None to ask nobody: what is missing is then reported as failed.
        similarity: Cosines of analogues and class names; None to drop only those that are another class's name.
        class_ids: The chunk; None for all classes.
        pairs: Pairs of classes to tell apart, where `spec.kinds` has `one_to_one`.
        noun: What the photos show, "a texture" (`prompts.domain_noun`); empty where they show anything.
        pictures: Labelled pictures of the classes, where `spec.images_per_class` asks for some; without their bytes
            where nobody is asked.

    Returns:
        The bank (sources `llm:<model>`, and `llm:<model>+images` where pictures were shown) and the report.

    Raises:
        LlmError: The server refuses for good; what was answered before is kept.
        StoreError: The store refuses.
        ConfigError: The settings contradict each other.
    """
    started = time.monotonic()
    plan = plan_questions(classes, spec, class_ids=class_ids, pairs=pairs, noun=noun, pictures=pictures)
    answers = _Answers(ledger, source)
    found = answers.fetch(plan.requests)
    analogues = _search_analogues(plan, found, answers, classes, similarity, spec)
    found |= {key: _as_found(search) for key, search in analogues.items()}
    if answers.account.generated and class_ids is None:
        ledger.compact()
    report = write_report(
        classes,
        plan,
        found,
        answers.account,
        analogues_dropped=sum(len(search.dropped) for search in analogues.values()),
        few_pictures=_few_pictures(classes, plan, spec, pictures or {}),
        seconds=time.monotonic() - started,
    )
    return Generated(_build_bank(classes, plan, found, spec), report)


def estimate_generation(
    classes: ClassList,
    spec: GeneratorSpec,
    *,
    ledger: CompletionLedger,
    runtime: LlmRuntime,
    class_ids: Sequence[int] | None = None,
    pairs: Sequence[ClassPair] = (),
    noun: str = "",
    pictures: Pictures | None = None,
    is_batch: bool = False,
) -> CostEstimate:
    """Estimate what `generate_phrases` would cost, before anything is asked: the dry run.

    Args:
        classes: The whole class list.
        spec: What would be asked for.
        ledger: Where answers are kept.
        runtime: Prices.
        class_ids: The chunk; None for all classes.
        pairs: Pairs of classes to tell apart.
        noun: What the photos show.
        pictures: Pictures of the classes, without their bytes.
        is_batch: Whether the Batch API would be used.
    """
    requests = plan_questions(classes, spec, class_ids=class_ids, pairs=pairs, noun=noun, pictures=pictures).requests
    missing = ledger.missing(requests)
    price = find_price(spec.model, load_prices(runtime.prices))
    prompts = [request.messages(is_structured=True) for request in missing]
    each = picture_tokens(price)
    prompt_tokens = sum(count_message_tokens(messages, is_structured=True, picture=each) for messages in prompts)
    completion_tokens = sum(EXPECTED_ANSWER_TOKENS * len(request.subject.names) for request in missing)
    searches = sum(request.kind is TextKind.ANALOGOUS_CLASS for request in requests)
    return CostEstimate(
        model=spec.model,
        calls=len(missing),
        reused=len(requests) - len(missing),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost_usd=price.cost_usd(prompt_tokens, completion_tokens, is_batch=is_batch) if price else 0.0,
        is_priced=price is not None,
        max_further_calls=searches * spec.analogue_rounds,
        pictures=sum(len(request.pictures) for request in missing),
        tokens_per_picture=each,
    )


class _Answers:
    """The ledger and, behind it, the source; adds up the accounts of all rounds."""

    def __init__(self, ledger: CompletionLedger, source: CompletionSource | None) -> None:
        self.ledger = ledger
        self.source = source
        self.account = Completions()

    def fetch(self, requests: Sequence[TextRequest]) -> dict[str, Found]:
        """Get the phrases of requests: held, asked for, or the reason why not."""
        check_interruption()
        found: dict[str, Found] = self.ledger.usable(requests)
        self.account.reused |= found.keys() - self.account.generated
        missing = [request for request in requests if request.key not in found]
        if missing and self.source is not None and self.account.stop is None:
            self.account.include(self.source.complete(missing))
            found |= self.ledger.usable(missing)
        return {request.key: found.get(request.key) or self._why_not(request) for request in requests}

    def _why_not(self, request: TextRequest) -> Problem:
        default = self.account.stop or Problem(Fault.UNANSWERED, "the ledger has no answer, and nobody was asked.")
        return self.account.problems.get(request.key, default)


def _search_analogues(
    plan: Plan,
    found: Mapping[str, Found],
    fetched: _Answers,
    classes: ClassList,
    similarity: Similarity | None,
    spec: GeneratorSpec,
) -> dict[str, AnalogueSearch]:
    """Drop and ask again, all classes together, round by round; the searches go by the key of their first request."""
    searches: dict[str, AnalogueSearch] = {}
    for request in plan.requests:
        names = found[request.key]
        if request.kind is TextKind.ANALOGOUS_CLASS and not isinstance(names, Problem):
            searches[request.key] = AnalogueSearch(request)
            searches[request.key].add(names[0])
    for round_number in range(spec.analogue_rounds + 1):
        open_searches = [search for search in searches.values() if not search.is_done]
        sift(open_searches, classes, similarity, max_similarity=spec.max_similarity)
        unsatisfied = [search for search in open_searches if not search.is_done]
        if not unsatisfied or round_number == spec.analogue_rounds:
            break
        answers = fetched.fetch([search.next_request() for search in unsatisfied])
        for search in unsatisfied:
            again = answers[search.request.key]
            search.add(() if isinstance(again, Problem) else again[0])
    return searches


def _as_found(search: AnalogueSearch) -> Found:
    if search.kept:
        return (tuple(search.kept),)
    return Problem(Fault.UNUSABLE, f"all {len(search.dropped)} analogues are too similar to other classes.")


def _few_pictures(classes: ClassList, plan: Plan, spec: GeneratorSpec, pictures: Pictures) -> tuple[FewPictures, ...]:
    """The classes that were asked about with fewer pictures than there were to be, or with none."""
    if not spec.images_per_class:
        return ()
    asked = {
        class_id for question in plan.questions if question.kind in PICTURED_KINDS for class_id in question.class_ids
    }
    counts = {class_id: len(pictures.get(class_id, ())) for class_id in sorted(asked)}
    return tuple(
        FewPictures(class_id=class_id, class_name=classes.names[class_id], pictures=count)
        for class_id, count in counts.items()
        if count < spec.images_per_class
    )


def _build_bank(classes: ClassList, plan: Plan, found: Mapping[str, Found], spec: GeneratorSpec) -> TextBank:
    texts: list[dict[str, tuple[str, ...]]] = [{} for _ in range(len(classes))]
    one_to_one: dict[ClassPair, tuple[str, ...]] = {}
    for question in plan.questions:
        phrases = found[question.request.key]
        if isinstance(phrases, Problem):
            continue
        source = f"llm:{spec.model}{PICTURED if question.request.inputs.images else ''}"
        lists = [tuple(Phrase(phrase, source) for phrase in items[: spec.texts_per_class]) for items in phrases]
        if question.rival_id is None:
            texts[question.class_id][_FIELDS[question.kind]] = lists[0]
        else:
            one_to_one |= _both_directions(question, lists)
    return TextBank(classes=tuple(ClassTexts(**fields) for fields in texts), one_to_one=one_to_one)


def _both_directions(question: Question, lists: Sequence[tuple[str, ...]]) -> dict[ClassPair, tuple[str, ...]]:
    first, second = question.class_ids
    return {(first, second): lists[0], (second, first): lists[1]}
