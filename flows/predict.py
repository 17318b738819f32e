"""Classify new images with a published run, under Prefect (`coder_core/recipes/predict.py`)."""

from prefect import flow

from coder_core.recipes.predict import Predicted
from coder_core.recipes.predict import predict as predict_images
from coder_core.recipes.published_runs import open_run
from coder_core.sealing import seal
from coder_core.specs import Runtime
from coder_core.storage.store import Store
from tasks.ended_runs import ended_with
from tasks.prefect_runner import call_flow_run, prefect_runner
from tasks.served_runs import check_fetched, check_written, served_runtime


@flow(name="predict")
def predict(
    run: str,
    images: list[str],
    method: str | None = None,
    shots: int | None = None,
    out: str | None = None,
    runtime: Runtime | None = None,
    adapt: bool = False,
) -> Predicted:
    """Say what new images show: the five best classes of each, with probabilities.

    Args:
        run: The id of a published run, the name of an evaluation (its latest run), or `latest`.
        images: Files, folders and patterns, as paths or fsspec URLs.
        method: A method of that run; default: `coder`, or the first that the run has for new images.
        shots: Of a few-shot method; default: the most that the run has.
        out: A `.parquet` file to write beside the store's own table, path or fsspec URL.
        runtime: Where and how fast; what is not given comes from CODER_* in the environment of the worker.
        adapt: Whether all the images together, without labels, move the classifier before it answers them.
    """
    runtime = served_runtime(runtime)
    check_fetched(images, "images")
    check_written(out, "out")
    images, out = [seal(image) for image in images], out and seal(out)
    manifest = open_run(Store(runtime.store), run)
    call_flow_run(f"predict-{manifest.run_id}")
    with prefect_runner(runtime, run_id=manifest.run_id) as runner:
        predicted = predict_images(manifest, images, runner, method=method, shots=shots, output=out, adapt=adapt)
    return ended_with(predicted, Predicted.describe)
