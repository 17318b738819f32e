"""Reference pages that cannot go stale: settings and result tables, written from the code that defines them.

`make docs` writes them into docs/; a test fails when they differ from the code.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from coder_core.atg.generator_spec import GeneratorSpec
from coder_core.class_source.settings import ClassFile, ClassFolder, ClassQuery
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.results.schema import TABLES, VIEWS, Column
from coder_core.specs import (
    CustomEncoder,
    EvalSpec,
    FeaturesDataset,
    FlagsDataset,
    FolderDataset,
    MatrixSpec,
    OpenClipEncoder,
    ParquetDataset,
    PrecomputedEncoder,
    Runtime,
    SentenceTransformersEncoder,
    TableDataset,
    TarDataset,
    TextFeaturesFile,
    TextsSpec,
    TransformersEncoder,
)

SECTIONS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("The evaluation", "Top level of a config.", EvalSpec),
    ("`dataset`, kind `flags`", "", FlagsDataset),
    ("`dataset`, kind `folder`", "", FolderDataset),
    ("`dataset`, kind `features`", "", FeaturesDataset),
    ("`dataset`, kind `webdataset`", "", TarDataset),
    ("`dataset`, kind `parquet`", "", ParquetDataset),
    ("`dataset`, kind `image_folder`", "", TableDataset),
    ("`dataset.classes`, kind `file`", "Of a folder or features data set; see new-classes.md.", ClassFile),
    ("`dataset.classes`, kind `folder`", "", ClassFolder),
    ("`dataset.classes`, kind `query`", "", ClassQuery),
    ("`encoder`, kind `open_clip`", "", OpenClipEncoder),
    ("`encoder`, kind `transformers`", "See encoders.md.", TransformersEncoder),
    ("`encoder`, kind `sentence_transformers`", "", SentenceTransformersEncoder),
    ("`encoder`, kind `custom`", "", CustomEncoder),
    ("`encoder`, kind `precomputed`", "", PrecomputedEncoder),
    ("`encoder.texts[]`", "", TextFeaturesFile),
    ("`texts`", "", TextsSpec),
    (
        "`texts.generator`",
        "Asked of any OpenAI-compatible server; the key comes from `OPENAI_API_KEY` only.",
        GeneratorSpec,
    ),
    ("`matrix`", "", MatrixSpec),
    ("Runtime", "Not part of a config, and never part of a result's identity.", Runtime),
    ("Runtime: `llm`", "In the environment: `CODER_LLM_<FIELD>`.", LlmRuntime),
)


_TABLES_REMARK = (
    "Asked with `coder-eval query`; read by other tools as [store.md](store.md#reading-results-with-other-tools) says. "
    "Times are UTC. A column that is younger than a run is null in the rows of that run."
)


def settings_markdown() -> str:
    """Every setting with its type, default and meaning."""
    lines = ["<!-- written by `make docs` -->", "# Every setting", ""]
    for heading, remark, model in SECTIONS:
        lines += [f"## {heading}", "", *([remark, ""] if remark else []), *_settings_table(model), ""]
    return "\n".join(lines)


def tables_markdown() -> str:
    """Every column of every result table, and every view with its SQL."""
    lines = ["<!-- written by `make docs` -->", "# Result tables", "", _TABLES_REMARK, ""]
    for table in TABLES.values():
        lines += [f"## `{table.name}`", "", table.description, "", "| column | type | meaning |", "|---|---|---|"]
        lines += [f"| {column.name} | {_type(column)} | {column.description} |" for column in table.columns]
        lines.append("")
    lines += ["# Views", ""]
    for view in VIEWS.values():
        lines += [f"## `{view.name}`", "", view.description, "", "```sql", view.sql, "```", ""]
    return "\n".join(lines)


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


if __name__ == "__main__":
    main()
