"""Rows of result tables, written by hand without their keywords."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any


def rows_of(row_class: type[Any], **same: object) -> Callable[..., Any]:
    """Give a function that makes rows from values in the order of their columns.

    Args:
        row_class: Of `coder_core.results.schema`.
        **same: Columns that are the same in all rows.
    """
    names = [field.name for field in fields(row_class) if field.name not in same]
    return lambda *values: row_class(**dict(zip(names, values, strict=True)), **same)
