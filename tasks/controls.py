"""Tasks: what ensembling alone would give."""

from prefect import task

from coder_core import steps
from coder_core.specs import ControlName, EvalSpec, Runtime
from coder_core.steps.dataset import DatasetHandle
from coder_core.steps.workplace import Product
from tasks.policy import STEP_POLICY


@task(task_run_name="write-texts-control-{control}", **STEP_POLICY)
def write_control_texts(
    control: ControlName, dataset: DatasetHandle, bank: Product, spec: EvalSpec, runtime: Runtime
) -> Product:
    """Take one thing away from CODER's texts."""
    return steps.controls.write_control_texts(
        control, dataset.classes, bank.artifact, spec.texts, spec.draw_seed, runtime
    )
