"""The recipes of deploy/: what they start, set and ask for is there; what has a schema here is held against it."""

import json
import re
from collections.abc import Iterator
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from coder_core.config import load_runtime, unknown_variables
from flows.cli import main
from tasks.task_runner_choice import check_task_runner
from tests.test_containers import COMPOSE, SECRET
from tests.test_requirements import versions

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
IMAGE = re.compile(r"registry\.example/coder-eval:[\d.]+")
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text("utf-8")))


def find(value: Any, key: str) -> Iterator[Any]:
    """Every value of a key, however deep."""
    if isinstance(value, dict):
        yield from (found for name, inner in value.items() for found in ([inner] if name == key else find(inner, key)))
    elif isinstance(value, list):
        yield from (found for inner in value for found in find(inner, key))


def containers(path: Path) -> list[dict[str, Any]]:
    return [container for found in find(documents(path), "containers") for container in found]


def variables(path: Path) -> dict[str, str]:
    """What the manifests beside a cluster and its run set."""
    settings: dict[str, str] = documents(DEPLOY / "kubernetes" / "common.yaml")[0]["data"]
    return settings | {
        entry["name"]: entry["value"] for container in containers(path) for entry in container.get("env", ())
    }


def check_runs(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, task_runner: str) -> None:
    """Settings are ours, name a cluster of the right kind, and a store and server that other machines reach."""
    assert unknown_variables({name: value for name, value in variables.items() if name.startswith("CODER_")}) == []
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    runtime = load_runtime()
    check_task_runner(runtime)
    assert runtime.task_runner == task_runner
    assert runtime.device == "auto", "every process takes what it has: the run itself has no accelerator"
    assert "://" in runtime.store


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_containers_run_our_image_with_what_it_has(path: Path) -> None:
    found = containers(path)
    assert found
    for container in found:
        assert IMAGE.fullmatch(container["image"])
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        program, *words = container.get("args", ["ray"])
        assert program in {"prefect", "dask", "coder-eval", "ray"}
        if program == "coder-eval":
            assert words[0] in main.commands
            assert (ROOT / words[1]).is_file()
        if program == "dask":
            known = find_spec(f"distributed.cli.dask_{words[0]}")
            assert known is not None
            assert known.origin is not None
            text = Path(known.origin).read_text()
            assert [word for word in words if word.startswith("--") and word.removeprefix("--no-") not in text] == []


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_names_fit_together_and_secrets_lie_elsewhere(path: Path) -> None:
    here, common = documents(path), documents(DEPLOY / "kubernetes" / "common.yaml")
    assert {document["metadata"]["namespace"] for document in here} == {"coder-eval"}
    assert {reference["name"] for reference in find(here, "configMapRef")} <= {common[0]["metadata"]["name"]}
    told = (DEPLOY / "kubernetes" / "common.yaml").read_text()
    assert all(f"secret generic {reference['name']} " in told for reference in find(here, "secretRef"))
    assert [name for name in variables(path) if SECRET.search(name)] == []


@pytest.mark.parametrize(("name", "task_runner"), [("dask", "dask"), ("ray", "ray")])
def test_a_run_on_kubernetes_finds_its_cluster(name: str, task_runner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = DEPLOY / "kubernetes" / f"{name}.yaml"
    check_runs(variables(path), monkeypatch, task_runner)
    cluster = documents(path)[0]["metadata"]["name"]
    service = {"dask": f"tcp://{cluster}-scheduler:8786", "ray": f"ray://{cluster}-head-svc:10001"}[
        name
    ]  # operators' names
    assert variables(path)["CODER_TASK_RUNNER_ADDRESS"] == service
    limits = [container["resources"]["limits"] for container in containers(path)]
    assert sum(limit.get("nvidia.com/gpu") == "1" for limit in limits) == 1, "workers, not the scheduler, not the run"


def test_workers_of_dask_say_that_they_have_the_accelerator() -> None:
    from tasks.dask_cluster import RESERVED

    (worker,) = (found for found in containers(DEPLOY / "kubernetes" / "dask.yaml") if found["name"] == "worker")
    said = worker["args"][worker["args"].index("--resources") + 1]
    assert said == ",".join(f"{name}={count}" for name, count in RESERVED.items())


def test_the_cluster_of_ray_up_is_one_by_rays_own_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    spec = find_spec("ray")  # not imported: Ray reads its environment when it is
    assert spec is not None
    assert spec.submodule_search_locations is not None
    schema = Path(spec.submodule_search_locations[0]) / "autoscaler" / "ray-schema.json"
    (config,) = documents(DEPLOY / "ray-aws.yaml")
    jsonschema.validate(config, json.loads(schema.read_text("utf-8")))
    assert config["head_node_type"] in config["available_node_types"]
    assert IMAGE.fullmatch(config["docker"]["image"])
    words = [option.removeprefix("--env ").partition("=") for option in config["docker"]["run_options"]]
    check_runs({name: value for name, _, value in words}, monkeypatch, "ray")


def test_releases_are_those_that_are_locked() -> None:
    releases = versions("dev.txt")
    assert documents(DEPLOY / "kubernetes" / "ray.yaml")[0]["spec"]["rayVersion"] == releases["ray"]
    image = COMPOSE["x-project"]["image"].partition(":")[0]
    assert all(image in path.read_text() for path in [*MANIFESTS, DEPLOY / "ray-aws.yaml"])
    text = (ROOT / "Dockerfile").read_text()
    named = re.findall(r'PACKAGES="([^"]+)"', text)
    assert {package for words in named for package in words.split()} <= releases.keys()


@pytest.fixture
def slurm() -> ModuleType:
    spec = spec_from_file_location("deploy_slurm", DEPLOY / "slurm.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_job_of_slurm_starts_one_worker_with_its_accelerator(slurm: ModuleType) -> None:
    job = pytest.importorskip("dask_jobqueue.slurm").SLURMJob(
        "tcp://10.0.0.5:8786", name="worker-1", **slurm.JOB, python="/opt/coder-eval/.venv/bin/python"
    )
    lines = job.job_script().splitlines()
    assert {"#SBATCH -p gpu", "#SBATCH --gpus=1", "#SBATCH --cpus-per-task=8", "#SBATCH -t 04:00:00"} <= set(lines)
    (command,) = (line for line in lines if line.startswith("/opt/coder-eval/.venv/bin/python -m"))
    assert "tcp://10.0.0.5:8786" in command
    for words in ("--nthreads 1", "--resources GPU=1", "--name worker-1"):
        assert words in command


def test_a_run_on_slurm_is_told_of_its_cluster(slurm: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {**slurm.RUN, "CODER_TASK_RUNNER_ADDRESS": "tcp://10.0.0.5:8786", "CODER_STORE": "file:///shared/store"}
    check_runs(told, monkeypatch, "dask")
    assert slurm.JOB["cores"] == slurm.JOB["processes"] == 1
