"""What can be compared, by name; here so that a config is checked without loading torch."""

from typing import Literal, get_args

MethodName = Literal[
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
    "coder_rerank",
]
"""Keys of `methods.METHODS` and `methods.VARIANTS`, and the rerank: named here so that a config is checked without
loading torch."""

RERANK: MethodName = "coder_rerank"
"""CODER*: the one method that looks again at what another, `coder`, has said."""

ControlName = Literal["waffle", "shuffled", "repeated_names", "nameless"]
"""Keys of `baselines.control_texts.CONTROLS`."""

Protocol = Literal["honest", "reference"]
FewShotMethodName = Literal[
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
"""Keys of `few_shot.few_shot_methods.FEW_SHOT_METHODS`."""

NEEDS_BANK = frozenset(get_args(MethodName)) - {"clip", "clip_ensemble"}
"""Methods that read descriptive texts; without a bank they would silently be CLIP."""
