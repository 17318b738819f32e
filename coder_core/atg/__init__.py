"""The Auto Text Generator: phrases about classes, bought from a language model once and kept for ever.

From the bottom up: `prompts` (versioned data), `requests` (what identifies a purchase), `parsing` (answers into lists,
pure), `completions` (the ledger), `pricing` and `budget` (dollars), `rate_limits`, `endpoint` (the only home of
openai), `client` (one request with its retries), `purchases` (many requests into the ledger), `batch` (the same through
the provider's Batch API), `generator` (classes into a text bank). Nothing is imported here: reading answers that the
ledger holds must not wait for openai.
"""
