"""The ablation as a table: where every number stands; no cell claims a deviation that nothing was drawn for."""

import io

from coder_core.report.ablation_table import print_ablation
from coder_core.results.schema import AblationRow
from tests.rows import rows_of

KINDS = "class_name+attribute+analogous_class+synonym+one_to_one"


def row(kinds: str, number: int | None, draw: int, top1: float) -> AblationRow:
    return rows_of(AblationRow)(kinds, number, draw, 2.0, 10, top1, 0.0, 1.0, 1.0, top1)


def test_numbers_ascend_all_comes_last_and_no_kind_is_cut_off() -> None:
    rows = [row("class_name", None, 0, 0.1), row(KINDS, 10, 0, 0.4), row(KINDS, None, 0, 0.9)]
    rows += [row(KINDS, 2, draw, top1) for draw, top1 in enumerate((0.2, 0.3, 0.4))]
    stream = io.StringIO()
    print_ablation(rows, stream)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 120
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert [cell.strip() for cell in lines[2].split("┃")[1:-1]] == ["kinds of text", "2", "10", "all"]
    assert cells[0] == ["class_name", "", "", "10.0"]
    assert cells[1][1:] == ["30.0 ± 10.0", "40.0", "90.0"]
    assert " ".join(cell[0] for cell in cells[1:]) == KINDS.replace("+", " + ")
