"""Care of a store by hand or by schedule: `verifying`, `compaction` and `collection` (of garbage). See docs/store.md.

Nothing here is needed by a run: a damaged file is noticed, moved aside and made again without any of it.
"""
