"""The steps of an evaluation, in order: each finds or makes one artifact and returns its handle.

A step knows storage and numerics but no workflow engine: it can be called from a notebook, a test or a Prefect task. It
is idempotent: what the store holds is not made again, so a retry or a re-run goes on where the last one ended.
"""

from coder_core.steps import (
    ablation,
    answers,
    class_changes,
    class_watch,
    coder_matrix,
    confused_pairs,
    controls,
    dataset,
    encoding,
    few_shot,
    gate,
    image_embeddings,
    new_images,
    past_classifiers,
    predictions,
    rerank,
    results,
    text_bank,
    text_embeddings,
    texts,
    workplace,
)

__all__ = [
    "ablation",
    "answers",
    "class_changes",
    "class_watch",
    "coder_matrix",
    "confused_pairs",
    "controls",
    "dataset",
    "encoding",
    "few_shot",
    "gate",
    "image_embeddings",
    "new_images",
    "past_classifiers",
    "predictions",
    "rerank",
    "results",
    "text_bank",
    "text_embeddings",
    "texts",
    "workplace",
]
