"""One decision, explained: what each text adds to the margin."""

from typing import NamedTuple


class TextShare(NamedTuple):
    """What one text adds to the margin: above 0 it speaks for the winner."""

    share: float
    cosine: float
    kind: str
    about: str
    text: str


class Decision(NamedTuple):
    """One decision, explained.

    Args:
        image_id: The image.
        method: Who decided.
        winner: What it said.
        rival: The class it is compared with.
        margin: The winner's score minus the rival's: of logits; of cosines where one-to-one texts decided.
        unit: `logits` or `cosines`.
        shares: Largest first; they add up to the margin.
        note: What else to know, e.g. what stage 1 said.
        truth: The image's true class, by the labels of the run.
    """

    image_id: str
    method: str
    winner: str
    rival: str
    margin: float
    unit: str
    shares: tuple[TextShare, ...]
    note: str
    truth: str
