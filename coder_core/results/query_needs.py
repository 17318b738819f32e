"""What a query needs to see, read off its syntax tree: tables, runs and columns.

A store may hold a thousand runs, and most questions are about one of them, or about three columns of two tables. What
is left out here must not change an answer, so whatever is not understood needs everything.

A table may be cut to some runs where a SELECT reads it directly and keeps only rows with `run_id = '...'` (or `IN`);
joins by `run_id` pass that on. A view that says which run is the latest may be cut to the latest runs where only rows
with `is_latest` are kept. Columns may be cut where every column is named.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from coder_core.results.schema import IS_LATEST, RUN_ID, RUNS, TABLES, VIEWS
from coder_core.storage.sql_guard import walk

RunIds = frozenset[str] | None
"""Runs; None is all of them."""
_PLAIN_JOINS = {("JOIN", kind, form) for kind in ("INNER", "LEFT") for form in ("REGULAR", "CROSS")}
"""Others (by position, by the nearest time, outer to the right) change their answer when rows are left out before."""
_NOWHERE = 2**64 - 1
"""The place in the text of what DuckDB puts into a syntax tree by itself."""


class Needs(NamedTuple):
    """What a query reads.

    Args:
        runs_of: Result table -> the runs whose rows it needs; a table that it does not read is not there.
        latest_of: Tables of which it needs the rows of the latest run of each evaluation, besides.
        previous_of: Tables of which it also needs the rows of the runs before those, of the same evaluation each.
        columns: Names of all columns that it can tell apart from null; None for all.
        tables: Result tables that it names, be it only to describe them.
        views: Views that it names.
        is_certain: Whether it names tables and views of ours only: then no others need to be there.
    """

    runs_of: dict[str, RunIds]
    latest_of: frozenset[str]
    previous_of: frozenset[str]
    columns: frozenset[str] | None
    tables: frozenset[str]
    views: frozenset[str]
    is_certain: bool

    @property
    def all_tables(self) -> frozenset[str]:
        """Result tables that it names, or that views which it names read."""
        return self.tables | {table for view in self.views for table in VIEWS[view].reads}


class _Cut(NamedTuple):
    """What is known about the rows of a table or view that are kept: of these runs only, or of latest runs only."""

    run_ids: RunIds = None
    is_latest: bool = False

    def and_also(self, other: "_Cut") -> "_Cut":
        """Both conditions hold."""
        known = [ids for ids in (self.run_ids, other.run_ids) if ids is not None]
        return _Cut(frozenset.intersection(*known) if known else None, self.is_latest or other.is_latest)


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
    kept: dict[int, _Cut] = {}
    for node in nodes:
        if _kind(node) == "SELECT_NODE":
            kept.update(_cut_by_select(node))
    runs_of: dict[str, RunIds] = {}
    latest: set[str] = set()
    previous: set[str] = set()
    for node in [node for node in nodes if _kind(node) == "BASE_TABLE"]:
        name = _table_name(node)
        if name in VIEWS and VIEWS[name].rows_of == "previous":
            previous.update(VIEWS[name].reads)
        for table, cut in _needed(name, kept.get(id(node), _Cut())):
            if cut.is_latest:
                latest.add(table)
            else:
                runs_of[table] = _both(runs_of.get(table, frozenset()), cut.run_ids)
    names = {str(node["table_name"]).strip('"').lower() for node in walk(tree) if node.get("table_name")}
    tables, views = frozenset(names & TABLES.keys()), frozenset(names & VIEWS.keys())
    columns, is_certain = _all_columns(nodes, tables, views), names <= tables | views
    return Needs(runs_of, frozenset(latest), frozenset(previous), columns, tables, views, is_certain)


def _without_described(tree: Any) -> Any:
    """Leave out what is only described: `DESCRIBE metrics` reads no rows."""
    if isinstance(tree, dict):
        if _kind(tree) == "SHOW_REF" and tree.get("show_type") == "DESCRIBE":
            return {}
        return {key: _without_described(value) for key, value in tree.items()}
    return [_without_described(value) for value in tree] if isinstance(tree, list) else tree


def _needed(name: str, cut: _Cut) -> Iterator[tuple[str, _Cut]]:
    """Yield the tables that one table or view reads, and what is known of the rows that are needed of each."""
    if name in TABLES:
        yield name, _Cut(cut.run_ids)
    elif name in VIEWS:
        view = VIEWS[name]
        for table in view.reads:
            if view.rows_of == "all" or (table == RUNS and (view.rows_of == "latest" or view.says_latest)):
                yield table, _Cut()
            elif view.rows_of == "latest":
                yield table, _Cut(is_latest=True)
            else:
                yield table, cut if view.says_latest else _Cut(cut.run_ids)


def _both(one: RunIds, other: RunIds) -> RunIds:
    return None if one is None or other is None else one | other


def _cut_by_select(select: dict[str, Any]) -> dict[int, _Cut]:
    """Tell which tables of a SELECT are cut to which runs: id of the table's node -> what is known."""
    aliases = {str(item.get("alias", "")).lower() for item in select.get("select_list") or ()}
    if select.get("sample"):  # a sample is drawn before WHERE
        return {}
    where = select.get("where_clause")
    scope = _linked(_scope(select.get("from_table") or {}), where)
    found = [] if RUN_ID in aliases else list(_cut_to_runs(scope, where))  # `WHERE run_id = ...` may mean the alias
    found += [] if IS_LATEST in aliases else list(_cut_to_latest(scope, where))
    cuts: dict[int, _Cut] = {}
    for node_id, cut in found:
        cuts[node_id] = cuts.get(node_id, _Cut()).and_also(cut)
    return cuts


def _cut_to_runs(scope: _Scope, where: Any) -> Iterator[tuple[int, _Cut]]:
    for names, run_ids in _run_conditions(where):
        yield from ((source.node_id, _Cut(run_ids)) for source in _addressed(scope, names))


def _cut_to_latest(scope: _Scope, where: Any) -> Iterator[tuple[int, _Cut]]:
    """Look for `is_latest` among what must hold; which of several views is meant by the bare name is not guessed."""
    having = [source for source in scope.sources if source.table in VIEWS and VIEWS[source.table].says_latest]
    for part in _conjuncts(where):
        names = _column_names(part)
        if not scope.is_plain or names[-1:] != [IS_LATEST] or len(names) > 2:
            continue
        meant = [source for source in having if len(names) == 1 or source.alias == names[0]]
        if len(meant) == 1:
            yield meant[0].node_id, _Cut(is_latest=True)


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
    names = _column_names(node)
    return names if names[-1:] == [RUN_ID] else None


def _column_names(node: Any) -> list[str]:
    """The parts of a column's name, in lower case; none for what is no column."""
    if not isinstance(node, dict) or _kind(node) != "COLUMN_REF":
        return []
    return [str(name).lower() for name in node.get("column_names") or ()]


def _text(node: Any) -> str | None:
    literal = node.get("literal") if isinstance(node, dict) and _kind(node) == "VALUE_CONSTANT" else None
    return str(literal["text"]) if isinstance(literal, dict) and literal.get("kind") == "STRING" else None


def _kind(node: dict[str, Any]) -> str:
    kind = node.get("type")
    return kind if isinstance(kind, str) else ""  # (of a cast it is an object)


def _table_name(node: dict[str, Any]) -> str:
    return str(node.get("table_name", "")).strip('"').lower()


def _all_columns(nodes: list[dict[str, Any]], tables: frozenset[str], views: frozenset[str]) -> frozenset[str] | None:
    """Collect what the question names of tables, and what is named in the views that it reads; None for all columns."""
    parts = [VIEWS[view].words for view in views]
    if tables or not views:  # (of a view alone, whatever is asked is one of its columns)
        parts.append(_columns(nodes))
    return None if None in parts else frozenset({RUN_ID}.union(*(part for part in parts if part is not None)))


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
