"""Results: what runs found, as tables that are written once and asked with SQL.

From the bottom up: `schema` (one dataclass per table), `arrow_rows` (rows as Arrow tables, checked), `layout` (paths),
`publication` and `generations` (which files count), `catalog` (what is published now), `writing` (one run), `reading`,
`compaction` (many runs in few files), `warehouse` (read-only SQL) and `render` (answers as text). Nothing is imported
here: a query must not wait for what it does not use.
"""
