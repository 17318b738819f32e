"""Which texts made an exported classifier answer so: the shares of `coder.text_shares`, from what was exported."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from coder_core.coder.text_shares import Explanation, explain_coder, explain_means
from coder_core.portable.card import TEXTS, ClassifierCard, read_card, read_sealed
from coder_core.texts.kinds import TextKind
from coder_core.texts.sentences import Text, TextTable
from coder_core.texts.text_layout import TextLayout, build_layout

EXPLAINERS: Mapping[str, Callable[..., Explanation]] = {
    "clip": partial(explain_means, kind=TextKind.CLASS_NAME),
    "vcd": partial(explain_means, kind=TextKind.ATTRIBUTE),
    "coder": explain_coder,
}
"""Methods whose logits are sums over texts; their calibrated versions are the same sums, divided."""


def explain_answer(folder: Path, card: ClassifierCard, image: Any, *, winner: int, runner_up: int) -> Explanation:
    """Explain the logits of one image between two classes.

    Args:
        folder: Of the classifier.
        card: Its card, with texts.
        image: Embedding `(dim,)`, L2-normalised, on the CPU.
        winner: Label id.
        runner_up: Label id.

    Returns:
        Shares that add up to the difference of the two calibrated logits.
    """
    vectors, layout = texts_of(folder, card)
    temperature = card.calibration.temperature if card.calibration else 1.0
    explain = EXPLAINERS[card.method.removesuffix("_calibrated")]
    scale = card.logit_scale / temperature
    return explain(image, vectors, layout, winner=winner, runner_up=runner_up, logit_scale=scale)


def texts_of(folder: Path, card: ClassifierCard) -> tuple[torch.Tensor, TextLayout]:
    """The vectors of the exported texts, each once, and which of them are whose."""
    return _texts_of(folder, card.text_vectors or "")


@lru_cache(maxsize=2)
def _texts_of(folder: Path, _version: str) -> tuple[torch.Tensor, TextLayout]:
    from safetensors.torch import load

    card = read_card(folder)
    rows = tuple(
        Text(text.text, TextKind(text.kind), text.class_id, text.rival_id, text.text, "", "") for text in card.texts
    )
    vectors = load(read_sealed(folder, TEXTS, card.text_vectors))["vectors"]
    return vectors, build_layout(TextTable(rows, len(card.classes)))
