"""Care of a store by hand or by schedule: `verifying`, `store_compaction` and `collection` (docs/store.md).

It knows everything that lies in a store, ledgers and artifacts (`coder_core.storage`) as well as results
(`coder_core.results`), and stands above both. Nothing here is needed by a run: a damaged file is noticed, moved aside
and made again without any of it.
"""
