"""From a YAML file, a URL or a mapping to an `EvalSpec`, or to one error that names place, value and remedy."""

import difflib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from coder_core.config_errors import explain_invalid
from coder_core.errors import CoderError, ConfigError, SeveralProblemsError, TextBankError, raise_all
from coder_core.limits import LIMITS, QUERY_NUMBERS, check_query_number, limit, nesting_limit
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.locations import folder_of, open_location
from coder_core.sealing import unseal
from coder_core.specs import EvalSpec, Runtime
from coder_core.storage.addresses import redact
from coder_core.storage.input_files import read_input
from coder_core.texts.markup import MAX_BYTES, read_markup

DEMO_CONFIG = "demo:flags"
_LIKE_CONFIG = re.compile(rb"^[^\w\n]*+(dataset|encoder)[^\w\n]*?:", re.MULTILINE)
"""What only a config holds: of another file, which somebody named by mistake or on purpose, nothing is shown."""
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")
_KINDS = {list: "a list", type(None): "nothing", str: "one text"}
SETTING_VARIABLES = (
    *(f"CODER_{name}".upper() for name in Runtime.model_fields),
    *(f"CODER_LLM_{name}".upper() for name in LlmRuntime.model_fields),
)
JSON_VARIABLES = ("CODER_LLM", "CODER_LLM_PRICES")
"""Those whose value is more than one word."""
OTHER_VARIABLES = (
    *LIMITS,
    "CODER_ALLOWED_ROOTS",
    "CODER_ALLOWED_HOSTS",
    "CODER_DATA_ROOT",
    "CODER_LOG_FORMAT",
    "CODER_NAMED_RUN",
    "CODER_QUERY_MEMORY",
    "CODER_QUERY_ROWS",
    "CODER_QUERY_SECONDS",
    "CODER_SERVE_PART",
)
"""Those that the command line, the logs and the service read for themselves; a test finds them in the code."""


def load_spec(config: str | Mapping[str, Any] = DEMO_CONFIG, overrides: Sequence[str] = ()) -> EvalSpec:
    """Read, override and check a config.

    Args:
        config: A path, a URL, `demo:flags`, or the settings themselves.
        overrides: `key.path=value` settings that win over the config; values are YAML, read as if the config said it.

    Raises:
        ConfigError: Unknown key, wrong type, impossible value, or not YAML.
        InputError: The file cannot be read.
    """
    if isinstance(config, str):
        config = unseal(config)
        place, base, settings = redact(config), folder_of(config), read_settings(config)
    else:
        place, base, settings = "config", str(Path.cwd()), dict(config)
    for override in overrides:
        settings = apply_override(settings, override)
    return validate_spec(settings, place=place, base=base)


def validate_spec(settings: Mapping[str, Any], *, place: str, base: str) -> EvalSpec:
    """Check settings.

    Args:
        settings: As YAML has them.
        place: Where they come from, for the message of a refusal.
        base: The folder that relative paths start from.

    Raises:
        ConfigError: A key is unknown or missing, or a value impossible; names the key, the value and what is expected.
    """
    try:
        return EvalSpec.model_validate(settings, context={"base": base})
    except ValidationError as error:
        raise explain_invalid(error, place, EvalSpec) from error


def load_runtime(**settings: Any) -> Runtime:
    """Where and how fast: the settings given, then CODER_* in the environment, then defaults.

    Raises:
        ConfigError: An impossible value.
    """
    try:
        return Runtime(**settings)
    except ValidationError as error:
        is_llm = error.title == LlmRuntime.__name__
        name = partial(_setting_name, "CODER_LLM_", {}) if is_llm else partial(_setting_name, "CODER_", settings)
        raise explain_invalid(error, "runtime", LlmRuntime if is_llm else Runtime, name=name) from error
    except SettingsError as error:
        wrong = [name for name in JSON_VARIABLES if not _is_json(os.environ.get(name, ""))]
        shown = f"this is no JSON, found {os.environ.get(wrong[0], '')!r:.80}." if wrong else f"{error}."
        remedy = """Write settings by key: '{"key": value}' (docs/settings.md), or set them one by one."""
        raise ConfigError(shown, wrong[0] if wrong else "CODER_* in the environment", remedy) from error


def _setting_name(prefix: str, given: Mapping[str, Any], keys: Sequence[int | str]) -> str:
    """Where a setting comes from: the variable of the environment, with what is below it, or an argument."""
    field, *below = map(str, keys)
    variable = f"{prefix}{field}".upper()
    if field not in given or str(given[field]) == os.environ.get(variable):
        return ": ".join([variable, ".".join(below)] if below else [variable])
    return f"runtime: {'.'.join(map(str, keys))}"


def _is_json(text: str) -> bool:
    try:
        json.loads(text or "null")
    except ValueError:
        return False
    return True


def check_variables(environment: Mapping[str, str]) -> None:
    """Refuse a value of a CODER_* variable that whoever reads it would refuse later: before anything is loaded.

    Args:
        environment: That of this process.

    Raises:
        ConfigError: Naming variable, value, and what it may be; a SeveralProblemsError of them, where there are many.
    """
    problems: list[CoderError] = []
    limits = [partial(limit, name, 1) for name in LIMITS if environment.get(name)]
    numbers = [partial(check_query_number, name) for name in QUERY_NUMBERS]
    others = partial(load_runtime, llm=LlmRuntime.model_construct())  # a wrong one of these would hide all others
    checks: list[Callable[[], object]] = [load_runtime, others, *limits, *numbers]
    for check in checks:
        try:
            check()
        except SeveralProblemsError as error:
            problems += error.problems
        except ConfigError as error:
            problems.append(error)
    raise_all(list({str(problem): problem for problem in problems}.values()))


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Find variables CODER_* that nobody reads: one line for each, with the name that is meant.

    Args:
        environment: Such as `os.environ`.
    """
    known = sorted({*SETTING_VARIABLES, *OTHER_VARIABLES})
    found = sorted(name for name in environment if name.upper().startswith("CODER_") and name.upper() not in known)
    lines = []
    for name in found:
        close = difflib.get_close_matches(name.upper(), known, n=1)
        meant = f"Did you mean {close[0]}?" if close else "docs/settings.md lists those that there are."
        lines.append(f"{name}: nothing reads this variable of the environment. {meant}")
    return lines


def apply_override(settings: Mapping[str, Any], override: str) -> dict[str, Any]:
    """Set one `key.path=value`; numbers in the path index lists.

    Raises:
        ConfigError: It is none, the value is no YAML, or the path leads into something that has no such place.
    """
    path, separator, text = override.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not separator or not all(keys) or len(keys) > nesting_limit():
        raise ConfigError(f"expected key.path=value, found {override!r:.200}.", "--set", "Example: dataset.seed=3.")
    try:
        value = read_markup(text, f"--set {path:.80}")
    except TextBankError as error:
        raise ConfigError(f"{text!r:.80} is no YAML value.", f"--set {path:.80}", "Put it in quotes.") from error
    updated: dict[str, Any] = _with_value(dict(settings), keys, value, f"--set {override:.80}")
    return updated


def _with_value(node: Any, keys: Sequence[str], value: Any, place: str) -> Any:
    if not keys:
        return value
    head, rest = keys[0], keys[1:]
    if isinstance(node, list | tuple):
        if not head.isdecimal() or int(head) >= len(node):
            raise ConfigError(f"the list has {len(node)} items, {head!r:.80} is none.", place, "Count from 0.")
        return [*node[: int(head)], _with_value(node[int(head)], rest, value, place), *node[int(head) + 1 :]]
    if node is not None and not isinstance(node, Mapping):
        raise ConfigError(f"{node!r:.80} has no key {head!r:.80}.", place, "Shorten the key path.")
    branch = dict(node or {})
    branch[head] = _with_value(branch.get(head), rest, value, place)
    return branch


def read_settings(config: str, kind: type[BaseModel] = EvalSpec) -> dict[str, Any]:
    """Read the settings that a file holds, unchecked but for its being a file of that kind at all.

    Args:
        config: A path, a URL, or `demo:flags`.
        kind: What it is a file of.

    Raises:
        ConfigError: Not YAML, or another kind of file.
        InputError: The file cannot be read.
    """
    content = read_input(open_location(config), max_bytes=MAX_BYTES)
    try:
        settings = read_markup(content.decode("utf-8"), config)
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1}"
        raise ConfigError(
            f"this is not YAML: not UTF-8 text ({where}).", redact(config), "Save it as UTF-8 text."
        ) from None
    except TextBankError as error:
        shown = error.problem if _LIKE_CONFIG.search(content) else _QUOTED.sub(_hide_foreign, error.problem)
        raise ConfigError(shown, redact(config), "Correct the syntax.") from (error if shown == error.problem else None)
    if not isinstance(settings, dict):
        problem = f"expected settings by key, found {_KINDS.get(type(settings), 'one value')}."
        raise ConfigError(problem, redact(config), "See configs/flags.yaml.")
    if settings and not settings.keys() & kind.model_fields.keys():  # whoever named a wrong file, sees none of it
        problem = f"none of its {len(settings)} keys is one of a {'config' if kind is EvalSpec else 'sweep'}."
        raise ConfigError(problem, redact(config), f"Keys are: {', '.join(sorted(kind.model_fields))}.")
    return settings


def _hide_foreign(quoted: re.Match[str]) -> str:
    return quoted[0] if quoted[0][1:-1] in EvalSpec.model_fields else "(not shown)"
