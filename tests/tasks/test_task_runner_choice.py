"""A task runner that cannot work is refused before anything is started, in words that say what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coder_core.errors import ConfigError
from coder_core.specs import Runtime
from tasks import task_runner_choice
from tasks.task_runner_choice import check_task_runner

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The packages that are there, as far as the check can see."""
    packages = {"prefect_dask", "prefect_ray"}

    def find(name: str) -> object | None:
        return object() if name in packages else None

    monkeypatch.setattr(task_runner_choice, "find_spec", find)
    return packages


@pytest.mark.parametrize("name", ["dask", "ray"])
def test_a_missing_extra_is_named_with_its_remedy(installed: set[str], name: str) -> None:
    check_task_runner(Runtime(task_runner=name))
    installed.remove(f"prefect_{name}")
    with pytest.raises(ConfigError) as raised:
        check_task_runner(Runtime(task_runner=name))
    assert str(raised.value) == (
        f"CODER_TASK_RUNNER (runtime.task_runner): '{name}' needs the package prefect-{name}, which is not installed. "
        f"pip install -e '.[{name}]'"
    )
    check_task_runner(Runtime(task_runner="threads"))


def test_an_address_without_a_cluster_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^CODER_TASK_RUNNER_ADDRESS .*: 'tcp://there:8786'.*is 'threads'"):
        check_task_runner(Runtime(task_runner_address="tcp://there:8786"))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", ["dask", "ray"])
@pytest.mark.parametrize("address", ["foo", "tcp://foo", "host:", "host:port", "a b:1", "auto"])
def test_an_address_that_cannot_be_is_refused_before_anything_starts(name: str, address: str) -> None:
    with pytest.raises(ConfigError, match=r"^CODER_TASK_RUNNER_ADDRESS .*which ends in :<port>\. Write it like"):
        check_task_runner(Runtime(task_runner=name, task_runner_address=address))
    for good in ("tcp://host:8786", "host:6379", "ray://[::1]:10001"):
        check_task_runner(Runtime(task_runner=name, task_runner_address=good))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", ["dask", "ray"])
def test_a_store_in_memory_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"'memory://x' is in the memory of this one\. Use a folder"):
        check_task_runner(Runtime(task_runner=name, store="memory://x"))
    check_task_runner(Runtime(store="memory://x"))


@pytest.mark.slow
@pytest.mark.parametrize("command", [["run"], ["predict", "flags", "image.png"]], ids=" ".join)
def test_commands_refuse_before_prefect_is_loaded(command: list[str], tmp_path: Path) -> None:
    code = "import sys; sys.modules['prefect'] = None; from flows.cli import main; main()"  # importing it would fail
    environment = {**os.environ, "CODER_TASK_RUNNER_ADDRESS": "127.0.0.1:6379", "PYTHONPATH": str(PROJECT)}
    environment.pop("CODER_TASK_RUNNER", None)
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--store", str(tmp_path / "store")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(
        "error: CODER_TASK_RUNNER_ADDRESS (runtime.task_runner_address): '127.0.0.1:6379'"
    )
    assert not (tmp_path / "store").exists()


def test_the_packages_are_those_of_the_extras() -> None:
    extras = (PROJECT / "pyproject.toml").read_text()
    for name, package in task_runner_choice.PACKAGES.items():
        assert f'{name} = ["{package.replace("_", "-")}' in extras
