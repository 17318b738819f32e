"""What of a sweep is to be run: the file or the settings, and what a command line or a form chooses of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from coder_core.locations import folder_of
from coder_core.recipes.published_figures import read_published
from coder_core.recipes.sweep_cells import Cell, cells_of, check_sweep, load_sweep, read_any, select, typed_sweep
from coder_core.specs.sweep_spec import PublishedRow


@dataclass(frozen=True)
class SweepChoice:
    """What is chosen of a sweep.

    Attributes:
        datasets: Some of its data sets; without a sweep: configs, folders or published data sets by name.
        models: The same for models.
        methods: Instead of its own.
        shots: Instead of its own.
        overrides: `key.path=value` settings that win in every cell.
        name: Instead of its own.
        data_root: What `${DATA_ROOT}` stands for; None: CODER_DATA_ROOT in the environment.
    """

    datasets: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    shots: tuple[int, ...] = ()
    overrides: tuple[str, ...] = ()
    name: str | None = None
    data_root: str | None = None


class ChosenCells(NamedTuple):
    """A sweep, ready to be planned.

    Attributes:
        name: Of the sweep.
        cells: All that were chosen, sound or not.
        published: What others have published about its models.
    """

    name: str
    cells: list[Cell]
    published: tuple[PublishedRow, ...]


def choose_cells(
    sweep: str | Mapping[str, Any] | None, choice: SweepChoice, *, may_read: Callable[[str], None] = read_any
) -> ChosenCells:
    """Read a sweep and choose of it.

    Args:
        sweep: The path or URL of a file, or the settings themselves, whose paths start from the working directory;
            None: what the choice names.
        choice: What is chosen.
        may_read: Raises where a file that the sweep names may not be read.

    Raises:
        ConfigError: Unknown key, wrong type, or a name that the sweep does not have.
        InputError: The file cannot be read.
    """
    axes = choice.datasets, choice.models, choice.methods, choice.shots
    base = folder_of(sweep) if isinstance(sweep, str) else str(Path.cwd())
    published: tuple[PublishedRow, ...] = ()
    if sweep is None:
        chosen = typed_sweep(choice.name or "sweep", *axes)
    else:
        whole = load_sweep(sweep) if isinstance(sweep, str) else check_sweep(sweep, "config")
        published = read_published(whole, base, may_read=may_read)
        chosen = select(whole, *axes).model_copy(update={"name": choice.name} if choice.name else {})
    cells = cells_of(chosen, base, overrides=choice.overrides, data_root=choice.data_root, may_read=may_read)
    return ChosenCells(chosen.name, cells, published)
