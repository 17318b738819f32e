"""The documentation says what the code does."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from coder_core.config import load_spec, unknown_variables
from coder_core.report.reference import questions_markdown, settings_markdown, tables_markdown
from coder_core.specs import EvalSpec
from flows.cli import main

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize(
    ("page", "written"),
    [("settings.md", settings_markdown), ("tables.md", tables_markdown), ("questions.md", questions_markdown)],
)
def test_reference_pages_are_what_make_docs_would_write(page: str, written: object) -> None:
    assert callable(written)
    assert (ROOT / "docs" / page).read_text("utf-8") == written()


def test_every_setting_is_a_row_of_the_settings_page() -> None:
    """The page is walked as a reader does; the settings come from the JSON schema, which pydantic makes by itself."""
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    sections = [set(re.findall(r"^\| `([a-z_0-9]+)` \|", part, flags=re.MULTILINE)) for part in page.split("\n## ")]
    schema = EvalSpec.model_json_schema()
    models = {"EvalSpec": schema, **schema["$defs"]}
    settings = {name: set(model["properties"]) for name, model in models.items() if "properties" in model}
    assert {"FewShotSpec", "RerankSpec", "AblationSpec", "SplitDataset", "GeneratorSpec"} <= set(settings)
    assert [name for name, keys in settings.items() if keys not in sections] == []


def test_every_variable_of_ours_is_known() -> None:
    """A variable that the code reads and nobody declared would be warned of as unknown."""
    code = [path for package in ("coder_core", "flows", "tasks", "service") for path in (ROOT / package).rglob("*.py")]
    read = {name for path in code for name in re.findall(r'"(CODER_[A-Z_]*[A-Z])"', path.read_text("utf-8"))}
    assert read
    assert unknown_variables(dict.fromkeys(read, "")) == []
    (line,) = unknown_variables({"CODER_BATCHSIZE": "8", "CODER_BATCH_SIZE": "8", "coder_device": "cpu"})
    assert line.endswith("Did you mean CODER_BATCH_SIZE?")


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
    names = {
        load_spec(str(path)).name for path in sorted((ROOT / "configs").glob("*.yaml")) if "-sweep" not in path.name
    }
    assert {"flags", "dtd-features", "my-images"} <= names


def test_a_config_that_needs_files_of_elsewhere_begins_with_saying_so() -> None:
    needing = [path for path in (ROOT / "configs").rglob("*.yaml") if "shared/data" in path.read_text("utf-8")]
    assert needing
    first = {path.name: path.read_text("utf-8").splitlines()[0] for path in needing}
    assert [name for name, line in first.items() if not line.startswith("# Needs files that are no part of this")] == []


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
