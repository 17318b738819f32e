"""From pydantic's report to one sentence about a config: the key as its writer wrote it, the value, the remedy."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from coder_core.errors import CoderError, ConfigError, SeveralProblemsError
from coder_core.specs import Runtime

Location = tuple[int | str, ...]

_UNIONS = ("dataset", "encoder", "validation")
"""Pydantic names the chosen variant as the second step of an error's path here; a user did not write it there."""

_EXPECTED = {
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "string_type": "expected text (YAML reads `no` and `12` as other types: use quotes)",
    "string_sub_type": "expected text (YAML reads `no` and `12` as other types: use quotes)",
    "string_unicode": "this text cannot be written as UTF-8",
    "string_too_short": "this text is empty",
    "string_too_long": "this text has more than {max_length} characters",
    "string_pattern_mismatch": "this text has another form than the key takes",
    "dict_type": "expected settings by key",
    "model_type": "expected settings by key",
    "model_attributes_type": "expected settings by key",
    "invalid_key": "keys are text",
    "too_short": "the list is empty",
    "too_long": "the list has more than {max_length} items",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_parsing_size": "expected a whole number of a size that can be",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "greater_than": "expected a number above {gt}",
    "greater_than_equal": "expected a number of at least {ge}",
    "less_than": "expected a number below {lt}",
    "less_than_equal": "expected a number of at most {le}",
    "enum": "expected one of {expected}",
}
"""What pydantic calls an error, in the words of YAML; a test walks every bound of every setting."""

MOST_PROBLEMS = 100
"""Told of one config."""

_OTHERWISE = "this is no value that the key takes"


def explain_invalid(error: ValidationError, place: str, model: type[BaseModel]) -> CoderError:
    """Say all that is wrong; a key that does not exist comes before one that is absent, it is often the same.

    Args:
        error: What pydantic found.
        place: The file, or what else was checked.
        model: What it was checked against.

    Returns:
        A ConfigError, or a SeveralProblemsError of them.
    """
    found = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    further = len(found[MOST_PROBLEMS:])
    found = found[:MOST_PROBLEMS]  # each is compared with each
    told: dict[str, ConfigError] = {}
    for each in (each for each in found if not _is_consequence(each, found)):
        keys = [key if isinstance(key, int) else f"{key:.80}" for key in _written_keys(each["loc"], each["type"])]
        problem, remedy = _explain(each, keys, model)
        where = ".".join(map(str, [*keys, "kind"] if each["type"].startswith("union_tag") else keys))
        # of a value that fits none of several types pydantic says so for each of them
        told.setdefault(where, ConfigError(f"{problem}.", f"{place}: {where}" if where else place, remedy))
    problems = list(told.values())
    if further:
        problems.append(ConfigError(f"{further} further problems.", place, "Mend these first."))
    return problems[0] if len(problems) == 1 else SeveralProblemsError(problems, place)


def _is_consequence(error: ErrorDetails, found: Sequence[ErrorDetails]) -> bool:
    """Whether an error is there only because of another one, which is told.

    A key is absent where it stands there under a name that is nearly its own; a list counts as empty when what is in it
    is wrong.
    """
    location = error["loc"]
    if any(each["loc"][: len(location)] == location != each["loc"] for each in found):
        return True
    unknown = (each["loc"] for each in found if each["type"] == "extra_forbidden")
    beside = [str(other[-1]) for other in unknown if other[:-1] == location[:-1]]
    return error["type"] == "missing" and bool(difflib.get_close_matches(str(location[-1]), beside, n=1))


def _written_keys(location: Location, kind: str) -> list[int | str]:
    keys = [key for depth, key in enumerate(location) if depth != 1 or location[0] not in _UNIONS]
    if kind in ("string_type", "tuple_type") and keys[-1] in ("str", "tuple[str, ...]"):
        return keys[:-1]  # the branch of a `str | tuple[str, ...]`, which no user wrote either
    return keys


def _explain(first: Mapping[str, Any], keys: Sequence[int | str], model: type[BaseModel]) -> tuple[str, str]:
    kind, shown = first["type"], f", found {first['input']!r:.80}"
    if kind == "extra_forbidden":
        return f"unknown key {keys[-1]!r}", _nearest_key(keys, first["loc"], model)
    if kind == "missing":
        return "this key is required and absent", "Add it."
    if kind == "union_tag_not_found":
        return "this key is required and absent", f"Kinds are: {', '.join(_variants(model, keys))}."
    if kind == "union_tag_invalid":
        return f"there is no kind {first['ctx']['tag']!r:.80}", _nearest(
            f"{first['ctx']['tag']:.80}", _variants(model, keys), "Kinds"
        )
    if kind == "value_error":
        return first["msg"].removeprefix("Value error, "), "See docs/configuration.md."
    if kind == "literal_error":
        return f"there is no {first['input']!r:.80}", _nearest(
            str(first["input"]), _quoted(first["ctx"]["expected"]), "Known"
        )
    told = _EXPECTED.get(kind, _OTHERWISE).format_map(first.get("ctx", {}))
    return f"{told}{shown}", "See docs/settings.md."


def _quoted(text: str) -> list[str]:
    return re.findall("'([^']*)'", text)


def _nearest_key(keys: Sequence[int | str], location: Location, model: type[BaseModel]) -> str:
    root, key = model.model_json_schema(), str(keys[-1])
    here = ".".join(step for step in keys if isinstance(step, str))
    places = [path for path in _all_places(root, root) if path.rpartition(".")[2] == key]
    if places and here not in places:
        return f"It belongs to `{places[0]}`."
    if not places and key in Runtime.model_fields:
        return f"Not part of a config: set CODER_{key.upper()} in the environment."
    hint = "Only another kind has it. " if places else ""
    return hint + _nearest(key, sorted(_schema_at(root, location[:-1]).get("properties", {})), "Keys")


def _nearest(found: str, known: Sequence[str], noun: str) -> str:
    close = difflib.get_close_matches(found, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"{noun} are: {', '.join(known)}."


def _variants(model: type[BaseModel], keys: Sequence[int | str]) -> list[str]:
    branches = _branches(model.model_json_schema()["properties"][keys[0]])
    return sorted(kind for branch in branches for kind in branch.get("discriminator", {}).get("mapping", {}))


def _schema_at(root: Mapping[str, Any], location: Location) -> Mapping[str, Any]:
    """Walk a JSON schema along an error's path: properties, list items, variants."""
    node: Mapping[str, Any] = root
    for step in location:
        variants = node.get("discriminator", {}).get("mapping", {})
        below = {"$ref": variants[step]} if step in variants else node.get("properties", {}).get(step)
        branches = _branches(below or node.get("items") or {})
        node = next((found for found in (_resolved(root, each) for each in branches) if "type" in found), branches[0])
    return node


def _all_places(root: Mapping[str, Any], node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Every key path that a schema knows; the items of a list share its path."""
    for name, child in node.get("properties", {}).items():
        yield f"{prefix}{name}"
        for branch in (*_branches(child), *child.get("oneOf", ()), child.get("items", {})):
            yield from _all_places(root, _resolved(root, branch), f"{prefix}{name}.")


def _branches(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a field may be: itself, or, where it may also be absent, each of its forms."""
    return list(node.get("anyOf", [node]))


def _resolved(root: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = node.get("$ref")
    found: Mapping[str, Any] = root["$defs"][reference.rpartition("/")[2]] if reference else node
    return found
