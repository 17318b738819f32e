"""The text ablation as a person reads it: kinds of text by number of texts."""

from collections.abc import Sequence
from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coder_core.evaluation.ablation import AblationRow, summarise_draws
from coder_core.report.summary import FILE_WIDTH


def print_ablation(rows: Sequence[AblationRow], stream: IO[str]) -> None:
    """Print mean and standard deviation over draws; a choice of kinds without descriptions has one number only."""
    summaries = summarise_draws(rows)
    numbers = list(dict.fromkeys(row.texts_per_class for row in summaries))
    table = Table(title="top-1 percent, mean ± standard deviation over draws", title_justify="left")
    table.add_column("kinds of text")
    for number in numbers:
        table.add_column("all" if number is None else f"{number} texts per class", justify="right")
    by_place = {(row.kinds, row.texts_per_class): row for row in summaries}
    for kinds in dict.fromkeys(row.kinds for row in summaries):
        cells = [by_place.get((kinds, number)) for number in numbers]
        table.add_row(
            Text(kinds),
            *("" if row is None else f"{100 * row.top1:.1f} ± {100 * (row.top1_std or 0):.1f}" for row in cells),
        )
    Console(file=stream, highlight=False, width=None if stream.isatty() else FILE_WIDTH).print(table)
