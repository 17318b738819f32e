"""Domains: the sentences that phrases are dressed in. The sentences are data (`domains.yaml`), not code.

A user's own domains merge over the shipped ones; every template is checked for its placeholders when it is loaded, and
filled in one pass, so that a brace in a class name is text and never a placeholder.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from coder_core import packaged
from coder_core.errors import ConfigError
from coder_core.near_names import suggest_name
from coder_core.texts.markup import read_markup

__all__ = ["DEFAULT_DOMAIN", "Domain", "fill", "find_domain", "load_domains"]

DEFAULT_DOMAIN = "general"
DOMAINS_FILE = "texts/domains.yaml"

PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")

PLACEHOLDERS_OF: Mapping[str, frozenset[str]] = {
    "class_name": frozenset({"class"}),
    "attribute": frozenset({"class", "attribute"}),
    "analogous_class": frozenset({"class", "analogue"}),
    "one_to_one": frozenset({"class", "rival", "phrase"}),
    "ensemble": frozenset({"class"}),
}
MAY_LACK: Mapping[str, frozenset[str]] = {
    "attribute": frozenset({"class"}),
    "analogous_class": frozenset({"class"}),
    "one_to_one": frozenset({"class", "rival"}),
}
"""Placeholders that a template may lack, because phrases can be whole sentences that name the class themselves."""
SEVERAL = frozenset({"one_to_one", "ensemble"})
"""Keys that hold a list of templates; the others hold one."""


@dataclass(frozen=True)
class Domain:
    """The sentence templates of one domain.

    Args:
        name: `"general"`, `"flag"`, ...
        class_name: With `{class}`; serves synonyms too.
        attribute: With `{attribute}` and, unless every phrase names the class, `{class}`.
        analogous_class: With `{analogue}` and, unless every phrase names the class, `{class}`.
        one_to_one: Each with `{phrase}` and, unless every phrase names them, `{class}` and `{rival}`.
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
        ConfigError: An unknown key, a wrong type, an empty list, or a template with other placeholders than its own.
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
    hint = suggest_name(name, domains)
    raise ConfigError(f"unknown domain {name!r:.80}.", "domain", f"{hint}There are: {', '.join(domains)}.")


def _shipped() -> dict[str, dict[str, Any]]:
    return _parse(packaged.read_packaged(DOMAINS_FILE))


@lru_cache(maxsize=2)
def _parse(content: bytes) -> dict[str, dict[str, Any]]:
    return {name: _checked(name, templates) for name, templates in read_markup(content, DOMAINS_FILE).items()}


def _checked(name: str, templates: Any) -> dict[str, Any]:
    """Check one domain's templates; lists become tuples."""
    if not isinstance(templates, Mapping):
        raise ConfigError(
            f"expected templates by key, found {templates!r:.80}.", f"domains.{name}", "See domains.yaml."
        )
    return {str(key): _checked_value(f"domains.{name}.{key}", str(key), value) for key, value in templates.items()}


def _checked_value(place: str, key: str, value: object) -> str | tuple[str, ...]:
    if key not in PLACEHOLDERS_OF:
        known = [field.name for field in fields(Domain) if field.name != "name"]
        raise ConfigError(f"unknown key {key!r:.80}.", place, f"Keys are: {', '.join(known)}.")
    if key not in SEVERAL:
        return _checked_template(place, key, value)
    if not isinstance(value, list | tuple) or not value:
        raise ConfigError(f"expected a list of templates, found {value!r:.80}.", place, "Give at least one.")
    return tuple(_checked_template(f"{place}[{position}]", key, template) for position, template in enumerate(value))


def _checked_template(place: str, key: str, template: object) -> str:
    if not isinstance(template, str):
        raise ConfigError(f"expected a sentence, found {template!r:.80}.", place, "Put it in quotes.")
    known, optional = PLACEHOLDERS_OF[key], MAY_LACK.get(key, frozenset())
    found = set(PLACEHOLDER.findall(template))
    if not known - optional <= found <= known or set(PLACEHOLDER.sub("", template)) & {"{", "}"}:
        must = " and ".join(f"{{{name}}}" for name in sorted(known - optional))
        may = f", and may hold {' and '.join(f'{{{name}}}' for name in sorted(optional))}" if optional else ""
        problem = f"the template {template!r:.80} must hold exactly {must}{may}."
        raise ConfigError(problem, place, "Correct the braces.")
    return template
