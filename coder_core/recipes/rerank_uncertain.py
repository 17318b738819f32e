"""CODER's second stage, step by step: from CODER's predictions to CODER*.

Which pairs of classes do uncertain images stand between? What tells those apart? Then the best few classes of every
uncertain image are compared pair by pair. Source: Yi et al., CVPR 2024, one-to-one rerank; pairs on demand are ours.
"""

from functools import partial
from typing import NamedTuple

from coder_core.atg.generation_report import GenerationReport
from coder_core.evaluation.threshold import GATE_ALL
from coder_core.input_contract import InputContract, ReadLabels
from coder_core.method_texts import contract_of_method, with_pictured
from coder_core.pipeline.artifact_types import (
    ClassifierArtifact,
    ConfusedPairsArtifact,
    RerankThreshold,
    TextBankArtifact,
)
from coder_core.pipeline.run_manifest import MethodRecord, RerankRecord
from coder_core.pipeline.runner import Runner
from coder_core.recipes.classify import classify
from coder_core.recipes.eval_inputs import Inputs
from coder_core.recipes.gather_texts import GatheredTexts, generate
from coder_core.specs import RERANK, DatasetSpec, EvalSpec
from coder_core.steps.assemble_bank import AssembleBank
from coder_core.steps.build_classifier import BuildRerank
from coder_core.steps.choose_threshold import ChooseThreshold, RefuseTestImages
from coder_core.steps.count_confused_pairs import CountConfusedPairs
from coder_core.steps.embed_images import EmbedImages
from coder_core.steps.embed_texts import EmbedTexts
from coder_core.steps.generate_texts import GenerateTexts, SelectPairs, chunk_pairs
from coder_core.steps.load_dataset import CheckSameClasses, LoadDataset
from coder_core.steps.predict_images import Predict, PredictAsReleased
from coder_core.steps.write_texts import WriteTexts
from coder_core.texts.kinds import TextKind


class Reranked(NamedTuple):
    """CODER*, how it came about, and what a language model was asked in this run."""

    method: MethodRecord
    record: RerankRecord
    generation: tuple[GenerationReport, ...]


def rerank_uncertain(spec: EvalSpec, stage1: MethodRecord, inputs: Inputs, run: Runner) -> Reranked:
    """Let one-to-one texts decide between the best classes of uncertain images.

    Args:
        spec: The evaluation.
        stage1: CODER in this run.
        inputs: What it was made from.
        run: The runner.
    """
    gate = spec.rerank
    confused = run(CountConfusedPairs(stage1=stage1.predictions, threshold=gate.threshold, candidates=gate.candidates))
    pair_inputs = embed_pair_texts(spec, confused, inputs, run)
    threshold = find_threshold(spec, stage1.for_any_image, pair_inputs, inputs, run)
    classifier = run(second_stage(spec, stage1.for_any_image, pair_inputs, threshold.threshold))
    method = MethodRecord(
        method=RERANK,
        texts=pair_inputs.texts,
        text_embeddings=pair_inputs.text_embeddings,
        classifier=classifier,
        predictions=run(_prediction(spec, classifier, inputs)),
        contract=rerank_contract(spec, stage1.contract or contract_of_method(stage1.method), pair_inputs.bank),
    )
    record = RerankRecord(confused=confused, threshold=threshold, candidates=gate.candidates)
    return Reranked(method, record, pair_inputs.generation)


def rerank_contract(spec: EvalSpec, stage1: InputContract, bank: TextBankArtifact) -> InputContract:
    """What CODER* has read beside CODER.

    A threshold that is chosen reads validation labels; where pairs are asked about on demand, the images under test
    decide which; the released code's protocol reads their labels.
    """
    labels: ReadLabels = "validation" if spec.rerank.choose_threshold else "none"
    if spec.protocol == "reference":
        labels = "test"
    on_demand = spec.texts.pairs == "confused"
    reranked = stage1.also(labels=labels, unlabelled_images=on_demand, texts=(TextKind.ONE_TO_ONE,))
    return with_pictured(reranked, (TextKind.ONE_TO_ONE,), bank.pictured_kinds)


def embed_pair_texts(spec: EvalSpec, confused: ConfusedPairsArtifact, inputs: Inputs, run: Runner) -> Inputs:
    """The same inputs, with the texts that tell pairs apart in the place of those of stage 1."""
    gathered = gather_pair_texts(spec, confused, inputs, run)
    texts = run(
        WriteTexts(
            classes=inputs.dataset.classes,
            bank=gathered.bank,
            domain=spec.texts.domain,
            domains=spec.texts.domains,
            kinds=(TextKind.ONE_TO_ONE,),
            label="write_pair_texts",
        )
    )
    embeddings = run(EmbedTexts(texts=texts, encoder=inputs.encoder, label="embed_pair_texts"))
    return inputs._replace(bank=gathered.bank, texts=texts, text_embeddings=embeddings, generation=gathered.generation)


def gather_pair_texts(spec: EvalSpec, confused: ConfusedPairsArtifact, inputs: Inputs, run: Runner) -> GatheredTexts:
    """Have texts generated about the pairs that matter, and put the bank together with them."""
    classes, texts, encoder = inputs.dataset.classes, spec.texts, inputs.encoder
    pairs = run(SelectPairs(confused=confused, classes=classes, texts=texts, budget=spec.rerank.pair_budget))
    ask = partial(GenerateTexts, classes=classes, texts=texts, encoder=encoder, shown=inputs.shown)
    asked = (ask(pairs=chunk) for chunk in chunk_pairs(pairs))
    reports = generate(spec, asked, run, before=inputs.generation)
    assemble = partial(AssembleBank, classes=classes, texts=texts, encoder=encoder, shown=inputs.shown)
    bank = run(assemble(pairs=tuple(pairs), label="assemble_pair_bank"))
    return GatheredTexts(bank, reports)


def second_stage(spec: EvalSpec, stage1: ClassifierArtifact, pair_inputs: Inputs, threshold: float) -> BuildRerank:
    """CODER* with a threshold."""
    return BuildRerank(
        stage1=stage1,
        texts=pair_inputs.texts,
        text_embeddings=pair_inputs.text_embeddings,
        encoder=pair_inputs.encoder,
        threshold=threshold,
        candidates=spec.rerank.candidates,
    )


def find_threshold(
    spec: EvalSpec, stage1: ClassifierArtifact, pair_inputs: Inputs, inputs: Inputs, run: Runner
) -> RerankThreshold:
    """Take the stated threshold, or choose one on the validation data set: all its images are looked at again."""
    if not spec.rerank.choose_threshold or spec.validation is None:
        return RerankThreshold(threshold=spec.rerank.threshold, source="constant")
    validation = embed_validation(spec.validation, inputs, run)
    methods = classify({"coder": "coder"}, validation, spec.logit_scale, run)
    classifier = run(second_stage(spec, stage1, pair_inputs, GATE_ALL))
    reranked = run(
        Predict(classifier=classifier, images=validation.images, encoder=validation.encoder, label=f"{RERANK}_of_all")
    )
    return run(
        ChooseThreshold(stage1=methods["coder"].predictions, reranked=reranked, labels=validation.dataset.labels)
    )


def embed_validation(source: DatasetSpec, inputs: Inputs, run: Runner) -> Inputs:
    """The same inputs, with the validation images in the place of the test images, which they must not be."""
    validation = run(LoadDataset(source=source, class_names=inputs.class_names))
    run(CheckSameClasses(classes=inputs.dataset.classes, others=validation.classes, what="validation"))
    images = run(EmbedImages(images=validation.images, encoder=inputs.encoder))
    run(RefuseTestImages(images=inputs.images, validation_images=images))
    return inputs._replace(dataset=validation, images=images)


def _prediction(spec: EvalSpec, classifier: ClassifierArtifact, inputs: Inputs) -> Predict:
    """Under `protocol: reference`, and only there, test labels say which images are looked at."""
    images, encoder = inputs.images, inputs.encoder
    if spec.protocol == "reference":
        labels = inputs.dataset.labels
        return PredictAsReleased(classifier=classifier, images=images, encoder=encoder, label=RERANK, labels=labels)
    return Predict(classifier=classifier, images=images, encoder=encoder, label=RERANK)
