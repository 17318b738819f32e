"""What a query needs to see, read off its syntax tree: tables, runs and columns.

A store may hold a thousand runs, and most questions are about one of them, or about three columns of two tables. What
is left out here must not change an answer, so whatever is not understood needs everything.

A table may be cut to some runs where a SELECT reads it directly and keeps only rows with `run_id = '...'` (or `IN`);
joins by `run_id` pass that on. Columns may be cut where every column is named.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from coder_core.results.schema import RUN_ID, TABLES, VIEWS
from coder_core.storage.sql_guard import walk

RunIds = frozenset[str] | None
"""Runs; None is all of them."""
_PLAIN_JOINS = {("JOIN", kind, form) for kind in ("INNER", "LEFT") for form in ("REGULAR", "CROSS")}
"""Others (by position, by the nearest time, outer to the right) change their answer when rows are left out before."""
_NOWHERE = 2**64 - 1
"""The place in the text of what DuckDB puts into a syntax tree by itself."""
LATEST = "latest_"
"""Views whose names begin so show the latest run of each evaluation only."""


class Needs(NamedTuple):
    """What a query reads.

    Args:
        runs_of: Result table -> the runs whose rows it needs; a table that it does not read is not there.
        latest_of: Tables of which it needs the rows of the latest run of each evaluation, besides.
        columns: Names of all columns that it can tell apart from null; None for all.
        tables: Result tables that it names, be it only to describe them.
        views: Views that it names.
        is_certain: Whether it names tables and views of ours only: then no others need to be there.
    """

    runs_of: dict[str, RunIds]
    latest_of: frozenset[str]
    columns: frozenset[str] | None
    tables: frozenset[str]
    views: frozenset[str]
    is_certain: bool

    @property
    def all_tables(self) -> frozenset[str]:
        """Result tables that it names, or that views which it names read."""
        return self.tables | {table for view in self.views for table in VIEWS[view].reads}


class _Source(NamedTuple):
    """What stands in a FROM: a table with the name under which it is addressed, or something else (`table` None)."""

    node_id: int
    table: str | None
    alias: str


class _Scope(NamedTuple):
    """All that stands in one FROM, and which of them are known to have equal run ids."""

    sources: tuple[_Source, ...]
    equal: tuple[frozenset[int], ...]
    is_plain: bool


def query_needs(tree: Any) -> Needs:
    """Read off a syntax tree what the query needs."""
    nodes = list(walk(_without_described(tree)))
    kept: dict[int, frozenset[str]] = {}
    for node in nodes:
        if _kind(node) == "SELECT_NODE":
            kept.update(_cut_by_select(node))
    runs_of: dict[str, RunIds] = {}
    latest: set[str] = set()
    for node in [node for node in nodes if _kind(node) == "BASE_TABLE"]:
        for table, run_ids, is_latest in _needed(_table_name(node), kept.get(id(node))):
            if is_latest:
                latest.add(table)
            else:
                runs_of[table] = _both(runs_of.get(table, frozenset()), run_ids)
    names = {str(node["table_name"]).strip('"').lower() for node in walk(tree) if node.get("table_name")}
    tables, views = frozenset(names & TABLES.keys()), frozenset(names & VIEWS.keys())
    columns = None if views else _columns(nodes)
    return Needs(runs_of, frozenset(latest), columns, tables, views, names <= tables | views)


def _without_described(tree: Any) -> Any:
    """Leave out what is only described: `DESCRIBE metrics` reads no rows."""
    if isinstance(tree, dict):
        if _kind(tree) == "SHOW_REF" and tree.get("show_type") == "DESCRIBE":
            return {}
        return {key: _without_described(value) for key, value in tree.items()}
    return [_without_described(value) for value in tree] if isinstance(tree, list) else tree


def _needed(name: str, run_ids: RunIds) -> Iterator[tuple[str, RunIds, bool]]:
    """Yield table, runs, and whether the latest runs are meant instead, for one table or view that is read."""
    if name in TABLES:
        yield name, run_ids, False
    elif name in VIEWS:
        for table in VIEWS[name].reads:
            if name.startswith(LATEST) and table != "runs":
                yield table, None, True
            else:
                yield table, None if name.startswith(LATEST) else run_ids, False


def _both(one: RunIds, other: RunIds) -> RunIds:
    return None if one is None or other is None else one | other


def _cut_by_select(select: dict[str, Any]) -> dict[int, frozenset[str]]:
    """Tell which tables of a SELECT are cut to which runs: id of the table's node -> runs."""
    has_alias = any(str(item.get("alias", "")).lower() == RUN_ID for item in select.get("select_list") or ())
    if has_alias or select.get("sample"):  # `WHERE run_id = ...` may mean the alias; a sample is drawn before WHERE
        return {}
    scope = _linked(_scope(select.get("from_table") or {}), select.get("where_clause"))
    cut: dict[int, frozenset[str]] = {}
    for names, run_ids in _run_conditions(select.get("where_clause")):
        for source in _addressed(scope, names):
            cut[source.node_id] = cut.get(source.node_id, run_ids) & run_ids
    return cut


def _scope(node: dict[str, Any]) -> _Scope:
    if _kind(node) == "BASE_TABLE" and not node.get("sample"):
        source = _Source(id(node), _table_name(node), str(node.get("alias") or node.get("table_name", "")).lower())
        return _Scope((source,), (frozenset({source.node_id}),), is_plain=True)
    kinds = (_kind(node), node.get("join_type"), node.get("ref_type"))
    if kinds in _PLAIN_JOINS and not node.get("sample"):
        return _joined(_scope(node["left"]), _scope(node["right"]), node)
    return _Scope((_Source(id(node), None, ""),), (), is_plain=False)


def _joined(left: _Scope, right: _Scope, node: dict[str, Any]) -> _Scope:
    sources = left.sources + right.sources
    equal = [*left.equal, *right.equal]
    using = {str(name).lower() for name in node.get("using_columns") or ()}
    if RUN_ID in using and len(left.equal) == len(right.equal) == 1:
        equal = [left.equal[0] | right.equal[0]]
    scope = _Scope(sources, tuple(equal), left.is_plain and right.is_plain)
    return _linked(scope, node.get("condition"))


def _linked(scope: _Scope, condition: Any) -> _Scope:
    """Note which run ids a condition makes equal, be it of a join or of WHERE."""
    equal = list(scope.equal)
    for pair in _equal_run_ids(condition):
        ends = {source.node_id for source in scope.sources if source.alias in pair and source.table is not None}
        touched = [group for group in equal if group & ends]
        if len(ends) == len(touched) == 2:
            equal = [group for group in equal if group not in touched] + [touched[0] | touched[1]]
    return scope._replace(equal=tuple(equal))


def _addressed(scope: _Scope, names: list[str]) -> list[_Source]:
    """Tell which tables a condition on `run_id`, or on `name.run_id`, holds for."""
    if len(names) == 1:
        if not scope.is_plain or len(scope.equal) != 1:
            return []
        return list(scope.sources)
    meant = [source for source in scope.sources if source.alias == names[0]]
    if len(names) != 2 or len(meant) != 1 or meant[0].table is None:
        return []
    group = next((group for group in scope.equal if meant[0].node_id in group), frozenset({meant[0].node_id}))
    return [source for source in scope.sources if source.node_id in group]


def _run_conditions(node: Any) -> Iterator[tuple[list[str], frozenset[str]]]:
    """Yield what must hold of run ids for a row to be kept: the column as it is named, and the runs."""
    for part in _conjuncts(node):
        kind = _kind(part)
        sides = [part.get("left"), part.get("right")] if kind == "COMPARE_EQUAL" else part.get("children") or []
        if kind not in {"COMPARE_EQUAL", "COMPARE_IN"} or not sides:
            continue
        if kind == "COMPARE_EQUAL" and _run_column(sides[0]) is None:
            sides.reverse()
        names = _run_column(sides[0])
        run_ids = [_text(side) for side in sides[1:]]
        if names and all(run_id is not None for run_id in run_ids):
            yield names, frozenset(run_id for run_id in run_ids if run_id is not None)


def _equal_run_ids(condition: Any) -> Iterator[tuple[str, str]]:
    """Yield pairs of tables whose run ids a join's condition makes equal."""
    for part in _conjuncts(condition):
        if _kind(part) == "COMPARE_EQUAL":
            one, other = _run_column(part.get("left")), _run_column(part.get("right"))
            if one and other and len(one) == len(other) == 2:
                yield one[0], other[0]


def _conjuncts(node: Any) -> Iterator[dict[str, Any]]:
    pending = [node]
    while pending:
        part = pending.pop()
        if isinstance(part, dict) and _kind(part) == "CONJUNCTION_AND":
            pending.extend(part.get("children") or ())
        elif isinstance(part, dict):
            yield part


def _run_column(node: Any) -> list[str] | None:
    if not isinstance(node, dict) or _kind(node) != "COLUMN_REF":
        return None
    names = [str(name).lower() for name in node.get("column_names") or ()]
    return names if names[-1:] == [RUN_ID] else None


def _text(node: Any) -> str | None:
    literal = node.get("literal") if isinstance(node, dict) and _kind(node) == "VALUE_CONSTANT" else None
    return str(literal["text"]) if isinstance(literal, dict) and literal.get("kind") == "STRING" else None


def _kind(node: dict[str, Any]) -> str:
    kind = node.get("type")
    return kind if isinstance(kind, str) else ""  # (of a cast it is an object)


def _table_name(node: dict[str, Any]) -> str:
    return str(node.get("table_name", "")).strip('"').lower()


def _columns(nodes: list[dict[str, Any]]) -> frozenset[str] | None:
    """Collect the names of columns; None where columns are meant that are not named."""
    from_items = [node for node in nodes if "class" not in node]
    aliases = {str(node.get(key, "")).lower() for node in from_items for key in ("alias", "table_name")} - {""}
    found = {RUN_ID}
    for node in nodes:
        kind = _kind(node)
        if kind == "STAR" and node.get("query_location") == _NOWHERE:
            continue  # ORDER BY ALL: by the columns of the answer
        if kind in {"STAR", "PIVOT", "SHOW_REF"} or node.get("ref_type") == "NATURAL":
            return None
        if kind == "COLUMN_REF":
            names = [str(name).lower() for name in node.get("column_names") or ()]
            if len(names) == 1 and names[0] in aliases:
                return None  # may be a whole row: SELECT m FROM metrics AS m
            found.update(names)
        found.update(str(name).lower() for name in node.get("using_columns") or ())
    return frozenset(found)
