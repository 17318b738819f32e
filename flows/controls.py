"""The controls: CODER on texts that lost their meaning, or the class's name. What would ensembling alone give?"""

from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.controls import PREFIX, ControlEvidence
from coder_core.steps.dataset import DatasetHandle
from coder_core.steps.predictions import PredictionInputs
from coder_core.steps.workplace import Product
from flows.sharded import predict
from tasks.controls import write_control_texts
from tasks.texts import embed_texts


def score_controls(
    spec: EvalSpec, dataset: DatasetHandle, bank: Product, seen: PredictionInputs, runtime: Runtime
) -> dict[str, ControlEvidence]:
    """Classify the images by each control, as CODER does; by `control_<name>`, in the order of the spec."""
    found: dict[str, ControlEvidence] = {}
    for control in spec.controls:
        name = f"{PREFIX}{control}"
        texts = write_control_texts(control, dataset, bank, spec, runtime)
        text_embeddings = embed_texts(texts, seen.encoder, runtime, step=f"embed_texts_{name}")
        inputs = seen.model_copy(update={"texts": texts.artifact, "text_embeddings": text_embeddings.artifact})
        predictions = predict(inputs, ("coder",), runtime)["coder"].model_copy(update={"step": f"predict_{name}"})
        found[name] = ControlEvidence(texts=texts, text_embeddings=text_embeddings, predictions=predictions)
    return found
