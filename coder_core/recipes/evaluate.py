"""The main job, step by step: what a reader opens first.

Handles travel between steps, never arrays; the store is the cache, so a second run finds what the first one made.
"""

from collections.abc import Iterable

from coder_core.pipeline.artifact_types import AblationArtifact, ClassifierArtifact, CoderMatrixArtifact
from coder_core.pipeline.eval_result import EvalResult
from coder_core.pipeline.run_manifest import MethodRecord, RunManifest
from coder_core.pipeline.runner import Runner
from coder_core.recipes.calibrate import calibrate, calibrate_by_batch
from coder_core.recipes.classify import classify
from coder_core.recipes.compare_few_shot import compare_few_shot, embed_pool
from coder_core.recipes.eval_inputs import Inputs, require_labels
from coder_core.recipes.gather_texts import gather_texts, stage1_texts
from coder_core.recipes.measure_and_publish import publish
from coder_core.recipes.rerank_uncertain import Reranked, embed_validation, rerank_uncertain
from coder_core.recipes.score_controls import score_controls
from coder_core.recipes.select_texts import select_texts
from coder_core.recipes.show_images import show_images
from coder_core.recipes.transduce import require_room, transduce
from coder_core.specs import RERANK, EvalSpec
from coder_core.steps.ablate_texts import AblateTexts
from coder_core.steps.embed_images import EmbedImages
from coder_core.steps.embed_texts import EmbedTexts
from coder_core.steps.load_dataset import LoadDataset
from coder_core.steps.preflight import CheckStore, IdentifyEncoder
from coder_core.steps.write_matrix import WriteMatrix
from coder_core.steps.write_texts import CheckTexts


def evaluate(spec: EvalSpec, run: Runner) -> EvalResult:
    """Evaluate CODER and its baselines on one data set: texts, embeddings, CODER, predictions, metrics, results."""
    require_labels(spec)
    inputs = embed_inputs(spec, run)
    methods = classify({name: name for name in spec.stage1_methods}, inputs, spec.logit_scale, run)
    pool = embed_pool(spec, inputs, run)
    selected = select_texts(spec, inputs, pool, run)
    reranked = rerank_uncertain(spec, methods["coder"], inputs, run) if RERANK in spec.methods else None
    transduced = transduce(spec, methods, inputs, run)
    calibrated = calibrate_methods(spec, methods, (*selected.values(), *transduced.methods), inputs, run)
    controls = score_controls(spec, inputs, pool, run)
    few_shot = compare_few_shot(spec, inputs, pool, run) if pool else None
    manifest = RunManifest(
        run_id=run.name_run(spec.name),
        name=spec.name,
        started_at=run.started_at,
        spec=spec.model_dump(mode="json"),
        dataset=inputs.dataset,
        encoder=inputs.encoder,
        bank=inputs.bank,
        texts=inputs.texts,
        text_embeddings=inputs.text_embeddings,
        images=inputs.images,
        methods=(
            *methods.values(),
            *([reranked.method] if reranked else []),
            *selected.values(),
            *calibrated.values(),
            *transduced.methods,
            *controls.values(),
        ),
        rerank=reranked.record if reranked else None,
        few_shot=few_shot,
        ablation=ablate_texts(spec, reranked, inputs, run),
        matrix=write_matrix(spec, inputs, run),
        transductions=transduced.found,
        shown=inputs.shown,
    )
    return publish(spec, manifest, reranked.generation if reranked else inputs.generation, run)


def embed_inputs(spec: EvalSpec, run: Runner) -> Inputs:
    """From a spec to everything that predictions are made from."""
    run(CheckStore())
    dataset = run(LoadDataset(source=spec.dataset, class_names=spec.class_names))
    encoder = run(IdentifyEncoder(encoder=spec.encoder))
    require_room(spec, dataset.images.rows, dataset.classes.class_count, encoder.dim)
    shown = show_images(spec, dataset, encoder, run)
    gathered = gather_texts(spec, dataset, encoder, run, shown=shown)
    texts = run(stage1_texts(spec, dataset, gathered.bank))
    run(CheckTexts(texts=texts, methods=spec.stage1_methods))
    text_embeddings, images = run.together(
        EmbedTexts(texts=texts, encoder=encoder), EmbedImages(images=dataset.images, encoder=encoder)
    )
    return Inputs(
        dataset=dataset,
        encoder=encoder,
        bank=gathered.bank,
        generation=gathered.generation,
        texts=texts,
        text_embeddings=text_embeddings,
        images=images,
        class_names=spec.class_names,
        shown=shown,
    )


def calibrate_methods(
    spec: EvalSpec, methods: dict[str, MethodRecord], others: Iterable[MethodRecord], inputs: Inputs, run: Runner
) -> dict[str, MethodRecord]:
    """Give methods other temperatures where the spec asks for it: by the batch, those that read texts alone."""
    if spec.calibrate == "batch":
        return calibrate_by_batch(methods, inputs, run)
    if not spec.calibrate or spec.validation is None:
        return {}
    able = (record for record in others if isinstance(record.classifier, ClassifierArtifact))
    everything = {**methods, **{record.method: record for record in able}}
    return calibrate(everything, inputs, embed_validation(spec.validation, inputs, run), run)


def ablate_texts(spec: EvalSpec, reranked: Reranked | None, inputs: Inputs, run: Runner) -> AblationArtifact | None:
    """Score CODER on subsets of its texts where the spec asks for it, with the rerank's texts and threshold."""
    if spec.ablation is None:
        return None
    return run(
        AblateTexts(
            ablation=spec.ablation,
            seed=spec.draw_seed,
            threshold=reranked.record.threshold.threshold if reranked else spec.rerank.threshold,
            candidates=spec.rerank.candidates,
            logit_scale=spec.logit_scale,
            texts=inputs.texts,
            pair_texts=reranked.method.texts if reranked else None,
            images=inputs.images,
            labels=inputs.dataset.labels,
            encoder=inputs.encoder,
            evaluation=spec.name,
        )
    )


def write_matrix(spec: EvalSpec, inputs: Inputs, run: Runner) -> CoderMatrixArtifact | None:
    """Write the explicit CODER matrix where the spec asks for it; classification does not need it."""
    if not spec.matrix.write:
        return None
    return run(WriteMatrix(images=inputs.images, text_embeddings=inputs.text_embeddings, encoder=inputs.encoder))
