"""One decision as a person reads it: the texts that made it, largest share first."""

from collections.abc import Sequence
from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coder_core.recipes.decision import Decision, TextShare
from coder_core.results.render import printable


def print_decision(decision: Decision, stream: IO[str], *, top: int) -> None:
    """Print a decision: who won by how much, and the shares of the texts.

    Args:
        decision: Made by `explain_decision`.
        stream: Where to.
        top: Texts to show; the others are added up in one line, so that the column adds up to the margin.
    """
    console = Console(file=stream, highlight=False, color_system=None, soft_wrap=True)
    ahead = f"{decision.margin:+.4f} ({decision.unit}), the sum of these shares:"
    truth = f"true class: {decision.truth}"
    lines = [f"{decision.image_id}: {decision.method} says {decision.winner}", truth, decision.note]
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
