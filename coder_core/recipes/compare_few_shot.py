"""Few-shot, step by step: the pool of labelled images goes the way of the test images, then every draw is fitted."""

from coder_core.pipeline.run_manifest import FewShotDraw, FewShotRecord
from coder_core.pipeline.runner import Runner
from coder_core.recipes.eval_inputs import Inputs
from coder_core.specs import FewShotSpec
from coder_core.steps.embed_images import EmbedImages
from coder_core.steps.fit_few_shot import FitFewShot, PredictFewShot, metric_input, plan_draws
from coder_core.steps.load_dataset import CheckSameClasses, LoadDataset


def compare_few_shot(spec: FewShotSpec, inputs: Inputs, logit_scale: float, run: Runner) -> FewShotRecord:
    """Classify the test images by few-shot methods, for every number of shots and every draw."""
    pool = run(LoadDataset(source=spec.pool))
    run(CheckSameClasses(classes=inputs.dataset.classes, others=pool.classes, what="few_shot.pool"))
    pool_embeddings = run(EmbedImages(images=pool.images, encoder=inputs.encoder))
    fits = run.each(
        FitFewShot(
            shots=shots,
            seed=seed,
            methods=spec.methods,
            zero_shot=spec.zero_shot,
            views=spec.views,
            validation_per_class=spec.validation_per_class,
            allow_fewer=spec.allow_fewer,
            drop_shared=spec.drop_shared,
            metric_texts=metric_input(spec.texts),
            texts=inputs.texts,
            text_embeddings=inputs.text_embeddings,
            test_images=inputs.images,
            pool_images=pool.images,
            pool=pool_embeddings,
            pool_labels=pool.labels,
            encoder=inputs.encoder,
            logit_scale=logit_scale,
        )
        for shots, seed in plan_draws(spec)
    )
    predictions = run.each(PredictFewShot(fits=fit, images=inputs.images, encoder=inputs.encoder) for fit in fits)
    draws = tuple(FewShotDraw(fits=fit, predictions=found) for fit, found in zip(fits, predictions, strict=True))
    return FewShotRecord(pool=pool, pool_embeddings=pool_embeddings, draws=draws)
