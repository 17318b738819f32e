"""Domains: the sentences that phrases are dressed in. The sentences are data (`domains.yaml`), not code.

A user's own domains merge over the shipped ones; every template is checked for exactly its placeholders when it is
loaded, and filled in one pass, so that a brace in a class name is text and never a placeholder.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any

import yaml

from coder_core.errors import ConfigError

__all__ = ["DEFAULT_DOMAIN", "Domain", "fill", "find_domain", "load_domains"]

DEFAULT_DOMAIN = "general"

PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")

PLACEHOLDERS_OF: Mapping[str, frozenset[str]] = {
    "class_name": frozenset({"class"}),
    "attribute": frozenset({"class", "attribute"}),
    "analogous_class": frozenset({"class", "analogue"}),
    "one_to_one": frozenset({"class", "rival", "phrase"}),
    "ensemble": frozenset({"class"}),
}
SEVERAL = frozenset({"one_to_one", "ensemble"})
"""Keys that hold a list of templates; the others hold one."""


@dataclass(frozen=True)
class Domain:
    """The sentence templates of one domain.

    Args:
        name: `"general"`, `"flag"`, ...
        class_name: With `{class}`; serves synonyms too.
        attribute: With `{class}` and `{attribute}`.
        analogous_class: With `{class}` and `{analogue}`.
        one_to_one: Each with `{class}`, `{rival}` and `{phrase}`.
        ensemble: Prompts of CLIP's template ensemble, each with `{class}`.
    """

    name: str
    class_name: str
    attribute: str
    analogous_class: str
    one_to_one: tuple[str, ...]
    ensemble: tuple[str, ...]


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put values in the place of a template's placeholders, in one pass: values are never read as templates."""
    return PLACEHOLDER.sub(lambda match: values[match[1]], template)


def load_domains(extra: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Domain]:
    """Load the shipped domains and merge a user's own over them.

    Args:
        extra: Domain name -> template key -> template (a list for `one_to_one` and `ensemble`). A known domain takes
            over the keys given, a new one takes from `general` what it does not say.

    Returns:
        Domains by name, sorted.

    Raises:
        ConfigError: An unknown key, a wrong type, an empty list, or a template without exactly its placeholders.
    """
    shipped = _shipped()
    given = {name: _checked(name, templates) for name, templates in (extra or {}).items()}
    general = {**shipped[DEFAULT_DOMAIN], **given.get(DEFAULT_DOMAIN, {})}
    return {
        name: Domain(name=name, **{**general, **shipped.get(name, {}), **given.get(name, {})})
        for name in sorted({*shipped, *given})
    }


def find_domain(name: str, domains: Mapping[str, Domain]) -> Domain:
    """Look a domain up by name.

    Raises:
        ConfigError: There is no such domain; names the nearest one and all there are.
    """
    if name in domains:
        return domains[name]
    close = difflib.get_close_matches(name, list(domains), n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    raise ConfigError(f"unknown domain {name!r}.", "domain", f"{hint}There are: {', '.join(domains)}.")


@cache
def _shipped() -> dict[str, dict[str, Any]]:
    text = resources.files("coder_core.texts").joinpath("domains.yaml").read_text(encoding="utf-8")
    return {name: _checked(name, templates) for name, templates in yaml.safe_load(text).items()}


def _checked(name: str, templates: Any) -> dict[str, Any]:
    """Check one domain's templates; lists become tuples."""
    if not isinstance(templates, Mapping):
        raise ConfigError(f"expected templates by key, found {templates!r}.", f"domains.{name}", "See domains.yaml.")
    return {str(key): _checked_value(f"domains.{name}.{key}", str(key), value) for key, value in templates.items()}


def _checked_value(place: str, key: str, value: object) -> str | tuple[str, ...]:
    if key not in PLACEHOLDERS_OF:
        known = [field.name for field in fields(Domain) if field.name != "name"]
        raise ConfigError(f"unknown key {key!r}.", place, f"Keys are: {', '.join(known)}.")
    if key not in SEVERAL:
        return _checked_template(place, key, value)
    if not isinstance(value, list | tuple) or not value:
        raise ConfigError(f"expected a list of templates, found {value!r}.", place, "Give at least one.")
    return tuple(_checked_template(f"{place}[{position}]", key, template) for position, template in enumerate(value))


def _checked_template(place: str, key: str, template: object) -> str:
    if not isinstance(template, str):
        raise ConfigError(f"expected a sentence, found {template!r}.", place, "Put it in quotes.")
    expected = PLACEHOLDERS_OF[key]
    listed = " and ".join(f"{{{name}}}" for name in sorted(expected))
    found = PLACEHOLDER.findall(template)
    if set(found) != expected or set(PLACEHOLDER.sub("", template)) & {"{", "}"}:
        raise ConfigError(f"the template {template!r} must hold exactly {listed}.", place, "Correct the braces.")
    return template
