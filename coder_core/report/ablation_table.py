"""The text ablation as a person reads it: kinds of text by number of texts."""

from collections.abc import Sequence
from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coder_core.evaluation.ablation_rows import AblationSummary, summarise_draws
from coder_core.report.summary import FILE_WIDTH
from coder_core.results.schema import AblationRow

TITLE = "top-1 percent by descriptive texts per class, mean ± standard deviation over draws"


def print_ablation(rows: Sequence[AblationRow], stream: IO[str]) -> None:
    """Print one row per choice of kinds, one column per number of texts, all texts last.

    Where nothing is drawn (all texts, or no descriptive kind) there is one number without a deviation.
    """
    summaries = summarise_draws(rows)
    numbers = sorted({row.texts_per_class for row in summaries}, key=lambda number: (number is None, number))
    table = Table(title=TITLE, title_justify="left")
    table.add_column("kinds of text")
    for number in numbers:
        table.add_column("all" if number is None else str(number), justify="right", no_wrap=True)
    by_place = {(row.kinds, row.texts_per_class): row for row in summaries}
    for kinds in dict.fromkeys(row.kinds for row in summaries):
        cells = [_cell(by_place.get((kinds, number))) for number in numbers]
        table.add_row(Text(kinds.replace("+", " + ")), *cells)
    Console(file=stream, highlight=False, color_system=None, width=None if stream.isatty() else FILE_WIDTH).print(table)


def _cell(row: AblationSummary | None) -> str:
    if row is None:
        return ""
    return f"{100 * row.top1:.1f}" + ("" if row.top1_std is None else f" ± {100 * row.top1_std:.1f}")
