"""The wheel alone, installed where there is nothing of the project, runs and serves from an empty folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures_deployment import PROJECT, processes_of

from .served import Served

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the wheel holds, without the packages that it needs: those are the tests' own."""
    built, installed = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", built, PROJECT], check=True, timeout=300
    )
    (wheel,) = built.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", installed, wheel], check=True, timeout=300)
    return installed


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_it_runs_the_demonstration_from_an_empty_folder(packages: Path, empty: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(packages), "CODER_STORE": str(tmp_path / "store")}
    whose = [sys.executable, "-c", "import coder_core, flows, service; print(coder_core.__file__)"]
    where = subprocess.run(whose, cwd=empty, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert Path(where.stdout.strip()).is_relative_to(packages)
    command = [sys.executable, "-m", "flows.program", "run", "--engine", "inline"]
    done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "flags: 1300 images of 65 classes" in done.stdout
    assert list(empty.iterdir()) == []


def test_it_serves_from_an_empty_folder(packages: Path, empty: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    served = Served(home, folder=empty, packages=packages)
    served.start()
    try:
        assert f"Deploying what {packages / 'service' / 'prefect.yaml'} names." in served.told
        told = served.place.prefect("deployment", "run", "coder-eval", "--watch")
        assert "completed" in told.lower()
        assert served.end(signal.SIGINT) == 128 + signal.SIGINT, served.told
        assert processes_of(home) == []
    finally:
        served.kill_all()
