"""From a YAML file, a URL or a mapping to an `EvalSpec`, or to one error that names place, value and remedy."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from coder_core.errors import ConfigError
from coder_core.locations import is_url, open_location
from coder_core.specs import EvalSpec, Runtime
from coder_core.storage.inputs import read_input

DEMO_CONFIG = "demo:flags"


def load_spec(config: str | Mapping[str, Any] = DEMO_CONFIG, overrides: Sequence[str] = ()) -> EvalSpec:
    """Read, override and check a config.

    Args:
        config: A path, a URL, `demo:flags`, or the settings themselves.
        overrides: `key.path=value` settings that win over the config; values are YAML.

    Raises:
        ConfigError: Unknown key, wrong type, impossible value, or not YAML.
        InputError: The file cannot be read.
    """
    if isinstance(config, str):
        place, base, settings = config, _folder_of(config), _read_settings(config)
    else:
        place, base, settings = "config", str(Path.cwd()), dict(config)
    for override in overrides:
        settings = apply_override(settings, override)
    return validate_spec(settings, place=place, base=base)


def validate_spec(settings: Mapping[str, Any], *, place: str, base: str) -> EvalSpec:
    """Check settings; `base` is the folder that relative paths start from."""
    try:
        return EvalSpec.model_validate(settings, context={"base": base})
    except ValidationError as error:
        raise _config_error(error, place, EvalSpec) from error


def load_runtime(**settings: Any) -> Runtime:
    """Where and how fast: the settings given, then CODER_* in the environment, then defaults.

    Raises:
        ConfigError: An impossible value.
    """
    try:
        return Runtime(**settings)
    except ValidationError as error:
        raise _config_error(error, "runtime (arguments or CODER_* in the environment)", Runtime) from error


def apply_override(settings: Mapping[str, Any], override: str) -> dict[str, Any]:
    """Set one `key.path=value`; numbers in the path index lists."""
    path, separator, text = override.partition("=")
    if not separator or not path.strip():
        raise ConfigError(f"expected key.path=value, found {override!r}.", "--set", "Example: dataset.seed=3.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{text!r} is no YAML value.", f"--set {path}", "Put it in quotes.") from error
    updated: dict[str, Any] = _with_value(dict(settings), path.strip().split("."), value, override)
    return updated


def _with_value(node: Any, keys: list[str], value: Any, override: str) -> Any:
    if not keys:
        return value
    head, rest = keys[0], keys[1:]
    if isinstance(node, list):
        if not head.isdigit() or int(head) >= len(node):
            raise ConfigError(f"the list has {len(node)} items, {head!r} is none.", f"--set {override}", "Count from 0.")
        return [*node[: int(head)], _with_value(node[int(head)], rest, value, override), *node[int(head) + 1 :]]
    if node is not None and not isinstance(node, Mapping):
        raise ConfigError(f"{node!r} has no key {head!r}.", f"--set {override}", "Shorten the key path.")
    branch = dict(node or {})
    branch[head] = _with_value(branch.get(head), rest, value, override)
    return branch


def _folder_of(config: str) -> str:
    return config.rsplit("/", 1)[0] if is_url(config) else str(Path(config).parent)


def _read_settings(config: str) -> dict[str, Any]:
    content = read_input(open_location(config))
    try:
        settings = yaml.safe_load(content.decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"this is not YAML ({_one_line(error)}).", config, "Correct the syntax.") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"expected settings by key, found {settings!r:.80}.", config, "See configs/flags.yaml.")
    return settings


def _config_error(error: ValidationError, place: str, model: type[BaseModel]) -> ConfigError:
    first, *others = error.errors(include_url=False)
    keys = [str(key) for depth, key in enumerate(first["loc"]) if depth != 1 or first["loc"][0] not in _UNIONS]
    where = f"{place}: {'.'.join(keys)}" if keys else place
    more = f" ({len(others)} more after this one.)" if others else ""
    if first["type"] == "extra_forbidden":
        return ConfigError(f"unknown key {keys[-1]!r}.", where, f"{_nearest_key(keys[-1], model)}{more}")
    if first["type"] == "missing":
        return ConfigError("this key is required and absent.", where, f"Add it.{more}")
    found = "" if first["type"] in {"value_error"} else f", found {first['input']!r:.80}"
    reason = first["msg"].removeprefix("Value error, ")
    return ConfigError(f"{reason}{found}.", where, f"See docs/configuration.md.{more}")


_UNIONS = ("dataset", "encoder")
"""Pydantic names the chosen variant as the second step of an error's path here; a user did not write it there."""


def _nearest_key(key: str, model: type[BaseModel]) -> str:
    known = sorted(_all_keys(model.model_json_schema()))
    close = difflib.get_close_matches(key, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Keys are: {', '.join(model.model_fields)}."


def _all_keys(schema: Mapping[str, Any]) -> set[str]:
    parts = [schema, *schema.get("$defs", {}).values()]
    return {key for part in parts for key in part.get("properties", {})}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
