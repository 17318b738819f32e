"""Storage: with `coder_core.results`, which stands on it, the only home of fsspec, Parquet files and DuckDB.

From the bottom up: `store` (named bytes on any fsspec URL, never half a file), `tables` (Arrow, Parquet, vectors),
`ledger` and `embedding_ledger` (append-only rows by content key), `artifacts` (what one step made, with a manifest),
`sql_guard` (which SQL only reads), `inputs` and `input_tables` (what a user gave). Nothing is imported here: a query
must not wait for what it does not use.
"""
