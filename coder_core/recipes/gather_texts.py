"""What is said about the classes: missing texts are generated, a bank is put together, sentences are written.

Chunks of classes are asked about one after the other, so that what has been spent is known before the next one begins.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from coder_core.atg.generation_report import GenerationReport
from coder_core.encoders.base import IdentifiedEncoder
from coder_core.method_texts import kinds_of_methods
from coder_core.pipeline.artifact_types import Dataset, ShownImages, TextBankArtifact
from coder_core.pipeline.runner import Runner
from coder_core.specs import IMAGES_ALONE, EvalSpec, FewShotSpec
from coder_core.steps.assemble_bank import AssembleBank
from coder_core.steps.fit_few_shot import METRIC_KINDS
from coder_core.steps.generate_texts import CheckGeneration, GenerateTexts, PlanGeneration
from coder_core.steps.write_texts import WriteTexts
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, NAMING_KINDS, TextKind


class GatheredTexts(NamedTuple):
    """A bank, and the accounts of asking for the texts in it."""

    bank: TextBankArtifact
    generation: tuple[GenerationReport, ...]


def gather_texts(
    spec: EvalSpec, dataset: Dataset, encoder: IdentifiedEncoder, run: Runner, *, shown: ShownImages | None = None
) -> GatheredTexts:
    """Have missing texts generated, with pictures where there are some to show, and put the bank together."""
    chunks = run(PlanGeneration(classes=dataset.classes, texts=spec.texts))
    asked = (
        GenerateTexts(classes=dataset.classes, texts=spec.texts, encoder=encoder, class_ids=class_ids, shown=shown)
        for class_ids in chunks
    )
    reports = generate(spec, asked, run)
    bank = run(AssembleBank(classes=dataset.classes, texts=spec.texts, encoder=encoder, shown=shown))
    return GatheredTexts(bank, reports)


def generate(
    spec: EvalSpec, asked: Iterable[GenerateTexts], run: Runner, *, before: Sequence[GenerationReport] = ()
) -> tuple[GenerationReport, ...]:
    """Ask chunk after chunk; gives the accounts of all, those of `before` in front.

    Raises:
        LlmError: It stopped early; what was bought is kept.
    """
    reports = list(before)
    for step in asked:
        spent_usd = sum(report.cost_usd for report in reports)
        reports.append(run(step.model_copy(update={"spent_usd": spent_usd})))
    if len(reports) > len(before):
        run(CheckGeneration(evaluation=spec.name, reports=tuple(reports[len(before) :])))
    return tuple(reports)


def stage1_texts(spec: EvalSpec, dataset: Dataset, bank: TextBankArtifact) -> WriteTexts:
    """The sentences that methods, few-shot and the ablation of an evaluation read."""
    return WriteTexts(
        classes=dataset.classes,
        bank=bank,
        domain=spec.texts.domain,
        domains=spec.texts.domains,
        kinds=kinds_needed(spec),
    )


def kinds_needed(spec: EvalSpec) -> tuple[TextKind, ...]:
    """Kinds of text that an evaluation reads; the CODER matrix, where asked for, takes all neighbour texts."""
    needed = set(kinds_of_methods(spec.stage1_methods))
    if spec.few_shot is not None:
        needed |= set(kinds_of_methods([name for name in (spec.few_shot.zero_shot,) if name != "none"]))
        needed |= set(METRIC_KINDS) if _makes_a_metric(spec.few_shot) else set()
        needed |= set(kinds_of_methods(["coder"] if spec.few_shot.select_texts else []))
    if spec.ablation is not None:
        needed |= {*NAMING_KINDS, *DESCRIPTIVE_KINDS}
    if spec.matrix.write:
        needed |= set(TextKind) - {TextKind.TEMPLATE}
    return tuple(kind for kind in TextKind if kind in needed)


def _makes_a_metric(few_shot: FewShotSpec) -> bool:
    """Whether few-shot methods read the evaluation's own texts: not those of a file, and not where images are alone."""
    return few_shot.texts is None and bool(set(few_shot.methods) - set(IMAGES_ALONE))
