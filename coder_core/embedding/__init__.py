"""The embedding service: the one way from texts, images and augmented views to vectors in a ledger.

read -> hash -> decode -> prepare -> batch -> forward -> append: every stage runs ahead of the next, over all parts of a
shard, so that passes are full and a ledger part holds tens of thousands of rows. What a ledger holds is never embedded
again. The device is held around forward passes only (`pipeline.accelerator`).
"""
