"""A run that a server has started reads what is allowed; one that a person has typed reads what the person may."""

from pathlib import Path

import pytest
import yaml

from coder_core.allowed_places import VARIABLE
from coder_core.errors import ConfigError
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.recipes.sweep_choice import SweepChoice
from coder_core.specs import Runtime
from tasks.served_runs import (
    check_fetched,
    check_written,
    is_served,
    load_flow_spec,
    load_flow_sweep,
    served_runtime,
)
from tests.fixtures_inputs import World


@pytest.fixture
def config(world: World) -> str:
    path = world.folder / "config.yaml"
    path.write_text(yaml.safe_dump(world.settings))
    return str(path)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As Prefect tells a run of a deployment; its folder and its store are elsewhere."""
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "01a2")
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "deployed").mkdir()
    monkeypatch.chdir(tmp_path / "deployed")
    monkeypatch.setenv("CODER_STORE", str(tmp_path / "store"))
    assert is_served()


def test_a_person_reads_any_config(config: str) -> None:
    assert not is_served()
    assert load_flow_spec(config).name == "world"
    check_fetched(["http://127.0.0.1/x.png"], "images")
    check_written("/somewhere/x.parquet", "out")


@pytest.mark.usefixtures("served")
def test_a_server_does_not(config: str, monkeypatch: pytest.MonkeyPatch, world: World, tmp_path: Path) -> None:
    for asked in (config, "/etc/passwd", "/proc/self/environ", "http://127.0.0.1:9/x.yaml", "../config.yaml"):
        with pytest.raises(ConfigError, match=r"^config: .*only below allowed places"):
            load_flow_spec(asked)
    with pytest.raises(ConfigError, match=r"^texts\.bank: "):  # the settings themselves, and a file in them
        load_flow_spec(world.settings)
    assert load_flow_spec("demo:flags").name == "flags"
    monkeypatch.setenv(VARIABLE, str(world.folder))
    assert load_flow_spec(config).name == "world"
    with pytest.raises(ConfigError, match=r"^texts\.bank: /etc/passwd"):
        load_flow_spec(config, ["texts.bank=/etc/passwd"])
    with pytest.raises(ConfigError, match=r"^images: http://169\.254\.169\.254/x"):
        check_fetched(["/any/where.png", "s3://bucket/x.png", "http://169.254.169.254/x"], "images")
    with pytest.raises(ConfigError, match=r"^out: "):
        check_written(str(tmp_path / "x.parquet"), "out")
    check_written(str(world.folder / "x.parquet"), "out")


ELSEWHERE = {
    "runtime.store": lambda: Runtime(store="/srv/elsewhere"),
    "runtime.llm.base_url": lambda: Runtime(llm=LlmRuntime(base_url="http://keys.example.org/v1")),
    "runtime.task_runner_address": lambda: Runtime(task_runner_address="tcp://10.0.0.9:8786"),
}


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("what", ELSEWHERE)
def test_a_parameter_leads_a_worker_to_no_other_store_or_server(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ELSEWHERE[what]()
    with pytest.raises(ConfigError, match=rf"^{what}: .*only below allowed places"):
        served_runtime(asked)
    monkeypatch.setenv(VARIABLE, "/srv:http://keys.example.org:tcp://10.0.0.9:8786")
    assert served_runtime(asked) == asked


@pytest.mark.usefixtures("served")
def test_what_the_worker_says_itself_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODER_LLM_BASE_URL", "http://me:canary-9x@127.0.0.1:8000/v1")
    assert served_runtime(None) == Runtime()
    own = Runtime(workers=7)
    assert served_runtime(own) == own


@pytest.fixture
def sweep_file(world: World) -> Path:
    """A sweep whose one data set is a config beside it."""
    (world.folder / "config.yaml").write_text(yaml.safe_dump(world.settings))
    path = world.folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({"name": "s", "datasets": {"w": "config.yaml"}, "methods": ["clip"]}))
    return path


def test_a_person_sweeps_over_any_config(sweep_file: Path) -> None:
    (cell,) = load_flow_sweep(str(sweep_file), SweepChoice()).cells
    assert (cell.name, cell.problem) == ("s.w", None)


@pytest.mark.usefixtures("served")
def test_a_server_reads_no_sweep_and_nothing_that_one_names_from_elsewhere(
    sweep_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"^config: .*only below allowed places"):
        load_flow_sweep(str(sweep_file), SweepChoice())
    for dataset in (str(sweep_file.with_name("config.yaml")), {"config": "/etc/passwd.yaml"}, "http://127.0.0.1:9/x"):
        (cell,) = load_flow_sweep({"name": "s", "datasets": {"w": dataset}}, SweepChoice()).cells
        assert "only below allowed places" in str(cell.problem)
        assert cell.spec is None
    with pytest.raises(ConfigError, match="only below allowed places"):
        load_flow_sweep({"name": "s", "datasets": {"w": "x"}, "published": "/etc/passwd"}, SweepChoice())
    monkeypatch.setenv(VARIABLE, str(sweep_file.parent))
    (cell,) = load_flow_sweep(str(sweep_file), SweepChoice()).cells
    assert cell.problem is None
    (cell,) = load_flow_sweep(str(sweep_file), SweepChoice(overrides=("texts.bank=/etc/passwd",))).cells
    assert str(cell.problem).startswith("texts.bank: /etc/passwd")
