"""What is installed is locked: every file by its hash, within the ranges of pyproject.toml, and from no named place."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from coder_core.limits import LIMITS
from tools.lock_requirements import pin_without_extras

ROOT = Path(__file__).parent.parent
FILES = ("run.txt", "dev.txt")
PINNED = re.compile(r"^([\w.-]+)(\[[^\]]*\])?==([^ ;]+)")


def blocks(name: str) -> list[str]:
    """One text for each requirement, with its hashes."""
    text = (ROOT / "requirements" / name).read_text("ascii")
    return [block for block in re.split(r"\n(?=\w)", text.strip()) if block]


def versions(name: str) -> dict[str, str]:
    found = [PINNED.match(block) for block in blocks(name)]
    return {match[1].lower().replace("_", "-").replace(".", "-"): match[3] for match in found if match}


@pytest.mark.parametrize("name", FILES)
def test_every_file_has_its_hash_and_no_place(name: str) -> None:
    assert len(blocks(name)) > 100
    assert [block for block in blocks(name) if not PINNED.match(block)] == []
    assert [block[:60] for block in blocks(name) if not re.search(r"--hash=sha256:[0-9a-f]{64}", block)] == []
    assert "://" not in "\n".join(blocks(name))
    assert not [block for block in blocks(name) if re.search(r"^\s*-(?!-hash)", block, re.MULTILINE)]


def test_both_files_agree() -> None:
    run, dev = versions("run.txt"), versions("dev.txt")
    assert {name: version for name, version in run.items() if dev.get(name) != version} == {}


def test_what_is_locked_is_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for name, asked in (
        ("run.txt", project["dependencies"]),
        ("dev.txt", [line for group in project["optional-dependencies"].values() for line in group]),
    ):
        locked = versions(name)
        for requirement in (Requirement(line) for line in asked if not line.startswith("coder-eval")):
            assert requirement.specifier.contains(locked[requirement.name.lower().replace("_", "-")]), requirement


def test_what_has_extras_is_pinned_without_them_too() -> None:
    for name in FILES:
        found = [match for match in map(PINNED.match, blocks(name)) if match]
        assert {match[1] for match in found if match[2]} <= {match[1] for match in found if not match[2]}
    given = "a[x, y]==1 ; sys_platform == 'linux' \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\n"
    assert pin_without_extras(given).splitlines()[3] == "a==1 ; sys_platform == 'linux' \\"
    assert pin_without_extras(given).count("--hash") == 4


def test_the_makefile_installs_from_them() -> None:
    text = (ROOT / "Makefile").read_text("utf-8")
    assert "--require-hashes" in text
    assert all(f"requirements/{name}" in text for name in FILES)


def test_every_limit_is_on_the_page_about_security() -> None:
    page = (ROOT / "docs" / "security.md").read_text("utf-8")
    assert [name for name in LIMITS if f"`{name}`" not in page] == []
