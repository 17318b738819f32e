"""CODER on the texts that support images choose, and controls under the same selection."""

from coder_core.method_texts import contract_of_method, kinds_of_method, with_pictured
from coder_core.pipeline.artifact_types import ChosenTextsArtifact, ClassifierArtifact
from coder_core.pipeline.run_manifest import MethodRecord
from coder_core.pipeline.runner import Runner
from coder_core.recipes.compare_few_shot import FewShotPool
from coder_core.recipes.eval_inputs import Inputs
from coder_core.specs import EvalSpec
from coder_core.steps.predict_images import Predict
from coder_core.steps.select_texts import SUPPORT_SELECTED, ChooseTexts


def select_texts(
    spec: EvalSpec, inputs: Inputs, pool: FewShotPool | None, run: Runner, *, control: str | None = None
) -> dict[str, MethodRecord]:
    """Let the support of the first draw with most shots choose among texts; nothing where the spec does not ask for it.

    Args:
        spec: The evaluation.
        inputs: Images, and the texts to choose among: the evaluation's own, or those of a control.
        pool: Labelled images.
        run: The runner.
        control: The name of the control whose texts these are.
    """
    if spec.few_shot is None or pool is None or not spec.few_shot.select_texts:
        return {}
    chosen = run(
        ChooseTexts(
            shots=max(spec.few_shot.shots),
            seed=spec.few_shot.seed,
            allow_fewer=spec.few_shot.allow_fewer,
            drop_shared=spec.few_shot.drop_shared,
            texts=inputs.texts,
            text_embeddings=inputs.text_embeddings,
            test_images=inputs.images,
            pool=pool.images,
            pool_labels=pool.dataset.labels,
            encoder=inputs.encoder,
            logit_scale=spec.logit_scale,
            label="choose_texts" if control is None else f"choose_texts_{control}",
        )
    )
    name = SUPPORT_SELECTED if control is None else f"{control}_of_{SUPPORT_SELECTED}"
    classifier = ClassifierArtifact(key=chosen.key, rows=chosen.rows, method=chosen.method)
    predict = Predict(classifier=classifier, images=inputs.images, encoder=inputs.encoder, label=name)
    record = MethodRecord(
        method=name,
        texts=inputs.texts,
        text_embeddings=inputs.text_embeddings,
        classifier=classifier,
        predictions=run(predict),
        contract=with_pictured(
            contract_of_method("coder").also(labels="support"), kinds_of_method("coder"), inputs.bank.pictured_kinds
        ),
        controls=None if control is None else SUPPORT_SELECTED,
        note=_note(name, chosen),
    )
    return {name: record}


def _note(name: str, chosen: ChosenTextsArtifact) -> str:
    where = f"chosen on {chosen.images} support images" if chosen.images else "the default: no image to leave out"
    return f"{name} keeps {chosen.kept:.0%} of each class's descriptions, {where}"
