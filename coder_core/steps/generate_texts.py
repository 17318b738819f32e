"""Buying texts from a language model: which classes and pairs to ask about, chunk by chunk, and what came of it.

Completions are rows of a ledger that any run may use; a chunk that is asked for again asks only what is missing.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Annotated, ClassVar

from coder_core.atg.generation_report import GenerationReport, merge_reports
from coder_core.atg.generator import CostEstimate, estimate_generation, generate_phrases
from coder_core.atg.generator_spec import GeneratorSpec
from coder_core.atg.prompts import domain_noun
from coder_core.atg.questions import Pictures, chunk_class_ids
from coder_core.classes import ClassList
from coder_core.counted import counted
from coder_core.encoders.base import IdentifiedEncoder
from coder_core.errors import ConfigError
from coder_core.fingerprint import NotIdentity
from coder_core.llm.batch_completions import BatchCompletions
from coder_core.llm.chat_requests import CompletionRequest
from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.completions import Completions
from coder_core.llm.direct_completions import DirectCompletions
from coder_core.llm.faults import LlmError
from coder_core.pipeline.artifact_types import ClassesArtifact, ConfusedPairsArtifact, ShownImages
from coder_core.pipeline.context import Context
from coder_core.pipeline.step import Step
from coder_core.pipeline.step_inputs import PackagedData
from coder_core.pipeline.traits import ASK, PREFLIGHT, Traits
from coder_core.specs import Runtime, TextsSpec
from coder_core.steps.assemble_bank import PROMPTS, name_similarity, read_bank_file
from coder_core.steps.choose_shown_images import read_pictures
from coder_core.steps.load_dataset import read_classes
from coder_core.texts.bank import ClassPair, TextBank
from coder_core.texts.kinds import TextKind

logger = logging.getLogger(__name__)

PAIRS_PER_CHUNK = 1_000
"""Pairs that one task asks about: minutes of a server that answers some ten questions a second."""


class PlanGeneration(Step[list[tuple[int, ...]]]):
    """Cut the class list into chunks of ids; none where no language model is asked."""

    loop_free: ClassVar[str] = "slices a list"

    classes: ClassesArtifact
    texts: TextsSpec

    def run(self, context: Context) -> list[tuple[int, ...]]:
        """Cut."""
        if self.texts.generator is None:
            return []
        classes = read_classes(context, self.classes)
        return list(chunk_class_ids(classes, size=context.runtime.classes_per_task))


class SelectPairs(Step[list[ClassPair]]):
    """The pairs to ask about after stage 1: most frequent first, without those that the bank's file has."""

    loop_free: ClassVar[str] = "walks through the pairs of a budget once"

    confused: ConfusedPairsArtifact
    classes: ClassesArtifact
    texts: TextsSpec
    budget: int

    def run(self, context: Context) -> list[ClassPair]:
        """Choose; none unless `texts.pairs` is `confused`."""
        if self.texts.pairs != "confused":
            return []
        from coder_core.coder.pairs import select_pairs
        from coder_core.steps.count_confused_pairs import read_pair_counts

        held = read_bank_file(self.texts, read_classes(context, self.classes)).one_to_one
        return list(select_pairs(read_pair_counts(context, self.confused), budget=self.budget, held=held))


class GenerateTexts(Step[GenerationReport]):
    """Buy the texts about a chunk of classes, or of pairs, that the ledger of completions lacks.

    Raises:
        LlmError: The server refuses for good; what was bought is kept.
    """

    traits: ClassVar[Traits] = ASK
    loop_free: ClassVar[str] = "the questions are a loop of `llm`, which can be stopped"

    classes: ClassesArtifact
    texts: TextsSpec
    encoder: IdentifiedEncoder
    class_ids: tuple[int, ...] = ()
    pairs: tuple[ClassPair, ...] = ()
    shown: ShownImages | None = None
    prompts: PackagedData = PROMPTS
    spent_usd: Annotated[float, NotIdentity("counts against a limit and decides no text")] = 0.0
    is_batch: Annotated[bool, NotIdentity("the way in which the same questions are asked")] = False

    @property
    def title(self) -> str:
        """With the first and last class, or pair."""
        if self.pairs:
            return "generate-texts-" + "..".join("-".join(map(str, pair)) for pair in (self.pairs[0], self.pairs[-1]))
        return f"generate-texts-{self.class_ids[0]}-{self.class_ids[-1]}"

    def run(self, context: Context) -> GenerationReport:
        """Ask what is missing."""
        classes = read_classes(context, self.classes)
        ledger = CompletionLedger(context.artifacts.store)
        ask = BatchCompletions if self.is_batch else DirectCompletions
        pairs = self.pairs or _pairs_at_once(classes, self.texts, within=self.class_ids)
        pictured = {*self.class_ids, *(class_id for pair in pairs for class_id in pair)}
        return generate_phrases(
            classes,
            generator_of(self.texts),
            ledger=ledger,
            source=ask(ledger, context.runtime.llm, spent_usd=self.spent_usd),
            similarity=name_similarity(context, self.texts, self.encoder),
            class_ids=self.class_ids,
            pairs=pairs,
            noun=domain_noun(self.texts.domain),
            pictures=read_pictures(context, self.shown, pictured, is_sent=True),
        ).report


class CheckGeneration(Step[GenerationReport]):
    """Add up what was generated, reused and failed; refuse to go on with half a bank.

    Raises:
        LlmError: Generation stopped early; with the reason and the number of questions without an answer.
    """

    traits: ClassVar[Traits] = PREFLIGHT
    loop_free: ClassVar[str] = "adds up a few reports"

    evaluation: str
    reports: tuple[GenerationReport, ...]

    def run(self, context: Context) -> GenerationReport:  # noqa: ARG002
        """Merge the reports and look at them."""
        report = merge_reports(list(self.reports))
        for line in report.few_pictures_lines:
            logger.warning("texts.generator: %s", line)
        check_generation(report)
        return report


def check_generation(report: GenerationReport) -> None:
    """Stop where generation stopped early, or gave nothing: half a bank would give half an answer.

    Raises:
        LlmError: With the reason; everything bought is kept.
    """
    if report.stopped:
        raise LlmError(
            f"{report.stopped} {counted(len(report.failed), 'question has', 'questions have')} no answer.",
            "texts.generator",
            "What was bought is kept: mend the reason (or raise CODER_LLM_MAX_COST_USD) and run again.",
        )
    if report.failed and not report.generated and not report.reused:
        reasons = Counter(f"{text.fault}: {text.reason}" for text in report.failed)
        (reason, _), *_ = reasons.most_common(1)
        raise LlmError(
            f"none of {counted(len(report.failed), 'question')} has an answer that can be used ({reason}).",
            "texts.generator",
            "Look at what the server sends: coder-eval texts generate tells every reason.",
        )


def read_generated(
    context: Context,
    classes: ClassList,
    texts: TextsSpec,
    encoder: IdentifiedEncoder,
    pairs: Sequence[ClassPair],
    shown: ShownImages | None = None,
) -> TextBank:
    """What the language model has written about the classes, from the ledger alone."""
    return generate_phrases(
        classes,
        generator_of(texts),
        ledger=CompletionLedger(context.artifacts.store),
        source=None,
        similarity=name_similarity(context, texts, encoder),
        pairs=[*_pairs_at_once(classes, texts), *pairs],
        noun=domain_noun(texts.domain),
        pictures=read_pictures(context, shown, None, is_sent=False),
    ).bank


def estimate_cost(
    context: Context,
    classes: ClassList,
    texts: TextsSpec,
    runtime: Runtime,
    *,
    pictures: Pictures | None = None,
    is_batch: bool = False,
) -> CostEstimate:
    """What the texts of a class list would cost beyond what the ledger holds: the dry run."""
    return estimate_generation(
        classes,
        generator_of(texts),
        ledger=CompletionLedger(context.artifacts.store),
        runtime=runtime.llm,
        pairs=_pairs_at_once(classes, texts),
        noun=domain_noun(texts.domain),
        pictures=pictures,
        is_batch=is_batch,
    )


class _NobodyAsked:
    """Takes questions down and answers none."""

    asked = 0

    def complete(self, requests: Sequence[CompletionRequest]) -> Completions:
        """Count."""
        self.asked += len(requests)
        return Completions()


def is_nothing_to_ask(context: Context, classes: ClassList, texts: TextsSpec, encoder: IdentifiedEncoder) -> bool:
    """Whether the ledger holds every answer, those to further questions about dropped analogues included.

    Names are embedded for it, as a run does.
    """
    nobody = _NobodyAsked()
    generate_phrases(
        classes,
        generator_of(texts),
        ledger=CompletionLedger(context.artifacts.store),
        source=nobody,
        similarity=name_similarity(context, texts, encoder),
        pairs=_pairs_at_once(classes, texts),
        noun=domain_noun(texts.domain),
    )
    return not nobody.asked


def chunk_pairs(pairs: Sequence[ClassPair]) -> list[tuple[ClassPair, ...]]:
    """Cut pairs to ask about into chunks."""
    return [tuple(pairs[start : start + PAIRS_PER_CHUNK]) for start in range(0, len(pairs), PAIRS_PER_CHUNK)]


def generator_of(texts: TextsSpec) -> GeneratorSpec:
    """What the language model is asked; pairs on demand add their kind.

    Raises:
        ConfigError: No language model is named.
    """
    if texts.generator is None:
        raise ConfigError("no language model is named.", "texts.generator", "Add `generator: {model: ...}`.")
    if texts.pairs != "confused":
        return texts.generator
    kinds = dict.fromkeys((*texts.generator.kinds, TextKind.ONE_TO_ONE))
    return texts.generator.model_copy(update={"kinds": tuple(kinds)})


def _pairs_at_once(classes: ClassList, texts: TextsSpec, *, within: Sequence[int] | None = None) -> Sequence[ClassPair]:
    """The pairs to ask about before stage 1; `within` takes those whose first class is one of some."""
    if texts.pairs != "all" or TextKind.ONE_TO_ONE not in generator_of(texts).kinds:
        return []
    chosen = set(range(len(classes)) if within is None else within)
    return [pair for pair in combinations(range(len(classes)), 2) if pair[0] in chosen]
