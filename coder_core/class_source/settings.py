"""Where a class list comes from: a file, a folder of class folders, or a query.

A list kept outside the data set is what "a new class" means to most users: somebody appends a line. The evaluation and
`watch-classes` read it through the same door (`reading`).
"""

from typing import Annotated, Literal

from pydantic import Field

from coder_core.spec_base import InputPath, Spec


class ClassFile(Spec):
    """A text, CSV, TSV, JSON, JSON Lines, YAML or Parquet file."""

    kind: Literal["file"] = Field(description="`file`.")
    path: InputPath = Field(
        description="`.csv`, `.tsv`, `.parquet`: column `class_name` and, optionally, `class_id`; `.json`, `.jsonl`, "
        "`.yaml`: names, objects with `name` (and `id`), or a mapping of ids to names; `.txt`, `.names`, `.list` or no "
        "suffix: text, one class per line."
    )


class ClassFolder(Spec):
    """A folder of class folders."""

    kind: Literal["folder"] = Field(description="`folder`.")
    path: InputPath = Field(
        description="Every folder in it that holds a file is a class, hidden ones and those of a NAS or a system "
        "apart; sorted by name."
    )


class ClassQuery(Spec):
    """SQL over named files, or over a DuckDB database."""

    kind: Literal["query"] = Field(description="`query`.")
    sql: str = Field(
        min_length=1,
        max_length=100_000,
        description="One SELECT, read-only: column `class_name` and, optionally, `class_id`; sorted by name.",
    )
    tables: dict[str, InputPath] = Field(
        default_factory=dict, description="Names that the SQL uses, each a `.csv`, `.tsv` or `.parquet` file."
    )
    database: InputPath | None = Field(default=None, description="A DuckDB database file whose tables the SQL uses.")


ClassSource = Annotated[ClassFile | ClassFolder | ClassQuery, Field(discriminator="kind")]
