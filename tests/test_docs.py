"""The documentation says what the code does."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from coder_core.config import load_spec
from coder_core.report.reference import settings_markdown, tables_markdown
from flows.cli import main

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize(("page", "written"), [("settings.md", settings_markdown), ("tables.md", tables_markdown)])
def test_reference_pages_are_what_make_docs_would_write(page: str, written: object) -> None:
    assert callable(written)
    assert (ROOT / "docs" / page).read_text("utf-8") == written()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_ours_exists(page: Path) -> None:
    used = set(re.findall(r"^coder-eval ([a-z]+)", page.read_text("utf-8"), flags=re.MULTILINE))
    assert used <= set(main.commands)


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.split(r"[\[<>=~]", dependency)[0] for group in groups for dependency in group} - {"coder-eval"}
    reasons = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    assert [name for name in sorted(names) if name not in reasons and not name.startswith("types-")] == []
    assert [extra for extra in project["optional-dependencies"] if f"| `{extra}` |" not in reasons] == []


def test_every_config_is_valid() -> None:
    names = {load_spec(str(path)).name for path in sorted((ROOT / "configs").glob("*.yaml"))}
    assert {"flags", "dtd-features", "my-images"} <= names


def test_the_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    assert {"run", "test", "check", "help"} <= targets


def test_the_text_bank_example_is_a_text_bank() -> None:
    from coder_core.classes import ClassList
    from coder_core.texts.bank_file import parse_text_bank

    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "configuration.md").read_text("utf-8"), flags=re.DOTALL)
    example = next(block for block in blocks if "coder-text-bank/1" in block)
    names = [entry["name"] for entry in yaml.safe_load(example)["classes"]]
    classes = ClassList((*names, "dunnock"))
    with_rival = example.replace("one_to_one:", "- name: dunnock\n  attributes: [grey]\none_to_one:")
    bank = parse_text_bank(with_rival, place="docs/configuration.md", classes=classes)
    assert len(bank.classes[0].attributes) == 2
    assert bank.one_to_one[0, 1] == ("a cocked tail",)
