"""Which subsets of texts an ablation tries, and how one is drawn.

A subset is a smaller `TextLayout` over the same columns: nothing is embedded again, and whatever reads a layout (fold,
variants, explanation) can be asked about it.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from coder_core.errors import ConfigError
from coder_core.loops import each
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, TextKind
from coder_core.texts.text_layout import Segments, TextLayout

__all__ = ["DRAWS", "KIND_STEPS", "TEXTS_PER_CLASS", "AblationSetting", "plan_ablation", "sample_layout"]

KIND_STEPS: tuple[tuple[TextKind, ...], ...] = (
    (TextKind.CLASS_NAME,),
    (TextKind.CLASS_NAME, TextKind.ATTRIBUTE),
    (TextKind.CLASS_NAME, TextKind.ATTRIBUTE, TextKind.ANALOGOUS_CLASS),
    (TextKind.CLASS_NAME, TextKind.ATTRIBUTE, TextKind.ANALOGOUS_CLASS, TextKind.SYNONYM),
    (TextKind.CLASS_NAME, TextKind.ATTRIBUTE, TextKind.ANALOGOUS_CLASS, TextKind.SYNONYM, TextKind.ONE_TO_ONE),
)
"""The name, and one kind more at a time: CLIP at the one end, CODER* at the other."""

TEXTS_PER_CLASS: tuple[int | None, ...] = (1, 2, 4, 8, None)
"""Descriptive texts per class; None is all."""

DRAWS = 5
"""Random subsets per number of texts."""


class AblationSetting(NamedTuple):
    """One subset of texts.

    Args:
        kinds: The kinds that count; the class name always does. With `one_to_one`, uncertain images are reranked.
        texts_per_class: At most so many descriptive texts of each class, drawn at random from all its kinds together;
            None is all. Names, synonyms and one-to-one texts are never drawn from.
        draw: Which random subset. In the same draw, more texts contain fewer.
    """

    kinds: tuple[TextKind, ...]
    texts_per_class: int | None
    draw: int


def plan_ablation(
    kind_steps: Sequence[tuple[TextKind, ...]] = KIND_STEPS,
    texts_per_class: Sequence[int | None] = TEXTS_PER_CLASS,
    *,
    draws: int = DRAWS,
) -> list[AblationSetting]:
    """List the subsets to try: every number of texts of every choice of kinds, several times where chance decides.

    Args:
        kind_steps: Choices of kinds.
        texts_per_class: Numbers of descriptive texts, each at least 0, or None for all.
        draws: Random subsets of each, at least 1.

    Returns:
        Settings in the order of the arguments. Without descriptive kinds, and for None and 0, there is one draw.

    Raises:
        ConfigError: A negative number of texts, or no draw.
    """
    if draws < 1 or any(number is not None and number < 0 for number in texts_per_class):
        raise ConfigError(
            f"{draws} draws of {list(texts_per_class)} texts per class.",
            "ablation",
            "Draw at least once, and give numbers of texts from 0 on, or none for all.",
        )
    settings = []
    for kinds in each(kind_steps):
        numbers = texts_per_class if set(kinds) & set(DESCRIPTIVE_KINDS) else (None,)
        settings += [
            AblationSetting(kinds, number, draw)
            for number, draw in product(numbers, range(draws))
            if draw == 0 or number
        ]
    return settings


def sample_layout(layout: TextLayout, setting: AblationSetting, *, seed: int) -> TextLayout:
    """Leave out the columns that a setting does not want.

    Args:
        layout: Of all texts.
        setting: What to keep.
        seed: Together with the setting's draw it decides which descriptive texts are kept.

    Returns:
        A layout over the same columns; every class keeps its name, and the order of what it keeps.
    """
    wanted = {TextKind.CLASS_NAME, *setting.kinds}
    nothing = Segments(np.empty(0, dtype=np.int64), np.zeros(layout.class_count + 1, dtype=np.int64))
    by_kind = {kind: segments if kind in wanted else nothing for kind, segments in layout.by_kind.items()}
    drawn = [kind for kind in DESCRIPTIVE_KINDS if kind in wanted]
    if setting.texts_per_class is not None and drawn:
        by_kind |= _draw({kind: by_kind[kind] for kind in drawn}, setting.texts_per_class, seeds=(seed, setting.draw))
    by_pair = layout.by_pair if TextKind.ONE_TO_ONE in wanted else {}
    return TextLayout(layout.class_count, layout.text_count, by_kind=by_kind, by_pair=by_pair)


def _draw(given: Mapping[TextKind, Segments], number: int, *, seeds: Sequence[int]) -> dict[TextKind, Segments]:
    """Keep a random `number` of every class's columns, drawn from all given kinds together.

    Every column gets a random key that depends on the seeds and its kind alone; the lowest of each class stay, so a
    larger number keeps all that a smaller one does.
    """
    keys = [
        np.random.default_rng([*seeds, place]).random(len(part.columns)) for place, part in enumerate(given.values())
    ]
    class_ids = np.concatenate([part.class_ids for part in given.values()])
    order = np.lexsort((np.concatenate(keys), class_ids))
    counts = np.bincount(class_ids, minlength=len(next(iter(given.values())).counts))
    ranks = np.empty(len(class_ids), dtype=np.int64)
    ranks[order] = np.arange(len(class_ids)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = np.split(ranks < number, np.cumsum([len(part.columns) for part in given.values()])[:-1])
    return {kind: _only(part, mask) for (kind, part), mask in zip(given.items(), kept, strict=True)}


def _only(segments: Segments, mask: Bool[np.ndarray, " entries"]) -> Segments:
    counts = np.bincount(segments.class_ids[mask], minlength=len(segments.counts))
    return Segments(segments.columns[mask], np.concatenate([[0], np.cumsum(counts)]))
