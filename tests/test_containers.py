"""Image and compose file: what they copy, run and set is there, secrets are asked for, only this machine is let in."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from coder_core.config import unknown_variables
from flows.cli import main

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SECRET = re.compile(r"(?i)password|secret|access_key")


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in joined.splitlines()]


def test_the_image_installs_what_is_locked_and_runs_as_nobody_special() -> None:
    found = instructions()
    runs = [words for name, words in found if name == "RUN"]
    assert any("--require-hashes --requirement requirements/run.txt" in words for words in runs)
    assert all("--no-deps" in words or "--constraint" in words or "apt-get" in words for words in runs)
    copied = [shlex.split(words)[0] for name, words in found if name == "COPY"]
    assert all((ROOT / path).exists() for path in copied)
    (user,) = (words for name, words in found if name == "USER")
    assert any(f"useradd --create-home --uid {user} " in words for words in runs)
    assert found[0][0] == "FROM"
    assert ":" in found[0][1]


def test_what_is_locked_without_hashes_is_still_every_release() -> None:
    """The `sed` of the Dockerfile, done here: one release per line, no hash, no continuation."""
    text = (ROOT / "requirements" / "dev.txt").read_text("ascii")
    kept = [re.sub(r" \\$", "", line) for line in text.splitlines() if "--hash=" not in line]
    assert all(re.match(r"[\w.-]+(\[[^\]]*\])?==[^\s;]+( ; .+)?$", line) for line in kept)
    assert {"s3fs", "pillow-heif"} <= {line.partition("==")[0] for line in kept}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_names_a_release_and_lets_nobody_else_in(name: str) -> None:
    service = SERVICES[name]
    assert not service["image"].endswith(":latest")
    assert ":" in service["image"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert set(service.get("depends_on", {})) <= set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_are_asked_for(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if SECRET.search(variable) or "@" in str(value):
            assert re.search(r"\$\{\w+:\?", value), f"{name}.{variable}"


def test_commands_and_variables_are_ours() -> None:
    typed = " ".join(str(word) for service in SERVICES.values() for word in service.get("command", ()))
    assert re.findall(r"coder-eval (\w+)", typed) == ["deploy"]
    assert "deploy" in main.commands
    assert (
        f"--pool {yaml.safe_load((ROOT / 'prefect.yaml').read_text())['deployments'][0]['work_pool']['name']}" in typed
    )
    variables = {name: "" for service in SERVICES.values() for name in service.get("environment", {})}
    assert unknown_variables({name: value for name, value in variables.items() if name.startswith("CODER_")}) == []
