"""A cluster that is there before a run is used and left alone; a run on a cluster fails in the words of one on threads.

That both give the tables of threads is shown in `test_runners_agree`.
"""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from coder_core.errors import FeatureFileError
from coder_core.pipeline.context import Context
from coder_core.report.prediction_table import read_named
from coder_core.specs import Runtime
from coder_core.steps import load_dataset
from coder_core.storage.store import Store
from flows.coder_eval import coder_eval
from flows.predict import predict
from tests.fixtures_inputs import DIM, NAMES, World, rewrite_features, write_bank, write_photos, write_world

from .conftest import worker_processes

pytestmark = [
    *(  # not imported here: Ray reads its environment when it is
        pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")
        for package in ("prefect_dask", "prefect_ray")
    ),
    pytest.mark.slow,
    pytest.mark.usefixtures("prefect_server", "small_parts"),
]
CLUSTERS = ("dask", "ray")
PAIRS = [(one, other) for one in NAMES for other in NAMES if one != other]


@pytest.fixture(scope="module")
def small_parts() -> Iterator[None]:
    """Listings in parts of three images, so that twenty are several shards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load_dataset, "LISTING_ROWS", 3)
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> World:
    """Everything that is cut into shards: embeddings, predictions, a rerank of every image, controls, the matrix."""
    photos = write_photos(tmp_path_factory.mktemp("photos"), tiny_clip)
    write_bank(photos.folder / "bank.yaml", NAMES, PAIRS)
    methods = {"methods": ["clip", "vcd", "coder", "coder_rerank"], "rerank": {"threshold": 2.0}}
    return World(photos.folder, {**photos.settings, **methods, "controls": ["nameless"], "matrix": {"write": True}})


def runtime_of(folder: Path, task_runner: str) -> Runtime:
    return Runtime(store=str(folder / task_runner), device="cpu", shard_images=6, workers=2, task_runner=task_runner)


@pytest.fixture(scope="module")
def on_threads(photos: World) -> Runtime:
    """The runtime of a run on threads that has ended, and answered about its own images."""
    runtime = runtime_of(photos.folder, "threads")
    coder_eval(photos.settings, [], runtime)
    return runtime


def answered(photos: World, runtime: Runtime) -> list[tuple[str, object]]:
    predicted = predict("photos", [str(photos.folder / "images")], "coder_rerank", None, None, runtime)
    return [(row.image, row.top5) for row in read_named(Context.open(runtime), predicted.table)]


@pytest.fixture(scope="module")
def dask_address(photos: World) -> Iterator[str]:
    """A cluster that is there before any run, started in another folder."""
    import dask
    import distributed

    from tasks.dask_cluster import LOCAL_SETTINGS

    where = Path.cwd()
    os.chdir(photos.folder)
    settings = {"dashboard_address": None, "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}
    with (
        dask.config.set(LOCAL_SETTINGS),  # else Dask leaves OMP_NUM_THREADS=1 in the environment of this process
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", **settings) as cluster,
    ):
        os.chdir(where)
        yield cluster.scheduler_address


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_new_images_are_answered_alike_on_a_cluster_that_is_there(
    photos: World, on_threads: Runtime, dask_address: str
) -> None:
    expected = answered(photos, on_threads)
    assert len(expected) == 20
    for part in Store(on_threads.store).list("ledgers/image_embeddings"):
        Store(on_threads.store).delete(part)  # so that shards have work to do
    there = on_threads.model_copy(update={"task_runner": "dask", "task_runner_address": dask_address})
    before = worker_processes()
    assert answered(photos, there) == expected
    assert worker_processes() == before, "the cluster is not ours to end"


@pytest.mark.thorough
@pytest.mark.timeout(600)
@pytest.mark.parametrize("task_runner", CLUSTERS)
def test_a_failing_shard_is_told_as_on_threads(
    request: pytest.FixtureRequest, tmp_path: Path, capfd: pytest.CaptureFixture[str], task_runner: str
) -> None:
    world = write_world(tmp_path / "world")
    rewrite_features(world, features=np.ones((120, DIM + 1)))
    address = request.getfixturevalue("dask_address") if task_runner == "dask" else None
    before = worker_processes()
    told = {}
    for name in ("threads", task_runner):
        update = {"task_runner_address": address if name == "dask" else None, "workers": 1}  # starts in half the time
        with pytest.raises(FeatureFileError) as raised:
            coder_eval(world.settings, [], runtime_of(tmp_path, name).model_copy(update=update))
        told[name] = (type(raised.value), str(raised.value), raised.value.exit_code)
    assert told[task_runner] == told["threads"]
    assert "Traceback" not in "".join(capfd.readouterr())
    assert worker_processes() == before
