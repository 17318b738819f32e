"""From a sweep to its cells: each is the config of one ordinary evaluation, under a name that says which cell it is."""

import functools
import itertools
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from coder_core.allowed_places import is_fetched
from coder_core.config import apply_override, read_settings, validate_spec
from coder_core.config_errors import explain_invalid
from coder_core.datasets.named_settings import named_settings
from coder_core.datasets.places import DATA_ROOT_VARIABLE, meant_by
from coder_core.encoders.model_names import encoder_settings
from coder_core.errors import CoderError, ConfigError
from coder_core.limits import limit
from coder_core.locations import DEMO_PREFIX, folder_of, is_url, resolve_location
from coder_core.recipes.first_config import NAMES_ONLY, Wish, dataset_settings, find_pool
from coder_core.redaction import redact
from coder_core.specs import EvalSpec, PublishedName
from coder_core.specs.method_names import FewShotMethodName
from coder_core.specs.sweep_spec import SweepSpec

MAX_CELLS = limit("CODER_MAX_SWEEP_CELLS", 10_000)
"""Three lists of a thousand names each are a small file, and a thousand million evaluations."""
OWN = ""
"""The name on an axis that a sweep does not have: every data set's own model or texts."""
CONFIG = "config"
"""The key of a data set's settings that names what they begin with."""
CONFIG_SUFFIXES = (".yaml", ".yml", ".json")
DATA_ROOT = "DATA_ROOT"
_NAMES = frozenset(get_args(PublishedName))
"""Data sets that are known by name."""
_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
_FEW_SHOT = frozenset(get_args(FewShotMethodName))
_STAND_IN = {"name": "stand-in", "encoder": {"kind": "open_clip", "checkpoint": "demo:micro-clip"}}
"""What a config of a data set may leave to the sweep; only while its paths are resolved."""


@dataclass(frozen=True)
class Cell:
    """One evaluation of a sweep.

    Attributes:
        name: Of the evaluation.
        dataset: Its name on the axis.
        model: The same; `OWN` where the sweep has no models.
        texts: The same; `OWN` where the sweep has no texts.
        spec: What is evaluated; None where the config is wrong.
        problem: What is wrong with it.
    """

    name: str
    dataset: str
    model: str
    texts: str
    spec: EvalSpec | None = None
    problem: CoderError | None = None


def load_sweep(location: str) -> SweepSpec:
    """Read a sweep.

    Args:
        location: A YAML file; relative paths in it start from its folder.

    Raises:
        ConfigError: Unknown key, wrong type, or not YAML.
        InputError: The file cannot be read.
    """
    return check_sweep(read_settings(location, SweepSpec), location)


def check_sweep(settings: Mapping[str, Any], place: str) -> SweepSpec:
    """Check the settings of a sweep.

    Raises:
        ConfigError: Unknown key, wrong type or impossible value.
    """
    try:
        return SweepSpec.model_validate(settings)
    except ValidationError as error:
        raise explain_invalid(error, place, SweepSpec) from error


def typed_sweep(
    name: str, datasets: Sequence[str], models: Sequence[str], methods: Sequence[str], shots: Sequence[int]
) -> SweepSpec:
    """A sweep from words of a command line; data sets and models are named after what they are.

    Raises:
        ConfigError: Two of them have one name, or nothing is to be classified.
    """
    settings = {
        "name": name,
        "datasets": _named("--datasets", datasets, lambda word: Path(word).stem if _is_config(word) else _last(word)),
        "models": _named("--models", models, lambda word: word if not Path(word).is_dir() else _last(word)),
        "methods": tuple(methods),
        "shots": tuple(shots),
    }
    return check_sweep(settings, "command line")


def select(
    sweep: SweepSpec, datasets: Sequence[str], models: Sequence[str], methods: Sequence[str], shots: Sequence[int]
) -> SweepSpec:
    """A part of a sweep: some of its data sets and models; other methods and shots.

    Raises:
        ConfigError: It has no such data set or model.
    """
    changes: dict[str, Any] = {}
    for option, axis, names in (("--datasets", "datasets", datasets), ("--models", "models", models)):
        known = getattr(sweep, axis)
        for missing in [name for name in names if name not in known]:
            there = ", ".join(known) or "it names none"
            raise ConfigError(f"the sweep has no {missing!r:.80} among its {axis}.", option, f"There are: {there}.")
        changes |= {axis: {name: known[name] for name in names}} if names else {}
    changes |= {"methods": tuple(methods)} if methods else {}
    changes |= {"shots": tuple(shots)} if shots else {}
    return sweep.model_copy(update=changes)


def read_any(_: str) -> None:
    """For whoever types a command: it reads what the person may read."""


def cells_of(
    sweep: SweepSpec,
    base: str,
    *,
    overrides: Sequence[str] = (),
    data_root: str | None = None,
    may_read: Callable[[str], None] = read_any,
) -> list[Cell]:
    """All cells of a sweep, data set by data set; one whose config is wrong says so, and the others are there.

    Args:
        sweep: The sweep.
        base: Folder (path or URL) that its relative paths start from.
        overrides: `key.path=value` settings that win in every cell.
        data_root: What `${DATA_ROOT}` stands for; default: CODER_DATA_ROOT in the environment.
        may_read: Raises a CoderError where a config or a manifest may not be read.

    Raises:
        ConfigError: Shots are asked for, and no data set has images to learn from; two cells have one name; or there
            are more than `MAX_CELLS`.
    """
    count = math.prod(max(1, len(axis)) for axis in (sweep.datasets, sweep.models, sweep.texts))
    if count > MAX_CELLS:
        problem = f"it has {count} cells, more than {MAX_CELLS} (CODER_MAX_SWEEP_CELLS)."
        raise ConfigError(problem, sweep.name, "Cut it into several.")
    root = data_root or os.environ.get(DATA_ROOT_VARIABLE)
    makers = _CellMaker(sweep, base, tuple(overrides), _absolute(root), _absolute(data_root), may_read)
    axes = itertools.product(sweep.datasets, sweep.models or [OWN], sweep.texts or [OWN])
    cells = [makers.cell(*names) for names in axes]
    name, times = Counter(cell.name for cell in cells).most_common(1)[0]
    if times > 1:
        raise ConfigError(f"two cells are called {name!r}.", sweep.name, "Rename a data set, a model or texts.")
    learns = sweep.shots or (sweep.methods and _FEW_SHOT.issuperset(sweep.methods))
    if learns and not any(_may_learn(cell) for cell in cells):
        remedy = "Name a few_shot.pool of each; of a folder, `train` beside `test` is one."
        raise ConfigError("no data set has images to learn from.", "shots", remedy)
    return cells


def _may_learn(cell: Cell) -> bool:
    """Whether a cell has images to learn from, or is wrong in another way than by having none."""
    if cell.spec is not None:
        return cell.spec.few_shot is not None
    return "only few_shot can stand alone" not in str(cell.problem)


@dataclass(frozen=True)
class _CellMaker:
    sweep: SweepSpec
    base: str
    overrides: tuple[str, ...]
    data_root: str | None
    named_root: str | None
    """Where data sets by name lie, where the command says it; the environment says it anew on every machine."""
    may_read: Callable[[str], None]

    def cell(self, dataset: str, model: str, texts: str) -> Cell:
        """One cell, sound or not."""
        name = ".".join(part for part in (self.sweep.name, dataset, model, texts) if part)
        words = {"dataset": dataset, "model": model, "texts": texts, DATA_ROOT: self.data_root}
        try:
            spec = validate_spec(
                {**self._settings(dataset, model, texts, words), "name": name}, place=name, base=self.base
            )
        except CoderError as error:
            return Cell(name, dataset, model, texts, problem=error)
        return Cell(name, dataset, model, texts, spec=spec)

    def _settings(self, dataset: str, model: str, texts: str, words: Mapping[str, str | None]) -> dict[str, Any]:
        sweep = self.sweep
        found: dict[str, Any] = merge(
            fill(sweep.settings, words), self._of_dataset(fill(sweep.datasets[dataset], words), words)
        )
        if model:
            found["encoder"] = self._of_model(fill(sweep.models[model], words))
        if texts:
            found["texts"] = merge(found.get("texts") or {}, fill(sweep.texts[texts], words))
        found = self._overridden(found)  # before, because it may name a pool, and after, because it wins
        self._choose_methods(found)
        found = self._overridden(found)
        few_shot = found.get("few_shot")
        if isinstance(few_shot, Mapping) and "pool" not in few_shot:  # how all learn, and nothing to learn from here
            del found["few_shot"]
        return found

    def _of_dataset(self, given: str | dict[str, Any], words: Mapping[str, str | None]) -> dict[str, Any]:
        if isinstance(given, Mapping) and CONFIG in given:
            own = {key: value for key, value in given.items() if key != CONFIG}
            return merge(self._of_dataset(given[CONFIG], words), own)
        if isinstance(given, Mapping):
            is_name = given.get("name") in _NAMES and "dataset" not in given
            return {"dataset": given} if "kind" in given or is_name else given
        if not is_url(given):
            if published := meant_by(given, resolve_location(given, self.base), self.named_root):
                return self._of_name(published)
            given = resolve_location(given, self.base)
        if given.startswith(DEMO_PREFIX) or _is_config(given):
            return self._of_config(given, words)
        if is_fetched(given) or not (is_url(given) or Path(given).is_dir()):
            self.may_read(given)
        found = dataset_settings(Wish(images=given, model=""), Path(self.base))
        pool = find_pool(found, Path(self.base)) if self._learns else None
        return {"dataset": found, **({"few_shot": {"pool": pool}} if pool else {})}

    @property
    def _learns(self) -> bool:
        """Whether the sweep says how to learn."""
        sweep = self.sweep
        return bool(sweep.shots or _FEW_SHOT & set(sweep.methods) or "few_shot" in sweep.settings)

    def _of_name(self, name: str) -> dict[str, Any]:
        """A published data set; its training part to learn from, where the sweep says how."""
        found = named_settings(name, {"root": self.named_root} if self.named_root else {})
        return found if self._learns else {key: value for key, value in found.items() if key != "few_shot"}

    def _of_config(self, location: str, words: Mapping[str, str | None]) -> dict[str, Any]:
        """What a config says, its paths made independent of its folder."""
        self.may_read(location)
        own = fill(read_settings(location), words)
        spec = validate_spec({**_STAND_IN, **own}, place=location, base=folder_of(location))
        said = spec.model_dump(mode="json", exclude_unset=True)
        return {key: value for key, value in said.items() if key in {*own, "methods"}}

    def _of_model(self, given: str | dict[str, Any]) -> dict[str, Any]:
        if isinstance(given, Mapping):
            return given
        place = given if is_url(given) else resolve_location(given, self.base)
        return encoder_settings(place if Path(place).is_dir() else given)

    def _overridden(self, settings: dict[str, Any]) -> dict[str, Any]:
        return functools.reduce(apply_override, self.overrides, settings)

    def _choose_methods(self, settings: dict[str, Any]) -> None:
        """Methods and shots of the sweep, the latter where there is something to learn from."""
        few_shot = [name for name in self.sweep.methods if name in _FEW_SHOT]
        zero_shot = [name for name in self.sweep.methods if name not in _FEW_SHOT]
        if zero_shot:
            settings["methods"] = zero_shot
        elif "methods" not in settings and (few_shot or _has_names_only(settings)):
            settings["methods"] = [] if few_shot else list(NAMES_ONLY)
        own = settings.get("few_shot")
        if isinstance(own, Mapping) and "pool" in own:
            chosen = {"shots": list(self.sweep.shots)} if self.sweep.shots else {}
            settings["few_shot"] = {**own, **chosen, **({"methods": few_shot} if few_shot else {})}


def _has_names_only(settings: Mapping[str, Any]) -> bool:
    """Whether nothing describes the classes: then methods that read descriptions cannot be meant."""
    texts, encoder = settings.get("texts") or {}, settings.get("encoder") or {}
    has_texts = isinstance(texts, Mapping) and any(texts.get(key) for key in ("bank", "generator", "wordnet", "edits"))
    return not has_texts and not (isinstance(encoder, Mapping) and encoder.get("kind") == "precomputed")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Settings over settings: groups are merged key by key, what has a `kind` is replaced whole."""
    found = dict(base)
    for key, value in over.items():
        below = found.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping) and "kind" not in value:
            found[key] = merge(below, value)
        else:
            found[key] = value
    return found


def fill(settings: Any, words: Mapping[str, str | None]) -> Any:
    """Settings with every `${word}` replaced.

    Raises:
        ConfigError: Nothing is known for a word.
    """
    if isinstance(settings, Mapping):
        return {key: fill(value, words) for key, value in settings.items()}
    if isinstance(settings, list | tuple):
        return [fill(value, words) for value in settings]
    return _PLACEHOLDER.sub(lambda found: _word(found[1], words), settings) if isinstance(settings, str) else settings


def _word(name: str, words: Mapping[str, str | None]) -> str:
    found = words.get(name)
    if found is None:
        remedy = f"Give --data-root FOLDER, or set {DATA_ROOT_VARIABLE}." if name == DATA_ROOT else ""
        known = ", ".join(words)
        raise ConfigError(f"nothing is known for ${{{name}}}.", "sweep", remedy or f"There are: {known}.")
    return found


def _absolute(root: str | None) -> str | None:
    return str(Path(root).expanduser().absolute()) if root else None


def _is_config(word: str) -> bool:
    path = word.partition("?")[0] if "://" in word else word
    return word.startswith(DEMO_PREFIX) or path.endswith(CONFIG_SUFFIXES)


def _last(word: str) -> str:
    return Path(word).resolve().name if not is_url(word) else word


def _named(option: str, words: Sequence[str], call: Callable[[str], str]) -> dict[str, str]:
    """Words of a command line by a name that tables can show."""
    found: dict[str, str] = {}
    for word in words:
        shown = redact(word).partition("?")[0] if "://" in word else word  # a name is told everywhere
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", call(shown).removeprefix(DEMO_PREFIX)).strip("-._")[:60]
        if not name:
            problem = f"{shown!r:.80} has no letter or digit of ASCII that tables could call it by."
            raise ConfigError(problem, option, "Write a sweep.yaml, which names it.")
        if name in found:
            remedy = "Write a sweep.yaml, which names them."
            raise ConfigError(f"two of them would be called {name!r}: {found[name]}, {word}.", option, remedy)
        found[name] = word
    return found
