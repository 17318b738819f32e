"""SIGKILL of one worker of a cluster in the middle of a shard, and of the run itself: rows are those of threads.

The encoder of these runs holds one pass until its process is killed, so that the moment is no matter of luck. It also
notes every process that loads it: once each, and only where the cluster keeps an accelerator for it.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
import yaml

from bench.store_identity import find_damage, find_differences, find_repeated, read_content, read_ledgers
from coder_core.specs import Runtime
from coder_core.steps import load_dataset
from coder_core.storage.store import Store
from flows.coder_eval import coder_eval
from tests.fixtures_inputs import World, write_photos

from .conftest import worker_processes

PROJECT = Path(__file__).parents[2]
pytestmark = [
    *(  # not imported here: Ray reads its environment when it is
        pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")
        for package in ("prefect_dask", "prefect_ray")
    ),
    pytest.mark.slow,
    pytest.mark.thorough,
    pytest.mark.timeout(600),
]
IMAGES, PART, SHARD, PASS = 40, 5, 10, 4


class Loads(NamedTuple):
    """A process that loaded the encoder, and the accelerators that it was shown."""

    process: int
    accelerators: str


class Scene(NamedTuple):
    """An evaluation whose encoder can hold a pass."""

    photos: World
    folder: Path

    def runtime(self, name: str, **changes: object) -> Runtime:
        fields = {"device": "auto", "batch_size": PASS, "shard_images": SHARD, "workers": 2, **changes}
        return Runtime(store=str(self.photos.folder / name), **fields)

    def loads(self) -> list[Loads]:
        """By other processes than this one, which loads it to learn its identity."""
        lines = (self.folder / "loads").read_text().splitlines()
        found = [Loads(int(process), shown) for process, _, shown in (line.partition(" ") for line in lines)]
        return [load for load in found if load.process != os.getpid()]

    def ask_to_hold(self) -> None:
        (self.folder / "loads").write_text("")
        (self.folder / "asked").touch()

    def wait_for_holder(self) -> int:
        """The process that holds a pass: the pipe is read when one has opened it."""
        return int((self.folder / "holder").read_text())

    def end_waiting(self) -> None:
        """Let `wait_for_holder` fail where nobody will ever come."""
        try:
            os.close(os.open(self.folder / "holder", os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # nobody waits
            return


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("lost")
    install_encoder(folder / "packages")
    (folder / "holding").mkdir()
    os.mkfifo(folder / "holding" / "holder")
    (folder / "photos").mkdir()
    photos = write_photos(folder / "photos", tiny_clip, images_per_class=IMAGES // 4)
    encoder = {"kind": "custom", "name": "holding", "settings": {"folder": str(folder / "holding")}}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder / "packages")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder / "packages"), str(PROJECT)]))
        patch.setattr(load_dataset, "LISTING_ROWS", PART)
        yield Scene(World(photos.folder, {**photos.settings, "encoder": encoder}), folder / "holding")
    sys.modules.pop("holding_encoder", None)


def install_encoder(packages: Path) -> None:
    """As pip would: a module, and metadata that names its entry point."""
    metadata = packages / "holding_encoder-1.dist-info"
    metadata.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("holding_encoder.py"), packages)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: holding-encoder\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[coder_eval.encoders]\nholding = holding_encoder:load\n")


@pytest.fixture(scope="module")
def expected(scene: Scene, prefect_server: str) -> Store:  # noqa: ARG001 - the flow asks it
    """The store of a run on threads that nobody disturbed."""
    runtime = scene.runtime("threads")
    coder_eval(scene.photos.settings, [], runtime)
    return Store(runtime.store)


def check_same(store: Store, expected: Store) -> None:
    """Every row of every table and ledger, and every artifact; nothing is there twice."""
    assert find_differences(read_content(store), read_content(expected)) == []
    assert find_damage(store) == []
    assert find_repeated(read_ledgers(store)) == []


@contextmanager
def killing_the_holder(scene: Scene) -> Iterator[list[int]]:
    """Kill the process that holds a pass as soon as there is one; what is given holds its number afterwards."""
    killed: list[int] = []

    def kill() -> None:
        process = scene.wait_for_holder()
        assert process in {child.pid for child in psutil.Process().children(recursive=True)}
        os.kill(process, signal.SIGKILL)
        killed.append(process)

    scene.ask_to_hold()
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(kill)
        try:
            yield killed
        finally:
            scene.end_waiting()
    done.result()


@pytest.mark.parametrize("task_runner", ["dask", "ray"])
def test_a_worker_that_is_killed_costs_its_shard_and_changes_nothing(
    scene: Scene, expected: Store, monkeypatch: pytest.MonkeyPatch, task_runner: str
) -> None:
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"GPU": 2}')  # Ray's own variable: this machine need not have them
    runtime = scene.runtime(task_runner, task_runner=task_runner)
    before = worker_processes()
    with killing_the_holder(scene) as killed:
        coder_eval(scene.photos.settings, [], runtime)
    assert len(killed) == 1
    assert worker_processes() == before
    check_same(Store(runtime.store), expected)
    loads = scene.loads()
    assert len(loads) == len({load.process for load in loads}), "once per process, whatever it worked on"
    assert killed[0] in {load.process for load in loads} != {killed[0]}
    if task_runner == "ray":
        assert {load.accelerators for load in loads} <= {"0", "1"}, "each task was given one of its own"


def test_models_run_where_a_dask_cluster_says_that_it_has_accelerators(scene: Scene, expected: Store) -> None:
    import dask
    import distributed

    from tasks.dask_cluster import LOCAL_SETTINGS

    def worker(**options: object) -> dict[str, object]:
        return {"cls": distributed.Nanny, "options": {"nthreads": 1, "host": "127.0.0.1", "memory_limit": 0, **options}}

    (scene.folder / "loads").write_text("")
    scheduler = {"host": "127.0.0.1", "port": 0, "dashboard": False, "dashboard_address": "127.0.0.1:0"}
    workers = {"plain": worker(), "accelerated": worker(resources={"GPU": 1})}
    with (
        dask.config.set(LOCAL_SETTINGS),
        distributed.SpecCluster(workers, {"cls": distributed.Scheduler, "options": scheduler}) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(2)
        processes = client.run(os.getpid)
        resources = {name: worker["resources"] for name, worker in client.scheduler_info()["workers"].items()}
        there = {"task_runner": "dask", "task_runner_address": cluster.scheduler_address}
        runtime = scene.runtime("accelerated", **there)
        coder_eval(scene.photos.settings, [], runtime)
    check_same(Store(runtime.store), expected)
    (loaded,) = scene.loads()
    assert [resources[name] for name, process in processes.items() if process == loaded.process] == [{"GPU": 1}]


@pytest.mark.parametrize("task_runner", ["dask", "ray"])
def test_a_run_on_a_cluster_that_is_killed_is_gone_on_with(
    scene: Scene, expected: Store, prefect_server: str, tmp_path: Path, task_runner: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(scene.photos.settings))
    runtime = scene.runtime(f"{task_runner}-killed", task_runner=task_runner)
    chosen = {f"CODER_{name.upper()}": str(value) for name, value in runtime.model_dump(exclude_unset=True).items()}
    command = [sys.executable, "-c", START_RUN, str(config)]
    scene.ask_to_hold()
    with (tmp_path / "killed.log").open("wb") as log:
        environment = {**os.environ, **chosen, "PREFECT_API_URL": prefect_server}
        run = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
    try:
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(scene.wait_for_holder)
            try:
                waiting.result(timeout=300)
            finally:
                scene.end_waiting()
        started = psutil.Process(run.pid).children(recursive=True)
    finally:
        run.kill()
        run.wait(30)
    _, left = psutil.wait_procs(started, timeout=240)  # Ray's agents look for their node now and then
    assert left == [], "the cluster of a run ends with it"
    assert (scene.folder / "held").exists()
    coder_eval(scene.photos.settings, [], scene.runtime(f"{task_runner}-killed", task_runner=task_runner))
    check_same(Store(runtime.store), expected)


START_RUN = f"""
import sys
from coder_core.steps import load_dataset
load_dataset.LISTING_ROWS = {PART}
from flows.cli import main
main(["run", sys.argv[1]])
"""
