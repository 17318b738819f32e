"""Tasks: what every number and kind of texts is worth."""

from prefect import task

from coder_core import steps
from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.dataset import DatasetHandle
from coder_core.steps.predictions import PredictionInputs
from coder_core.steps.rerank_tables import RerankEvidence
from coder_core.steps.workplace import Product
from tasks.artifacts import show_table
from tasks.logs import log_product
from tasks.policy import STEP_POLICY


@task(task_run_name="ablate-texts", **STEP_POLICY)
def ablate_texts(
    spec: EvalSpec, dataset: DatasetHandle, seen: PredictionInputs, reranked: RerankEvidence | None, runtime: Runtime
) -> Product:
    """Score CODER on subsets of its texts; the labels are read, so this stands beside the metrics."""
    product = steps.ablation.ablate_texts(spec, seen, reranked, dataset.labels, runtime)
    rows = steps.ablation.summarise_ablation(product.artifact, runtime)
    told = f"{spec.name}: top-1 accuracy by kinds and number of texts, mean and deviation over draws"
    show_table(spec.name, "ablation", [row._asdict() for row in rows], told)
    log_product(product)
    return product
