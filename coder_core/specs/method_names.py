"""What can be compared, by name; here so that a config is checked without loading torch."""

from typing import Literal, get_args

Stage1Name = Literal[
    "clip",
    "clip_ensemble",
    "vcd",
    "coder",
    "coder_top_m",
    "coder_softmax",
    "coder_euclidean",
    "coder_mahalanobis",
    "coder_shrunk",
    "coder_second_round",
    "coder_selected",
]
"""Keys of `methods.METHODS` and `methods.VARIANTS`: methods that need nothing but texts and images."""

MethodName = Literal[Stage1Name, "coder_rerank"]
"""Those, and the rerank, which stands on one of them."""

RERANK: MethodName = "coder_rerank"
"""CODER*: the one method that looks again at what another, `coder`, has said."""

ControlName = Literal["waffle", "characters", "shuffled", "repeated_names", "nameless"]
"""Keys of `baselines.control_texts.CONTROLS`."""

Protocol = Literal["honest", "reference"]
ComparedFewShot = Literal[
    "nearest_mean",
    "nearest_mean_coder",
    "tip_adapter",
    "coder_adapter",
    "coder_adapter_min_max",
    "lda",
    "gda",
    "metric_cache",
    "text_discriminant",
]
FewShotMethodName = Literal[
    ComparedFewShot,
    "hard_cut_lda",
    "proker",
    "task_discriminant",
    "text_bayes",
    "neighbour_distribution",
    "text_pool",
]
"""Keys of `few_shot.few_shot_methods.FEW_SHOT_METHODS`."""

COMPARED_FEW_SHOT: tuple[FewShotMethodName, ...] = get_args(ComparedFewShot)
"""What is compared where a config names no method; the others are asked for by name."""

IMAGES_ALONE: tuple[FewShotMethodName, ...] = ("nearest_mean", "tip_adapter", "lda", "gda")
"""Few-shot methods that read no text: all that can be compared where there is none."""

READS_VOCABULARY: tuple[FewShotMethodName, ...] = (
    "task_discriminant",
    "text_bayes",
    "neighbour_distribution",
    "text_pool",
)
"""Few-shot methods that look for the task's words in a vocabulary."""

FusedWith = Literal["none", Stage1Name]
"""Whose logits few-shot methods may be fused with: every method of stage 1, or none."""

NEEDS_BANK = frozenset(get_args(MethodName)) - {"clip", "clip_ensemble"}
"""Methods that read descriptive texts; without a bank they would silently be CLIP."""
