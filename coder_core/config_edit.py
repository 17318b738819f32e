"""Writing `class_names` into a config that a person keeps: every other line, comments included, stays as it is."""

from collections.abc import Mapping

import yaml

from coder_core.errors import ConfigError
from coder_core.texts.bank_file import dump_yaml

KEY = "class_names"


def write_class_names(config: str, class_names: Mapping[str, str], *, place: str) -> str:
    """Put a mapping of class names into the text of a config, in the place of the one that may be there.

    Args:
        config: The text, block-style YAML that is a valid config.
        class_names: The whole mapping.
        place: The file, for messages.

    Returns:
        The new text; all lines outside of `class_names` are those of the old one.

    Raises:
        ConfigError: The top level is written in braces (JSON, or YAML's flow style).
    """
    root = yaml.compose(config, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        remedy = f"Write it as lines of `key: value`, or put this in yourself: {KEY}: {dict(class_names)!r:.500}"
        raise ConfigError("a config in braces cannot be edited line by line.", place, remedy)
    block = dump_yaml({KEY: dict(class_names)}, place)
    lines = config.splitlines(keepends=True)
    for number, (key, _) in enumerate(root.value):
        if key.value == KEY:
            following = [other for other, _ in root.value[number + 1 :]]
            end = following[0].start_mark.line if following else len(lines)
            old = lines[key.start_mark.line + 1 : end]
            return "".join([*lines[: key.start_mark.line], block, *_kept(old), *lines[end:]])
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    end = next((row for row, line in enumerate(lines) if row and line.rstrip() in ("...", "---")), len(lines))
    return "".join([*lines[:end], block, *lines[end:]])


def _kept(old: list[str]) -> list[str]:
    """Comments and blank lines at the end of the old mapping: they speak of what follows."""
    start = len(old)
    while start and (not old[start - 1].strip() or old[start - 1].startswith("#")):
        start -= 1
    return old[start:]
