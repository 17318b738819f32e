"""The guard of every query: which SQL is reading, judged by DuckDB's own parser and never by looking at the text.

DuckDB calls more than reading a SELECT: a CTE may hold COPY, INSERT, UPDATE or DELETE, and table functions read files,
write logs or follow raw memory addresses. So the syntax tree (`json_serialize_sql`) is walked, and what is not known to
be a query, or a harmless table function, is refused.
"""

import json
from collections.abc import Iterator
from typing import Any

import duckdb

from coder_core.errors import QueryError

QUERY_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "json_each", "json_tree", "repeat"})
LONGEST_SQL = 1_000_000
"""Characters: a longer text is no question, and its syntax tree would take hundreds of megabytes."""
_PIVOT_REMEDY = "Write: PIVOT metrics ON metric IN ('top1', 'top5') USING first(value) GROUP BY run_id, method"
_REMEDY = "Write one SELECT over the result tables (`SHOW TABLES` and `DESCRIBE metrics` work, too)."


def check_read_only(connection: duckdb.DuckDBPyConnection, sql: str) -> set[str]:
    """Refuse SQL that is not one plain query; return the names of the tables that it reads, in lower case.

    Raises:
        QueryError: Naming what is refused.
        duckdb.Error: When it does not parse.
    """
    nodes = walk(read_only_tree(connection, sql))
    return {str(node.get("table_name", "")).strip('"').lower() for node in nodes if "table_name" in node}


def read_only_tree(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """Refuse SQL that is not one plain query; return its syntax tree as DuckDB writes it in JSON.

    Raises:
        QueryError: Naming what is refused.
        duckdb.Error: When it does not parse.
    """
    _check_text(sql)
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise QueryError(f"Expected one statement, found {len(statements)}.", "SQL", _REMEDY)
    kind = _kind(statements[0])
    if kind == "MULTI":  # DuckDB would first make a type of the values that it finds, which is writing
        raise QueryError("PIVOT must name the values that become columns.", "SQL", _PIVOT_REMEDY)
    if kind != "SELECT":
        raise QueryError(f"Only reading is allowed, not {kind}.", "SQL", _REMEDY)
    tree = _syntax_tree(connection, sql)
    for node in walk(tree):
        _check_node(node)
    return tree


def walk(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of a syntax tree, in no particular order."""
    pending = [tree]  # a loop: hostile SQL nests deeper than Python's stack
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield node
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def _check_text(sql: str) -> None:
    if len(sql) > LONGEST_SQL:
        problem = f"The text has {len(sql):,} characters, {LONGEST_SQL:,} are allowed."
        raise QueryError(problem, "SQL", "Ask a shorter question.")
    if "\0" in sql:
        raise QueryError("The text holds a NUL character.", "SQL", _REMEDY)
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        raise QueryError("The text holds half a character (a lone surrogate).", "SQL", _REMEDY) from error


def _kind(statement: Any) -> str:
    """Name the kind of a statement; DuckDB has kinds that its Python module does not know."""
    try:
        return str(statement.type.name)
    except (ValueError, TypeError, AttributeError, RuntimeError):
        return "this kind of statement"


def _syntax_tree(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    [(text,)] = connection.execute("SELECT json_serialize_sql($1::VARCHAR)", [sql]).fetchall()
    try:
        tree = json.loads(text)
    except RecursionError as error:
        raise QueryError("The query is nested too deeply.", "SQL", "Split it with WITH.") from error
    if tree["error"]:
        raise QueryError(str(tree["error_message"]), "SQL", _REMEDY)
    return tree["statements"]


def _check_node(node: dict[str, Any]) -> None:
    kind = str(node.get("type", ""))
    if kind.endswith("_NODE") and kind not in QUERY_NODES:
        raise QueryError(f"Only reading is allowed, not {kind.removesuffix('_NODE')}.", "SQL", _REMEDY)
    if "/" in str(node.get("table_name", "")):
        raise QueryError(f"Only result tables are read, not the file {node['table_name']!r}.", "SQL", _REMEDY)
    if kind == "TABLE_FUNCTION":
        name = str(node["function"].get("function_name", "")).lower()
        if name not in TABLE_FUNCTIONS:
            raise QueryError(f"The table function {name!r} is not allowed.", "SQL", _REMEDY)
