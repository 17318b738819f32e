"""The controls: CODER on texts that lost their meaning, or the class's name. What would ensembling alone give?"""

from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.controls import PREFIX
from coder_core.steps.dataset import DatasetHandle
from coder_core.steps.predictions import PredictionInputs
from coder_core.steps.workplace import Product
from flows.sharded import predict
from tasks.controls import write_control_texts
from tasks.texts import embed_texts


def score_controls(
    spec: EvalSpec, dataset: DatasetHandle, bank: Product, seen: PredictionInputs, runtime: Runtime
) -> dict[str, Product]:
    """Classify the images by each control, as CODER does.

    Returns:
        Predictions by `control_<name>`, in the order of the spec.
    """
    found: dict[str, Product] = {}
    for control in spec.controls:
        name = f"{PREFIX}{control}"
        texts = write_control_texts(control, dataset, bank, spec, runtime)
        text_embeddings = embed_texts(texts, seen.encoder, runtime, step=f"embed_texts_{name}")
        inputs = seen.model_copy(update={"texts": texts.artifact, "text_embeddings": text_embeddings.artifact})
        product = predict(inputs, ("coder",), runtime)["coder"]
        found[name] = product.model_copy(update={"step": f"predict_{name}"})
    return found
