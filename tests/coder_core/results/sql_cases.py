"""Questions made by chance, from fixed seeds: half of them make sense, the others are broken in one way or another."""

import random
from collections.abc import Iterator

RUNS = ("'old-1'", "'flags-000'", "'flags-001'", "'flags-002'", "'young'", "'nobody'")
TABLES = {
    "metrics": ("method", "metric", "value", "n"),
    "runs": ("name", "dataset", "image_count"),
    "texts": ("kind", "text_id"),
}
VIEWS = {
    "latest_metrics": "run_id, name, value",
    "run_costs": "run_id, name, is_latest, calls",
    "run_drift": "run_id, method, change, changed",
}
BREAKS = (
    "\0",
    "\ud800",
    "'",
    '"',
    "(",
    ")",
    ";",
    "--",
    "/*",
    "\x1b[31m",
    "\u202e",
    "$1",
    "\\",
    "é",
    "WITH",
    "1e999",
    "::",
    "[",
    "{",
)
STATEMENTS = (
    "COPY ({}) TO 'x.csv'",
    "CREATE TABLE x AS {}",
    "WITH x AS (INSERT INTO metrics {} RETURNING *) SELECT * FROM x",
    "EXPLAIN ANALYZE {}",
    "{}; {}",
    "PIVOT ({}) ON method USING count(*)",
    "SELECT * FROM query('{}')",
    "SELECT * FROM read_parquet('store://tables/**')",
    "ATTACH 'x'; {}",
    "SET threads = 1; {}",
    "SUMMARIZE {}",
    "DESCRIBE {}",
    "SELECT getenv('HOME'), * FROM ({})",
    "FROM ({}) SELECT COLUMNS('.*e')",
)


def sensible(chance: random.Random) -> str:
    """A question that has an answer: conditions on runs, joins, groups, common table expressions, set operations."""
    return chance.choice(
        [union, expression, subquery, listed_join, correlated, join, join, whole_row, view, groups, rows]
    )(chance)


def union(chance: random.Random) -> str:
    return f"{sensible(chance)} UNION ALL {sensible(chance)}" if chance.random() < 0.5 else "SELECT 1 AS a, 'x' AS b"


def expression(chance: random.Random) -> str:
    inner = "WITH metrics AS (SELECT run_id, value FROM metrics)"
    return f"{inner} SELECT count(value), sum(value) FROM metrics{where(chance, '')}"


def subquery(chance: random.Random) -> str:
    return f"SELECT count(*), max(name) FROM (SELECT * FROM runs{where(chance, '')}) AS s{where(chance, 's.')}"


def listed_join(chance: random.Random) -> str:
    tables = "metrics AS m, runs AS r WHERE m.run_id = r.run_id"
    return f"SELECT count(m.n), sum(m.value) FROM {tables} AND {condition(chance, 'r.')}"


def correlated(chance: random.Random) -> str:
    inner = f"SELECT max(value) FROM metrics AS x WHERE x.run_id = r.run_id AND {condition(chance, 'x.')}"
    return f"SELECT r.run_id, ({inner}) AS best FROM runs AS r{where(chance, 'r.')} ORDER BY ALL"


def join(chance: random.Random) -> str:
    kind = chance.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN"])
    on = chance.choice(["USING (run_id)", "ON m.run_id = r.run_id", "ON m.run_id = r.run_id AND r.name = 'flags'"])
    prefix = chance.choice(["", "m."]) if "USING" in on else "m."
    tables = f"metrics AS m {kind} runs AS r {on}"
    return f"SELECT count(*), count(m.value), sum(m.value) FROM {tables}{where(chance, prefix)}"


def whole_row(chance: random.Random) -> str:
    return f"SELECT * FROM (SELECT m FROM metrics AS m{where(chance, 'm.')}) ORDER BY ALL LIMIT 3"


def view(chance: random.Random) -> str:
    name, columns = chance.choice(list(VIEWS.items()))
    latest = chance.choice(["", "", " AND is_latest", " AND NOT is_latest"]) if name != "latest_metrics" else ""
    return f"SELECT {columns} FROM {name} WHERE {condition(chance, '')}{latest} ORDER BY ALL"


def groups(chance: random.Random) -> str:
    table = chance.choice(list(TABLES))
    column = chance.choice(TABLES[table])
    return f"SELECT {column} AS c, count(*) FROM {table}{where(chance, '')} GROUP BY ALL ORDER BY ALL"


def rows(chance: random.Random) -> str:
    return f"SELECT * FROM {chance.choice(list(TABLES))}{where(chance, '')} ORDER BY ALL LIMIT 5"


def where(chance: random.Random, prefix: str) -> str:
    return f" WHERE {condition(chance, prefix)}" if chance.random() < 0.8 else ""


def condition(chance: random.Random, prefix: str, depth: int = 0) -> str:
    if depth < 2 and chance.random() < 0.4:
        word = chance.choice([" AND ", " AND ", " OR "])
        return f"({condition(chance, prefix, depth + 1)}{word}{condition(chance, prefix, depth + 1)})"
    runs = ", ".join(chance.sample(RUNS, chance.randint(1, 3)))
    run = chance.choice(RUNS)
    column = f"{prefix}run_id"
    forms = [
        f"{column} = {run}",
        f"{run} = {column}",
        f"{column} IN ({runs})",
        f"{column} != {run}",
        f"{column} > {run}",
    ]
    forms += [f"NOT {column} = {run}", f"lower({column}) = {run}", "1 = 1", f"{column} IS NOT NULL"]
    return chance.choice(forms)


def hostile(seed: int, count: int) -> Iterator[str]:
    """Questions of every kind, each one reproducible from the seed."""
    chance = random.Random(seed)
    for _ in range(count):
        sql = sensible(chance)
        kind = chance.randrange(6)
        if kind == 1:
            sql = chance.choice(STATEMENTS).format(sql, sql)
        elif kind == 2:
            at = chance.randrange(len(sql))
            sql = sql[:at] + chance.choice(BREAKS) * chance.choice([1, 1, 3, 2_000]) + sql[at:]
        elif kind == 3:
            at = chance.randrange(len(sql))
            sql = sql[:at] + sql[at + chance.randint(1, 9) :]
        elif kind == 4:
            words = sql.split()
            words[chance.randrange(len(words))] = chance.choice(words)
            sql = " ".join(words)
        elif kind == 5 and chance.random() < 0.2:
            sql = sql.replace("SELECT", "SELECT (" * chance.randint(1, 2_000), 1)
        yield sql
