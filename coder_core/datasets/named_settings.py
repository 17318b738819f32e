"""A name becomes what a config says about it: the data set, whose sentences fit, and images to learn from."""

from collections.abc import Mapping
from typing import Any, cast

from coder_core.datasets.catalogue import CATALOGUE
from coder_core.datasets.named_source import learning_part
from coder_core.specs import PublishedName

__all__ = ["named_settings"]


def named_settings(name: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of an evaluation of a published data set, as a config has them.

    Args:
        name: One of the known names.
        more: Settings of the data set, such as `root`.
    """
    entry = CATALOGUE[cast(PublishedName, name)]
    dataset = {"kind": "named", "name": name, **more}
    found: dict[str, Any] = {"dataset": dataset}
    if entry.domain != "general":
        found["texts"] = {"domain": entry.domain}
    part = learning_part(entry)
    return {**found, "few_shot": {"pool": {**dataset, "split": part}}} if part else found
