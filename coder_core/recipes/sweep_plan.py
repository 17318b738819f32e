"""What a sweep will do and cost, known before anything runs: which cells are published, cannot work, or are to run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coder_core.atg.generator import CostEstimate
from coder_core.counted import counted
from coder_core.errors import CoderError, SeveralProblemsError
from coder_core.recipes.check import Checked
from coder_core.recipes.sweep import CellOutcome, published_run
from coder_core.recipes.sweep_cells import Cell
from coder_core.specs import EvalSpec
from coder_core.storage.store import Store


@dataclass(frozen=True)
class PlannedCell:
    """A cell before anything runs.

    Attributes:
        cell: The cell.
        run_id: Its published run, where it has one: it is not run again.
        problem: Why it cannot work.
        warnings: What would make its numbers worse than they need to be.
        images: Images by data set, as its settings name it: under test, to learn from, to choose on.
        to_ask: What a language model would be asked, and the price; None where none is.
    """

    cell: Cell
    run_id: str | None = None
    problem: CoderError | None = None
    warnings: tuple[str, ...] = ()
    images: tuple[tuple[str, int], ...] = ()
    to_ask: CostEstimate | None = None

    @property
    def is_to_run(self) -> bool:
        """Whether there is something to do that can be done."""
        return self.run_id is None and self.problem is None

    def left(self) -> CellOutcome:
        """Its outcome where nothing is run."""
        if self.run_id is not None:
            return CellOutcome(self.cell, "done", self.run_id)
        if self.problem is not None:
            return CellOutcome(self.cell, "wrong", problem=str(self.problem), exit_code=self.problem.exit_code)
        return CellOutcome(self.cell, "left")


def plan_sweep(
    cells: Sequence[Cell], store: Store, look: Callable[[EvalSpec], Checked], *, is_again: bool = False
) -> list[PlannedCell]:
    """Look at every cell: is it published, and could it run?

    Args:
        cells: Of the sweep.
        store: Where runs are published.
        look: The ordinary check of an evaluation.
        is_again: Whether what is published counts for nothing.
    """
    return [_plan(cell, store, look, is_again=is_again) for cell in cells]


def _plan(cell: Cell, store: Store, look: Callable[[EvalSpec], Checked], *, is_again: bool) -> PlannedCell:
    if cell.spec is None:
        return PlannedCell(cell, problem=cell.problem)
    run_id = None if is_again else published_run(cell.spec, store)
    if run_id is not None:
        return PlannedCell(cell, run_id)
    found = look(cell.spec)
    problem = None
    if found.problems:
        problem = found.problems[0] if len(found.problems) == 1 else SeveralProblemsError(found.problems)
    return PlannedCell(
        cell,
        problem=problem,
        warnings=tuple(found.warnings),
        images=tuple((spec.model_dump_json(), source.image_count) for spec, source in found.sources),
        to_ask=found.to_ask,
    )


def plan_lines(planned: Sequence[PlannedCell]) -> list[str]:
    """The plan and its cost, in lines: what cells share counts once."""
    to_run = [cell for cell in planned if cell.is_to_run]
    done, wrong = (sum(test) for test in zip(*((bool(p.run_id), bool(p.problem)) for p in planned), strict=True))
    lines = [
        f"{counted(len(planned), 'cell')}: {len(to_run)} to run, {done} published before, {wrong} that cannot work"
    ]
    lines += [f"  {cell.cell.name}: {_line(cell)}" for cell in planned]
    return [*lines, f"cost: {_images(to_run)}; {_money(to_run)}"]


def _line(planned: PlannedCell) -> str:
    if planned.run_id is not None:
        return f"done, run {planned.run_id}"
    if planned.problem is not None:
        return "cannot work"
    spec = planned.cell.spec
    few_shot = spec.few_shot if spec else None
    shots = f", {_shots(few_shot.shots)} x {counted(few_shot.draws, 'draw')}" if few_shot else ""
    methods = ", ".join(spec.methods if spec else ()) or "few-shot methods alone"
    return f"to run, {methods}{shots}"


def _shots(shots: Sequence[int]) -> str:
    return f"{', '.join(map(str, shots))} {'shot' if tuple(shots) == (1,) else 'shots'}"


def _images(to_run: Sequence[PlannedCell]) -> str:
    """Images through an encoder: each data set once per encoder, whatever the texts."""
    embedded: dict[tuple[str, str], int] = {}
    read: dict[str, int] = {}
    for planned in to_run:
        assert planned.cell.spec is not None  # noqa: S101 - a cell to run has a spec
        encoder = planned.cell.spec.encoder
        for dataset, count in planned.images:
            if encoder.kind == "precomputed":
                read[dataset] = count
            else:
                embedded[dataset, encoder.model_dump_json()] = count
    return f"at most {counted(sum(embedded.values()), 'image')} through encoders, {sum(read.values())} read as features"


def _money(to_run: Sequence[PlannedCell]) -> str:
    """Questions about a data set with the same texts are asked once, for all models."""
    asked = {(planned.cell.dataset, planned.cell.texts): planned.to_ask for planned in to_run if planned.to_ask}
    if not asked:
        return "no language model is asked, nothing is paid"
    estimates = [estimate for estimate in asked.values() if estimate is not None]
    calls, cost = sum(estimate.calls for estimate in estimates), sum(estimate.cost_usd for estimate in estimates)
    unpriced = sum(estimate.calls for estimate in estimates if not estimate.is_priced)
    beside = f", and {unpriced} at an unknown price" if unpriced else ""
    return f"{counted(calls, 'question')} to a language model, about ${cost:.2f}{beside}"
