"""What holds for runs that a server has started, and not for those that a person has typed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect.runtime import deployment

from coder_core.allowed_places import allowed_roots, check_place, check_runtime_places, check_spec_places, is_fetched
from coder_core.config import load_runtime, load_spec
from coder_core.errors import ConfigError
from coder_core.recipes.sweep_cells import Cell
from coder_core.recipes.sweep_choice import ChosenCells, SweepChoice, choose_cells
from coder_core.specs import EvalSpec, Runtime


def load_flow_spec(config: str | dict[str, Any], overrides: Sequence[str] = ()) -> EvalSpec:
    """Read the config that a flow was given; that of a deployment, from allowed places only.

    Raises:
        ConfigError: It is wrong, or lies elsewhere.
        InputError: It cannot be read.
    """
    if not is_served():
        return load_spec(config, overrides)
    roots = _roots()
    if isinstance(config, str):
        check_place(config, roots, "config")
    spec = load_spec(config, overrides)
    check_spec_places(spec, roots)
    return spec


def load_flow_sweep(sweep: str | dict[str, Any], choice: SweepChoice) -> ChosenCells:
    """Read the sweep that a flow was given; that of a deployment, and all that it names, from allowed places only.

    Raises:
        ConfigError: It is wrong, or lies elsewhere; what is wrong about one cell stands in that cell.
        InputError: It cannot be read.
    """
    if not is_served():
        return choose_cells(sweep, choice)
    roots = _roots()

    def may_read(location: str) -> None:
        check_place(location, roots, "config")

    if isinstance(sweep, str):
        may_read(sweep)
    found = choose_cells(sweep, choice, may_read=may_read)
    return found._replace(cells=[_in_places(cell, roots) for cell in found.cells])


def _in_places(cell: Cell, roots: tuple[str, ...]) -> Cell:
    try:
        if cell.spec is not None:
            check_spec_places(cell.spec, roots)
    except ConfigError as error:
        return replace(cell, spec=None, problem=error)
    return cell


def served_runtime(runtime: Runtime | None) -> Runtime:
    """What a flow was given, or what the environment says; that of a deployment leads nowhere but to allowed places.

    Raises:
        ConfigError: It leads elsewhere.
    """
    own = load_runtime()
    if runtime is not None and is_served():
        check_runtime_places(runtime, own, _roots())
    return runtime or own


def check_fetched(locations: Sequence[str], what: str) -> None:
    """Refuse, in a run of a server, URLs that are not allowed; paths and buckets are.

    Raises:
        ConfigError: Naming the first.
    """
    if is_served():
        for location in locations:
            if is_fetched(location):
                check_place(location, _roots(), what)


def check_written(location: str | None, what: str) -> None:
    """Refuse, in a run of a server, to write elsewhere than below allowed places.

    Raises:
        ConfigError: It would.
    """
    if location is not None and is_served():
        check_place(location, _roots(), what)


def is_served() -> bool:
    """Whether this run was started through a deployment."""
    return deployment.id is not None


def _roots() -> tuple[str, ...]:
    return allowed_roots(str(Path.cwd()), load_runtime().store)
