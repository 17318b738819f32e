"""The controls: CODER on texts that lost their meaning, or the class's name. What would ensembling alone give?"""

from coder_core.pipeline.run_manifest import MethodRecord
from coder_core.pipeline.runner import Runner
from coder_core.recipes.classify import classify
from coder_core.recipes.compare_few_shot import FewShotPool
from coder_core.recipes.eval_inputs import Inputs
from coder_core.recipes.select_texts import select_texts
from coder_core.specs import EvalSpec
from coder_core.steps.embed_texts import EmbedTexts
from coder_core.steps.write_texts import CONTROL_PREFIX, WriteControlTexts


def score_controls(spec: EvalSpec, inputs: Inputs, pool: FewShotPool | None, run: Runner) -> dict[str, MethodRecord]:
    """Classify the images by each control, as the methods do that are controlled, in the order of the spec."""
    found: dict[str, MethodRecord] = {}
    for control in spec.controls:
        texts = run(
            WriteControlTexts(
                control=control,
                classes=inputs.dataset.classes,
                bank=inputs.bank,
                domain=spec.texts.domain,
                domains=spec.texts.domains,
                seed=spec.draw_seed,
            )
        )
        name = f"{CONTROL_PREFIX}{control}"
        embeddings = run(EmbedTexts(texts=texts, encoder=inputs.encoder, label=f"embed_texts_{name}"))
        changed = inputs._replace(texts=texts, text_embeddings=embeddings)
        methods = {name if method == "coder" else f"{name}_of_{method}": method for method in spec.controls_of}
        for called, record in classify(methods, changed, spec.logit_scale, run).items():
            found[called] = record.model_copy(update={"controls": methods[called]})
        found |= select_texts(spec, changed, pool, run, control=name)
    return found
