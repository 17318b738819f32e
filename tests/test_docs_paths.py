"""What the documentation names is there: files, modules, commands, options, variables of the environment."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from coder_core import open_warehouse
from coder_core.specs import Runtime
from flows.cli import main

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FOLDERS = ("bench", "coder_core", "configs", "deploy", "docs", "flows", "service", "tasks", "tests", "tools")
LEVELS = ("", "coder_core")
"""Where a path may begin: pages shorten `coder_core/coder/variants.py` to `coder/variants.py`."""

SUFFIXES = "json|md|py|svg|toml|yaml|yml"
FENCE = re.compile(r"^```.*?^```", flags=re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
PATH = re.compile(rf"(?<![\w./])(?:(?:[\w.-]+/)+[\w.-]*\.(?:{SUFFIXES})|(?:{'|'.join(FOLDERS)})/[\w./-]*)")
SOURCE_NAME = re.compile(r"[a-z_]+\.py")
MODULE = re.compile(rf"(?:{'|'.join(FOLDERS)})(?:\.\w+)+")
COMMAND = re.compile(r"(?<![\w/.])(?<!deployment run )coder-eval((?: [^`\n#|;>]*)?)")
OPTION = re.compile(r"(?<!\S)(--[a-z][\w-]*)")
QUOTED = re.compile(r'"(?:--)?([\w-]+)"')
BENCH = re.compile(r"python (?:-m bench\.|bench/)(\w+)(?:\.py)?([^`]*)")
VARIABLE = re.compile(r"\bCODER_[A-Z_]*[A-Z]\b")

EXAMPLES = {"make_flags.py", "my_encoder.py"}
"""Files that a page has its reader write."""
WRITTEN_BY_PROGRAMS = ("store/", "ledgers/", "artifacts/", "tables/", "publications/", "damaged/", "new/")
OPTIONS_OF_OTHERS = {"--stop-timeout", "--no_amp"}
"""Docker's, and CLIP_benchmark's."""


def read(page: Path) -> str:
    """A page without the changes that it proposes: they name what is not there yet."""
    return re.sub(r"^```diff\n.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def spans(page: Path) -> list[str]:
    """What stands in backticks outside of code blocks."""
    return SPAN.findall(FENCE.sub("", read(page)))


@cache
def source_names() -> frozenset[str]:
    return frozenset(path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


@cache
def sources() -> str:
    folders = ("coder_core", "flows", "service", "tasks")
    return "\n".join(path.read_text("utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py"))


def is_there(path: str, page: Path) -> bool:
    places = [page.parent / path, *(ROOT / level / path for level in LEVELS)]
    return any(place.exists() for place in places) or any(ROOT.glob(path))


def is_module(dotted: str) -> bool:
    """Whether a module, or a name that stands in the module before the last dot."""
    path = ROOT / dotted.replace(".", "/")
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    module = path.parent / "__init__.py" if path.parent.is_dir() else path.parent.with_suffix(".py")
    return module.is_file() and re.search(rf"\b{path.name}\b", module.read_text("utf-8")) is not None


def find_command(words: list[str]) -> click.Command:
    """The command that the first words name; a word that is no subcommand of a group is refused."""
    command: click.Command = main
    for word in words:
        if not isinstance(command, click.Group) or word.startswith("-"):
            break
        assert word in command.commands, f"there is no command `{word}`"
        command = command.commands[word]
    return command


def options_of(command: click.Command) -> set[str]:
    found = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return {*found, "--help"}


def all_commands(command: click.Command = main) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from all_commands(inner)


def typed_commands(page: Path) -> list[str]:
    """What stands after `coder-eval` in code, without what is quoted."""
    text = read(page)
    code = "\n".join([*FENCE.findall(text), *spans(page)])
    return [re.sub(r"\"[^\"\n]*\"?|'[^'\n]*'?", "QUOTED", found).strip() for found in COMMAND.findall(code)]


def asked_queries(page: Path) -> list[str]:
    """The SQL of every `coder-eval query`, and of the table of what to alert on."""
    typed = re.findall(r'coder-eval query "([^"]+)"', read(page))
    return [*typed, *re.findall(r"\| `(SELECT [^`]+)`", read(page))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    named = [path for span in spans(page) for path in PATH.findall(span) if "<" not in span and "://" not in span]
    gone = [path for path in named if not path.startswith(WRITTEN_BY_PROGRAMS) and not is_there(path, page)]
    assert gone == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_source_file_that_a_page_names_exists(page: Path) -> None:
    typed = re.findall(r"(?<!\S)(?:bench|tests|tools)/[\w/]+\.py", read(page))
    assert [path for path in typed if not (ROOT / path).is_file()] == []
    named = {span for span in spans(page) if SOURCE_NAME.fullmatch(span)}
    assert named - source_names() - EXAMPLES == set()


def test_the_page_about_the_inside_names_every_package_step_and_recipe() -> None:
    core = ROOT / "coder_core"
    packages = {path.parent.name for path in core.glob("*/__init__.py")}
    files = {path.name for folder in ("recipes", "steps") for path in (core / folder).glob("[!_]*.py")}
    assert (packages | files) - {Path(span).name for span in spans(ROOT / "docs" / "inside.md")} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    named = {dotted for dotted in MODULE.findall(read(page)) if not dotted.endswith((".md", ".py", ".yaml"))}
    assert [dotted for dotted in sorted(named) if not is_module(dotted)] == []


def typed_benches(page: Path) -> list[tuple[str, str]]:
    """Every bench that a page names, and what is typed after it."""
    text = read(page)
    code = [*"\n".join(FENCE.findall(text)).splitlines(), *re.findall(r"`([^`]+)`", FENCE.sub("", text))]
    return [found for line in code for found in BENCH.findall(line)]


def options_of_bench(name: str) -> set[str]:
    return {f"--{word}" for word in QUOTED.findall((ROOT / "bench" / f"{name}.py").read_text("utf-8"))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_bench_that_a_page_names_has_its_options(page: Path) -> None:
    for name, typed in typed_benches(page):
        assert set(OPTION.findall(typed)) <= options_of_bench(name), f"{name} {typed}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_names_has_its_options(page: Path) -> None:
    for typed in typed_commands(page):
        if not re.match(r"[a-z-]", typed) or typed.startswith("run:"):
            continue
        command = find_command(typed.split("{")[0].split())
        assert set(OPTION.findall(typed)) <= options_of(command), f"{page.name}: coder-eval {typed}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_that_stands_alone_belongs_to_a_command(page: Path) -> None:
    ours = {option for command in all_commands() for option in options_of(command)} | OPTIONS_OF_OTHERS
    ours |= {option for name, _ in typed_benches(page) for option in options_of_bench(name)}
    named = {option for span in spans(page) if span.startswith("--") for option in OPTION.findall(span)}
    assert named - ours == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_of_the_environment_is_read_somewhere(page: Path) -> None:
    settings = {f"CODER_{name.upper()}" for name in Runtime.model_fields}
    settings |= {f"CODER_LLM_{name.upper()}" for name in type(Runtime().llm).model_fields}
    named = set(VARIABLE.findall(read(page))) - settings
    assert [name for name in sorted(named) if name not in sources()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    code = [*FENCE.findall(read(page)), *spans(page)]
    named = {target for text in code for target in re.findall(r"(?<!\S)make ([a-z][a-z-]*)", text)}
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
    assert named - set(targets) == set()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_query_that_a_page_shows_finds_its_tables_and_columns(page: Path, tmp_path: Path) -> None:
    warehouse = open_warehouse(str(tmp_path))
    for sql in asked_queries(page):
        warehouse.query(sql)


def test_the_checks_find_what_is_wrong() -> None:
    page = ROOT / "README.md"
    assert not is_there("tasks/policy.py", page)
    assert is_there("coder/variants.py", page)
    assert not is_module("coder_core.storage.layout")
    assert is_module("coder_core.pipeline.runner.inline_runner")
    assert "--repair" not in options_of(find_command(["store", "gc"]))
    with pytest.raises(AssertionError, match="no command"):
        find_command(["texts", "buy"])
