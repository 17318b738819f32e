"""YAML that a user gave in which every scalar is the text that stands there.

YAML 1.1 reads `no` as false, `007` as 7, `1e3` as a number, `12:30` as 750 and `2024-01-01` as a date. Where texts are
meant, none of that is. The document is walked node by node, within bounds: libyaml recurses without a guard, and an
alias may repeat a list a thousand times a thousand times.
"""

from typing import Any

import yaml

from coder_core.errors import InputError
from coder_core.limits import limit, nesting_limit

MAX_YAML_BYTES = limit("CODER_MAX_YAML_BYTES", 64 * 2**20)
MAX_DEPTH = nesting_limit()
MAX_NODES = limit("CODER_MAX_YAML_VALUES", 1_000_000)

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml_text(text: str, place: str, error_class: type[InputError] = InputError) -> Any:
    """Read one YAML document.

    Returns:
        Lists, mappings with texts as keys, and texts; None for an empty document.

    Raises:
        InputError: As `error_class`: no YAML, several documents, a key twice, nested too deep, too large.
    """
    try:
        if len(text) > MAX_YAML_BYTES:
            raise ValueError(f"{len(text)} characters are more than {MAX_YAML_BYTES}")
        _refuse_depth(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
        return None if node is None else _NodeReader().read(node, 0)
    except (yaml.YAMLError, ValueError) as error:
        raise error_class(f"this is not YAML ({' '.join(str(error).split())}).", place, "Correct it there.") from error


def _refuse_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


class _NodeReader:
    def __init__(self) -> None:
        self._count = 0

    def read(self, node: yaml.Node, depth: int) -> Any:
        self._count += 1
        if self._count > MAX_NODES or depth > MAX_DEPTH:
            raise ValueError(f"aliases repeat more than {MAX_NODES} values, or lead into themselves")
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, depth + 1) for item in node.value]
        if isinstance(node, yaml.MappingNode):
            return self._read_mapping(node, depth)
        return str(node.value)

    def _read_mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ValueError(f"a key is no text, line {key.start_mark.line + 1}")
            if key.value in found:
                raise ValueError(f"the key {key.value!r:.80} is there twice, line {key.start_mark.line + 1}")
            found[key.value] = self.read(value, depth + 1)
        return found
