"""Reference pages that cannot go stale: settings and result tables, written from the code that defines them.

`make docs` writes them into docs/; a test fails when they differ from the code.
"""

import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from coder_core.atg.generator_spec import GeneratorSpec
from coder_core.class_source.settings import ClassFile
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.results.examples import EXAMPLES
from coder_core.results.schema import TABLES, VIEWS, Column
from coder_core.specs import EvalSpec, Runtime

REMARKS: dict[type[BaseModel], str] = {
    EvalSpec: "Top level of a config.",
    ClassFile: "Of a folder or features data set; see new-classes.md.",
    GeneratorSpec: "Asked of any OpenAI-compatible server; the key comes from `OPENAI_API_KEY` only.",
    Runtime: "Not part of a config, and never part of a result's identity: `CODER_<FIELD>` in the environment.",
    LlmRuntime: "In the environment: `CODER_LLM_<FIELD>`.",
}


_TABLES_REMARK = (
    "Asked with `coder-eval query`; read by other tools as [store.md](store.md#reading-results-with-other-tools) says. "
    "Times are UTC. A column that is younger than a run is null in the rows of that run."
)

_VIEWS_REMARK = (
    'A name for a question, asked like a table: `coder-eval query "FROM worst_classes WHERE is_latest"`. '
    "`WHERE is_latest` keeps the latest run of each evaluation, and `WHERE run_id = '...'` one run; either makes the "
    "query read the files of these runs only. [questions.md](questions.md) has questions that use them."
)


def settings_markdown() -> str:
    """Every setting with its type, default and meaning."""
    lines = ["<!-- written by `make docs` -->", "# Every setting", ""]
    found = find_settings(EvalSpec) | find_settings(Runtime, "Runtime")
    for model, places in found.items():
        also = f"The same for {', '.join(f'`{place}`' for place in places[1:])}." if len(places) > 1 else ""
        remarks = [remark for remark in (REMARKS.get(model, ""), also) if remark]
        lines += [f"## {_heading(model, places[0])}", "", *([" ".join(remarks), ""] if remarks else [])]
        lines += [*_settings_table(model), ""]
    return "\n".join(lines)


def find_settings(model: type[BaseModel], place: str = "") -> dict[type[BaseModel], list[str]]:
    """Walk the types below a model: every model with the places in a config where it may stand, in order.

    Args:
        model: The whole.
        place: What the whole is called; empty for a config.
    """
    found: dict[type[BaseModel], list[str]] = {model: [place]}
    waiting = [(model, place)]
    while waiting:
        here, path = waiting.pop(0)
        inner = []
        for name, field in here.model_fields.items():
            for below, suffix in _models_in(field.annotation):
                at = f"{path}.{name}{suffix}".removeprefix(".")
                is_new = below not in found
                found.setdefault(below, []).append(at)
                inner += [(below, at)] if is_new else []
        waiting[:0] = inner
    return {below: list(dict.fromkeys(places)) for below, places in found.items()}


def _models_in(annotation: object) -> Iterator[tuple[type[BaseModel], str]]:
    """The models that a field may hold, with `[]` where it holds a list of them, `.<name>` where it holds a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, ""
        return
    outer = typing.get_origin(annotation)
    suffix = "[]" if outer is tuple else ".<name>" if outer is dict else ""
    for part in typing.get_args(annotation):
        yield from ((model, suffix + inner) for model, inner in _models_in(part))


def _heading(model: type[BaseModel], place: str) -> str:
    kind = model.model_fields.get("kind")
    names = typing.get_args(kind.annotation) if kind is not None else ()
    if not place:
        return "The evaluation"
    return f"`{place}`" + (f", kind `{names[0]}`" if names else "")


def tables_markdown() -> str:
    """Every column of every result table, and every view with its SQL."""
    lines = ["<!-- written by `make docs` -->", "# Result tables", "", _TABLES_REMARK, ""]
    for table in TABLES.values():
        lines += [f"## `{table.name}`", "", table.description, "", *_columns_table(table.columns), ""]
    lines += ["# Views", "", _VIEWS_REMARK, ""]
    for view in VIEWS.values():
        lines += [f"## `{view.name}`", "", view.description, "", *_columns_table(view.columns), ""]
        lines += ["```sql", view.sql, "```", ""]
    return "\n".join(lines)


_QUESTIONS_REMARK = (
    "`coder-eval query --examples` lists these questions, `--example NAME` asks one and shows its SQL, about the "
    "latest run of each evaluation, or about one run with `--run RUN`. Below each stands what it took before there "
    "were views; a test compares the two answers. [tables.md](tables.md#views) has every view with its columns."
)


def questions_markdown() -> str:
    """Every shipped question, with its SQL by a view and over tables."""
    lines = ["<!-- written by `make docs` -->", "# Questions of an analyst", "", _QUESTIONS_REMARK, ""]
    for example in EXAMPLES.values():
        lines += [f"## `{example.name}`", "", example.question, "", "```sql", example.sql(), "```", "", "Before:", ""]
        lines += ["```sql", example.sql_by_hand(), "```", ""]
    return "\n".join(lines)


def _columns_table(columns: Sequence[Column]) -> Iterator[str]:
    yield "| column | type | meaning |"
    yield "|---|---|---|"
    yield from (f"| {column.name} | {_type(column)} | {column.description} |" for column in columns)


def _type(column: Column) -> str:
    return f"{column.type}, may be null" if column.optional else column.type


def _settings_table(model: type[BaseModel]) -> Iterator[str]:
    properties = model.model_json_schema()["properties"]
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else _default(properties[name], field.default)
        yield f"| `{name}` | {default} | {_meaning(properties[name])} |"


def _default(schema: dict[str, Any], default: object) -> str:
    value = schema.get("default", default if isinstance(default, str | int) else None)
    return "" if value in (None, "", {}) else f"`{value}`".replace("'", "")


def _meaning(schema: dict[str, Any]) -> str:
    bounds = [f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema]
    return " ".join([schema.get("description", ""), f"({', '.join(bounds)})" if bounds else ""]).strip()


_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}


@click.command()
@click.argument("folder", default="docs", type=click.Path(path_type=Path, file_okay=False))
def main(folder: Path) -> None:
    """Write the reference pages."""
    (folder / "settings.md").write_text(settings_markdown(), "utf-8")
    (folder / "tables.md").write_text(tables_markdown(), "utf-8")
    (folder / "questions.md").write_text(questions_markdown(), "utf-8")


if __name__ == "__main__":
    main()
