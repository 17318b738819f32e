"""Tasks: few-shot, one cell (shots x draw) each."""

from prefect import task

from coder_core import steps
from coder_core.interruption import time_limit
from coder_core.specs import FewShotSpec, Runtime
from coder_core.steps.few_shot import Cell, FewShotInputs
from coder_core.steps.workplace import Product
from tasks.logs import log_product
from tasks.policy import SHARD_POLICY, SHARD_SECONDS


@task(task_run_name="few-shot-{cell.name}", **SHARD_POLICY)
def predict_few_shot(cell: Cell, inputs: FewShotInputs, spec: FewShotSpec, runtime: Runtime) -> Product:
    """Fit and select every method on one draw, and classify the test images."""
    with time_limit(SHARD_SECONDS):
        product = steps.few_shot.predict_cell(cell, inputs, spec, runtime)
    log_product(product)
    return product
