"""How many inputs make a pass: a rule per kind of device, halved where memory ends, and remembered for that device.

The rule is no measurement, so that the same inputs make the same passes everywhere. On the CPU 32 images beat 256 by a
fifth (ViT-B/32, two cores: 37 against 31 a second): what a layer hands to the next stays in the cache. On accelerators
passes of texts are cut by tokens, because a row of five tokens costs a fifteenth of a full one.
"""

import logging

from coder_core.embedding.found_numbers import FoundNumbers
from coder_core.encoders.base import IdentifiedEncoder

logger = logging.getLogger(__name__)

CPU_IMAGES = 32
CPU_TEXTS = 256
DEVICE_IMAGES = 256
DEVICE_TEXTS = 4096
DEVICE_TOKENS = 32_768
"""On an accelerator: about what 256 images of a ViT-B/16 have."""

FITTING = FoundNumbers("batch_sizes.json")
"""Inputs that fit, where more did not."""


class BatchSize:
    """Inputs per pass, for one encoder on one device.

    Args:
        encoder: The encoder.
        device: `cpu`, or what its maker calls it.
        what: `images` or `texts`.
        asked: What the runtime asks for; None for the rule.
    """

    def __init__(self, encoder: IdentifiedEncoder, device: str, what: str, asked: int | None = None) -> None:
        self._device, self._what = device, what
        self._place = f"{device}/{what}/{encoder.key}"
        self._wanted = asked or _rule(device, what)

    @property
    def rows(self) -> int:
        """Inputs per pass, at most."""
        limit = FITTING.get(self._place)
        return self._wanted if limit is None else min(self._wanted, limit)

    @property
    def tokens(self) -> int | None:
        """Tokens per pass, at most; None where rows alone count."""
        return None if self._device == "cpu" or self._what != "texts" else DEVICE_TOKENS

    def halve(self, failed: int) -> None:
        """Remember that so many inputs were too many; at least one is left."""
        rows = max(1, failed // 2)
        logger.warning("%s: no memory for %d %s at a time: %d from now on", self._device, failed, self._what, rows)
        FITTING.put(self._place, min(rows, FITTING.get(self._place) or rows))


def _rule(device: str, what: str) -> int:
    if device == "cpu":
        return CPU_IMAGES if what == "images" else CPU_TEXTS
    return DEVICE_IMAGES if what == "images" else DEVICE_TEXTS
