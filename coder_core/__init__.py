"""CODER Eval as a library: classify images by texts instead of labels, and measure it honestly.

    from coder_core import evaluate

    result = evaluate("configs/flags.yaml", store="./store")

Nothing is loaded before it is used: a query must not wait for torch.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from coder_core.pipeline.eval_result import EvalResult
    from coder_core.portable.classifier import PortableClassifier
    from coder_core.recipes.predict import Predicted
    from coder_core.results.warehouse import Warehouse

__all__ = ["DEFAULT_STORE", "evaluate", "load_classifier", "open_warehouse", "predict"]

DEFAULT_STORE = "./store"


def evaluate(
    config: "str | Mapping[str, Any]", *, store: str | None = None, overrides: Sequence[str] = (), **runtime: Any
) -> "EvalResult":
    """Evaluate CODER and its baselines on one data set, in this process.

    Args:
        config: A path, a URL, `demo:flags`, or the settings themselves.
        store: Root of the store: a folder or an fsspec URL; default: CODER_STORE, or ./store.
        overrides: `key.path=value` settings that win over the config.
        **runtime: Fields of `coder_core.specs.Runtime`, such as `device` or `batch_size`.

    Raises:
        CoderError: Each expected failure is a subclass: place, problem, remedy.
    """
    from coder_core.config import load_runtime, load_spec
    from coder_core.pipeline.runner import inline_runner
    from coder_core.recipes.check import checked, require_sound
    from coder_core.recipes.evaluate import evaluate as recipe

    spec, settings = load_spec(config, overrides), load_runtime(**_with_store(store, runtime))
    with checked(spec, require_sound(spec, settings)), inline_runner(settings) as run:
        return recipe(spec, run)


def predict(
    run: str,
    images: Sequence[str],
    *,
    method: str | None = None,
    shots: int | None = None,
    store: str | None = None,
    output: str | None = None,
    adapt: bool = False,
    **runtime: Any,
) -> "Predicted":
    """Classify new images with a method of a published run, in this process.

    Args:
        run: The id of a run, the name of an evaluation (its latest run), or `latest`.
        images: Files, folders and patterns, as paths or fsspec URLs.
        method: A method of that run; default: `coder`, or the first that the run has for new images.
        shots: Of a few-shot method; default: the most that the run has.
        store: As for `evaluate`.
        output: A `.parquet` file to write.
        adapt: Whether all the images together, without labels, move the classifier before it answers them.
        **runtime: Fields of `coder_core.specs.Runtime`.
    """
    from coder_core.config import load_runtime
    from coder_core.pipeline.runner import inline_runner
    from coder_core.recipes.predict import predict as recipe
    from coder_core.recipes.published_runs import open_run
    from coder_core.storage.store import Store

    settings = load_runtime(**_with_store(store, runtime))
    manifest = open_run(Store(settings.store), run)
    with inline_runner(settings, run_id=manifest.run_id) as runner:
        return recipe(manifest, list(images), runner, method=method, shots=shots, output=output, adapt=adapt)


def load_classifier(path: "str | Path", *, encoder: str | None = None, device: str = "auto") -> "PortableClassifier":
    """An exported classifier, ready to predict; needs no store and no Prefect.

    Args:
        path: The folder that `coder-eval export` wrote.
        encoder: The model, as `coder-eval try --model` takes it; default: where the run's config had it.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
    """
    from coder_core.portable.classifier import load_classifier as load

    return load(path, encoder=encoder, device=device)


def open_warehouse(store: str | None = None) -> "Warehouse":
    """The result tables of a store, for read-only SQL: every table and view of docs/tables.md.

        warehouse = open_warehouse("./store")
        result = warehouse.query("FROM worst_classes WHERE is_latest AND method = 'coder' ORDER BY rank LIMIT 10")
        rows = [dict(zip(result.columns, row, strict=True)) for row in result.rows]

    Each query sees the runs that are published when it is asked, reads the files of the runs that it names only, and
    compares each with its hash; it runs in a process of its own with limits of memory and time (`QueryLimits`).
    `warehouse.export("results.duckdb")` writes everything into one file for other tools.

    Args:
        store: Root of the store: a folder or an fsspec URL; default: CODER_STORE, or ./store. One where nothing was
            published yet has empty tables.

    Raises:
        StoreError: The place holds something else, or refuses.
    """
    from coder_core.care.store_format import check_is_store
    from coder_core.results.warehouse import Warehouse
    from coder_core.storage.store import Store

    opened = Store(store if store is not None else (os.environ.get("CODER_STORE") or DEFAULT_STORE))
    check_is_store(opened)
    return Warehouse(opened)


def _with_store(store: str | None, runtime: Mapping[str, Any]) -> dict[str, Any]:
    return dict(runtime) if store is None else {**runtime, "store": store}
