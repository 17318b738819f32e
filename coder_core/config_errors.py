"""From pydantic's report to one sentence about a config: the key as its writer wrote it, the value, the remedy."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from coder_core.errors import CoderError, ConfigError, SeveralProblemsError
from coder_core.expected_values import describe_expected
from coder_core.spec_base import NAME_PATTERN
from coder_core.specs import Runtime
from coder_core.specs.eval_spec import CLASS_NAME_PATTERN
from coder_core.specs.runtime import DEVICE_PATTERN

Location = tuple[int | str, ...]
Schema = Mapping[str, Any]

KEY_MARK = "[key]"
"""Ends an error's path where the key itself is wrong, and not what stands under it."""

_WORDS = {"str": "string", "literal": "string", "tuple": "array", "list": "array", "dict": "object", "int": "integer"}
"""How pydantic's words for a type begin -> what a JSON schema calls it; a model is an object under its own name."""

FORMS = {
    DEVICE_PATTERN: "auto, cpu, cuda, cuda:<number> or mps",
    NAME_PATTERN: "letters, digits, '.', '_' and '-', and a letter or digit first",
    CLASS_NAME_PATTERN: "a name: this text is blank",
}
"""What a text must look like, by its pattern."""

MOST_PROBLEMS = 100
"""Told of one config."""


def explain_invalid(
    error: ValidationError,
    place: str,
    model: type[BaseModel],
    *,
    name: Callable[[Sequence[int | str]], str] | None = None,
) -> CoderError:
    """Say all that is wrong; a key that does not exist comes before one that is absent, it is often the same.

    Args:
        error: What pydantic found.
        place: The file, or what else was checked.
        model: What it was checked against.
        name: Gives the whole place of a key; default: the key after `place`.

    Returns:
        A ConfigError, or a SeveralProblemsError of them.
    """
    root = model.model_json_schema()
    found = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    further = len(found[MOST_PROBLEMS:])
    found = found[:MOST_PROBLEMS]  # each is compared with each
    walked = [(each, walk(root, each["loc"])) for each in found]
    told: dict[str, ConfigError] = {}
    for each, at in ((each, at) for each, at in walked if not _is_consequence(each, at, walked)):
        keys = [key if isinstance(key, int) else f"{key:.80}" for key in at.keys]
        problem, remedy = _explain(each, at, root)
        where = ".".join(map(str, [*keys, "kind"] if each["type"].startswith("union_tag") else keys))
        whole = name(keys) if name and where else f"{place}: {where}" if where else place
        # of a value that fits none of several types pydantic says so for each of them
        told.setdefault(where, ConfigError(f"{problem}.", whole, remedy))
    problems = list(told.values())
    if further:
        problems.append(ConfigError(f"{further} further problems.", place, "Mend these first."))
    return problems[0] if len(problems) == 1 else SeveralProblemsError(problems, place)


class Walked(NamedTuple):
    """Where an error's path leads.

    Attributes:
        keys: The path as the config's writer wrote it: pydantic also names variants and types there.
        parent: The schema of what holds the last key.
        node: The schema at its end.
    """

    keys: tuple[int | str, ...]
    parent: Schema
    node: Schema


def walk(root: Schema, location: Location) -> Walked:
    """Follow an error's path through a JSON schema.

    Args:
        root: The schema of the whole, with its `$defs`.
        location: Of the error: keys and positions, and, below a union, the variant or the type that was tried.
    """
    keys: list[int | str] = []
    parent: Schema = {}
    node = root
    for step in location:
        forms = _forms(root, node)
        if len(forms) > 1 or "discriminator" in forms[0]:
            node = _chosen(root, forms, str(step))
        elif step != KEY_MARK:
            keys.append(step)
            parent, node = forms[0], _below(forms[0], step)
    return Walked(tuple(keys), parent, _forms(root, node)[0])


def _forms(root: Schema, node: Schema) -> list[Schema]:
    """What a value may be: itself, or, where there are several types, each of them; that it may be absent is none."""
    found = [_resolved(root, form) for form in _branches(node)]
    return [form for form in found if form.get("type") != "null"] or [{}]


def _chosen(root: Schema, forms: Sequence[Schema], tried: str) -> Schema:
    """The form that a step of an error's path names: a variant by its kind, or a type by pydantic's word for it."""
    for form in forms:
        mapping = form.get("discriminator", {}).get("mapping", {})
        if tried in mapping:
            return _resolved(root, {"$ref": mapping[tried]})
    kind = next((kind for word, kind in _WORDS.items() if tried.startswith(word)), "object")
    return next((form for form in forms if form.get("type") == kind), forms[0])


def _below(node: Schema, step: int | str) -> Schema:
    """The schema of a key or of an item."""
    if isinstance(step, int) and "items" in node:
        return cast(Schema, node["items"])
    named = node.get("properties", {}).get(step) or node.get("additionalProperties")
    patterns = node.get("patternProperties", {})
    return cast(Schema, named or next(iter(patterns.values()), {}))


def _is_consequence(error: ErrorDetails, at: Walked, found: Sequence[tuple[ErrorDetails, Walked]]) -> bool:
    """Whether an error is there only because of another one, which is told.

    A key is absent where it stands there under a name that is nearly its own; a list counts as empty, and settings as
    no text, when what is in them is wrong.
    """
    if any(other.keys[: len(at.keys)] == at.keys != other.keys for _, other in found):
        return True
    unknown = (other.keys for each, other in found if each["type"] == "extra_forbidden")
    beside = [str(keys[-1]) for keys in unknown if keys[:-1] == at.keys[:-1]]
    return error["type"] == "missing" and bool(difflib.get_close_matches(str(at.keys[-1]), beside, n=1))


def _explain(first: ErrorDetails, at: Walked, root: Schema) -> tuple[str, str]:
    kind, shown, context = first["type"], f", found {first['input']!r:.80}", dict(first.get("ctx", {}))
    if kind == "extra_forbidden":
        return f"unknown key {at.keys[-1]!r:.82}", _nearest_key(at, root)
    if kind == "missing":
        return "this key is required and absent", "Add it."
    if kind == "union_tag_not_found":
        return "this key is required and absent", f"Kinds are: {', '.join(_variants(at.node))}."
    if kind == "union_tag_invalid":
        return f"there is no kind {context['tag']!r:.80}", _nearest(
            f"{context['tag']:.80}", _variants(at.node), "Kinds"
        )
    if kind == "value_error":
        return first["msg"].removeprefix("Value error, "), "See docs/configuration.md."
    if kind == "literal_error":
        return f"there is no {first['input']!r:.80}", _nearest(first["input"], _quoted(context["expected"]), "Known")
    if first["loc"][-1:] == (KEY_MARK,) and not isinstance(first["input"], str):
        return f"keys are text (in quotes, where they look like something else){shown}", "See docs/settings.md."
    context["form"] = FORMS.get(str(context.get("pattern")), "another form of this text")
    return f"{describe_expected(kind, context)}{shown}", "See docs/settings.md."


def _quoted(text: str) -> list[str]:
    return re.findall("'([^']*)'", text)


def _nearest_key(at: Walked, root: Schema) -> str:
    key, here = str(at.keys[-1]), ".".join(step for step in at.keys if isinstance(step, str))
    places = [path for path in _all_places(root, root) if path.rpartition(".")[2] == key]
    if places and here not in places:
        return f"It belongs to `{places[0]}`."
    if not places and key in Runtime.model_fields:
        return f"Not part of a config: set CODER_{key.upper()} in the environment."
    hint = "Only another kind has it. " if places else ""
    return hint + _nearest(key, sorted(at.parent.get("properties", {})), "Keys")


def _nearest(found: object, known: Sequence[str], noun: str) -> str:
    close = difflib.get_close_matches(found, known, n=1) if isinstance(found, str) else []
    return f"Did you mean {close[0]!r}?" if close else f"{noun} are: {', '.join(known)}."


def _variants(node: Schema) -> list[str]:
    return sorted(node.get("discriminator", {}).get("mapping", {}))


def _all_places(root: Schema, node: Schema, prefix: str = "") -> Iterator[str]:
    """Every key path that a schema knows; the items of a list share its path."""
    for name, child in node.get("properties", {}).items():
        yield f"{prefix}{name}"
        for branch in (*_branches(child), *child.get("oneOf", ()), child.get("items", {})):
            yield from _all_places(root, _resolved(root, branch), f"{prefix}{name}.")


def _branches(node: Schema) -> list[Schema]:
    """What a field may be: itself, or, where it may also be absent, each of its forms."""
    return list(node.get("anyOf", [node]))


def _resolved(root: Schema, node: Schema) -> Schema:
    reference = node.get("$ref")
    found: Schema = root["$defs"][reference.rpartition("/")[2]] if reference else node
    return found
