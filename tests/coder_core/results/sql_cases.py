"""Questions made by chance, from fixed seeds: half of them make sense, the others are broken in one way or another."""

import random
from collections.abc import Iterator

RUNS = ("'old-1'", "'flags-000'", "'flags-001'", "'flags-002'", "'young'", "'nobody'")
TABLES = {
    "metrics": ("method", "metric", "value", "n"),
    "runs": ("name", "dataset", "image_count"),
    "texts": ("kind", "text_id"),
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
    kind = chance.randrange(10)
    if kind == 0:
        return (
            f"{sensible(chance)} UNION ALL {sensible(chance)}" if chance.random() < 0.5 else "SELECT 1 AS a, 'x' AS b"
        )
    if kind == 1:
        return f"WITH metrics AS (SELECT run_id, value FROM metrics) SELECT count(value), sum(value) FROM metrics{where(chance, '')}"
    if kind == 2:
        return f"SELECT count(*), max(name) FROM (SELECT * FROM runs{where(chance, '')}) AS s{where(chance, 's.')}"
    if kind == 3:
        return f"SELECT count(m.n), sum(m.value) FROM metrics AS m, runs AS r WHERE m.run_id = r.run_id AND {condition(chance, 'r.')}"
    if kind == 4:
        inner = f"SELECT max(value) FROM metrics AS x WHERE x.run_id = r.run_id AND {condition(chance, 'x.')}"
        return f"SELECT r.run_id, ({inner}) AS best FROM runs AS r{where(chance, 'r.')} ORDER BY ALL"
    if kind in {5, 6}:
        join = chance.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN"])
        on = chance.choice(["USING (run_id)", "ON m.run_id = r.run_id", "ON m.run_id = r.run_id AND r.name = 'flags'"])
        alias = "" if "USING" in on and "SEMI" not in join and "ANTI" not in join else "m."
        columns = "count(*), count(m.value), sum(m.value)"
        return f"SELECT {columns} FROM metrics AS m {join} runs AS r {on}{where(chance, chance.choice([alias, 'm.']))}"
    if kind == 7:
        return f"SELECT * FROM (SELECT m FROM metrics AS m{where(chance, 'm.')}) ORDER BY ALL LIMIT 3"
    if kind == 8:
        return f"SELECT run_id, name, value FROM latest_metrics{where(chance, '')} ORDER BY ALL"
    table = chance.choice(list(TABLES))
    column = chance.choice(TABLES[table])
    if chance.random() < 0.3:
        return f"SELECT * FROM {table}{where(chance, '')} ORDER BY ALL LIMIT 5"
    return f"SELECT {column} AS c, count(*) FROM {table}{where(chance, '')} GROUP BY ALL ORDER BY ALL"


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
