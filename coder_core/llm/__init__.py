"""Asking a language model many questions over an OpenAI-compatible server: every answer is paid for once and kept.

From the bottom up: `faults` (what goes wrong, as values), `chat_requests` (a question and the key of its answer),
`chat_replies` (what a server sends back), `dialects` (what it understands), `pricing` (dollars and their limit),
`rate_limits`, `endpoint` (one HTTP call; the only home of openai), `completion_ledger` (what was answered),
`chat_client` (one question with its retries), `completions` (many questions: the account), `direct_completions` (call
by call) and `batch_completions` (through the provider's Batch API). What is asked, and how an answer is read, is the
business of whoever asks: this package knows nothing of classes, prompts and phrases. Nothing is imported here: reading
answers that the ledger holds must not wait for openai.
"""
