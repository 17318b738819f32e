"""The Auto Text Generator: phrases about classes, written by a language model, paid for once and kept for ever.

From the bottom up: `prompts` (versioned data), `answer_formats`, `names`, `phrase_cleaning` and `parsing` (answers into
phrases, pure), `generator_spec` and `questions` (what is asked about which class), `analogues` (which names are kept),
`generator` (classes into a text bank) and `generation_report`. How a server is asked is `coder_core.llm`'s business.
"""
