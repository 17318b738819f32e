"""One decision as a person reads it: the texts that made it, largest share first."""

from collections.abc import Sequence
from typing import IO, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coder_core.results.render import printable


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
    """

    image_id: str
    method: str
    winner: str
    rival: str
    margin: float
    unit: str
    shares: tuple[TextShare, ...]
    note: str


def print_decision(decision: Decision, stream: IO[str], *, top: int) -> None:
    """Print a decision: who won by how much, and the shares of the texts.

    Args:
        decision: Made by `explain_decision`.
        stream: Where to.
        top: Texts to show; the others are added up in one line, so that the column adds up to the margin.
    """
    console = Console(file=stream, highlight=False, soft_wrap=True)
    ahead = f"{decision.margin:+.4f} ({decision.unit}), the sum of these shares:"
    lines = [f"{decision.image_id}: {decision.method} says {decision.winner}", decision.note]
    for line in filter(None, [*lines, f"ahead of {decision.rival} by {ahead}"]):
        console.print(printable(line), markup=False)
    console.print(_share_table(decision.shares, decision.margin, top))


def _share_table(shares: Sequence[TextShare], margin: float, top: int) -> Table:
    table = Table()
    for name in ("share", "cosine"):
        table.add_column(name, justify="right")
    for name in ("kind", "about", "text"):
        table.add_column(name)
    for row in shares[:top]:
        cells = (f"{row.share:+.4f}", f"{row.cosine:.4f}", row.kind, row.about, row.text)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    if rest := shares[top:]:
        table.add_row(f"{sum(row.share for row in rest):+.4f}", "", "", "", Text(f"({len(rest)} more texts)"))
    table.add_section()
    table.add_row(f"{margin:+.4f}", "", "", "", Text("all texts"))
    return table
