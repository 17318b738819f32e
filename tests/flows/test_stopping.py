"""One Ctrl-C in a terminal ends a command and all that it has started, and the next start goes on.

The signal goes to the whole foreground group, as from a keyboard: so these tests own a terminal.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from bench.terminal import CTRL_C, PATIENCE_SECONDS, Ended, Terminal
from tests.fixtures_deployment import user_environment
from tests.fixtures_inputs import write_photos
from tests.service.held_runs import BOUGHT, HELD_SECONDS, HeldScene, held_scene, stored_answers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
STOP_SECONDS = 5.0
"""From the signal to the end, on a machine that does nothing else; elsewhere as many times more as the command has
waited for the processor until then."""


def check_stopped(ended: Ended, number: int, *, is_pressed_twice: bool = False) -> None:
    assert ended.status == 128 + number, ended.told
    limit = STOP_SECONDS * min(20.0, max(1.0, ended.slowness))
    assert ended.seconds < limit, ended.told
    assert ended.left == []
    assert "Traceback" not in ended.told
    assert "Aborted!" not in ended.told
    name = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}[signal.Signals(number)]
    times_told = ended.told.count(f"Stopped by {name}. What was finished is kept in")
    assert ended.told.count("The same command goes on from there.") == times_told
    # a second key ends the command at once, which may be before it has said anything
    assert times_told == 1 or (is_pressed_twice and times_told == 0), ended.told


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A user's, without a server."""
    home = tmp_path_factory.mktemp("prefect")
    found = user_environment(home, "1")
    del found["PREFECT_API_URL"]
    patient = {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(int(PATIENCE_SECONDS))}
    return {**found, **patient, "OPENAI_API_KEY": "sk-not-checked", "CODER_DEVICE": "cpu"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> str:
    """An evaluation whose last step takes half a minute."""
    folder = tmp_path_factory.mktemp("photos")
    photos = write_photos(folder, tiny_clip, images_per_class=15)
    settings = {**photos.settings, "ablation": {"draws": 100, "texts_per_class": list(range(1, 25))}}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return str(folder / "config.yaml")


@pytest.mark.parametrize(
    ("step", "keys", "number"),
    [
        ("load-dataset: computing", [CTRL_C], signal.SIGINT),
        pytest.param("embed-images: computing", [CTRL_C], signal.SIGINT, marks=pytest.mark.thorough),
        ("ablate-texts: computing", [signal.SIGTERM], signal.SIGTERM),
        ("ablate-texts: computing", [CTRL_C, CTRL_C], signal.SIGINT),
    ],
)
def test_a_run_in_this_process_stops_at_any_step(
    environment: dict[str, str], config: str, tmp_path: Path, step: str, keys: list[bytes | signal.Signals], number: int
) -> None:
    store = str(tmp_path / "store")
    terminal = Terminal(("run", config, "--engine", "inline", "--store", store), environment)
    assert terminal.wait_for(step), terminal.told
    check_stopped(terminal.stop(*keys), number, is_pressed_twice=len(keys) > 1)


@pytest.mark.thorough
def test_a_run_under_a_temporary_server_stops_with_it(environment: dict[str, str], config: str, tmp_path: Path) -> None:
    """The server is in a session of its own: the signal does not reach it first, and it is gone with the command."""
    terminal = Terminal(("run", config, "--engine", "prefect", "--store", str(tmp_path / "store")), environment)
    assert terminal.wait_for("ablate-texts: computing"), terminal.told
    children = psutil.Process(terminal.pid).children()
    assert any("service.guarded_server" in child.cmdline() for child in children)
    check_stopped(terminal.stop(CTRL_C), signal.SIGINT)
    assert "Crash detected" in terminal.told, "the server still hears how the run ended"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> Iterator[HeldScene]:
    with held_scene(tmp_path_factory.mktemp("held"), tiny_clip) as scene:
        yield scene


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_generation_keeps_every_answer_that_has_arrived(
    environment: dict[str, str], scene: HeldScene, tmp_path: Path, number: signal.Signals
) -> None:
    scene.hold(HELD_SECONDS)
    store = str(tmp_path / "store")
    terminal = Terminal(
        ("texts", "generate", str(scene.config), "--store", store),
        {**environment, "CODER_LLM_BASE_URL": scene.server.url},
    )
    assert terminal.wait_until(lambda: sum(scene.server.good.values()) >= BOUGHT), terminal.told
    check_stopped(terminal.stop(CTRL_C if number == signal.SIGINT else number), number)
    assert stored_answers(store) == BOUGHT


@pytest.mark.parametrize("moment", ["import flows.program", "from flows.program import program; program()"])
def test_before_and_after_a_command_a_signal_is_no_traceback(moment: str) -> None:
    code = f"import atexit, os, signal; atexit.register(os.kill, os.getpid(), signal.SIGINT); {moment}"
    ended = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")
