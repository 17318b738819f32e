"""What a flag is made of: an ordered stack of layers, each one shape in named colours.

Coordinates are those of the cloth: `u` runs from the hoist (0) to the fly (1), `v` from the top (0) to the bottom (1).
The table of real designs (`designs.yaml`) and the random patterns that train the micro-CLIP share this one language.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml

from coder_core import packaged

DESIGNS_FILE = "demo/designs.yaml"

COLOUR_WORDS: Mapping[str, tuple[int, int, int]] = {
    "white": (246, 246, 246),
    "black": (14, 14, 16),
    "red": (206, 17, 38),
    "orange": (250, 130, 20),
    "yellow": (252, 209, 22),
    "green": (0, 128, 60),
    "light blue": (90, 170, 225),
    "blue": (0, 50, 150),
    "maroon": (130, 15, 45),
}


@dataclass(frozen=True)
class Layer:
    """One shape painted over those before it.

    Attributes:
        shape: A key of `shapes.PAINTERS`.
        colours: Colour words; more than one for stripes only.
        places: Centres `(u, v)` of a charge, one per copy; empty for shapes that span the cloth.
        size: Radius, half width, depth or width of the shape, as a share of the cloth's height (charges) or width.
        weights: Relative widths of stripes; empty means equal.
    """

    shape: str
    colours: tuple[str, ...]
    places: tuple[tuple[float, float], ...] = ()
    size: float = 0.0
    weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class Pattern:
    """A flag-like design: layers from the back to the front, and the exact colour of each colour word in it."""

    layers: tuple[Layer, ...]
    palette: Mapping[str, tuple[int, int, int]] = field(default_factory=lambda: COLOUR_WORDS, compare=False)

    def colours(self) -> tuple[str, ...]:
        """Colour words in order of first appearance."""
        return tuple(dict.fromkeys(word for layer in self.layers for word in layer.colours))


def flag_designs() -> Mapping[str, Pattern]:
    """Real national flags by country name, in the order of the table."""
    return _parse_designs(packaged.read_packaged(DESIGNS_FILE))


@lru_cache(maxsize=2)
def _parse_designs(content: bytes) -> Mapping[str, Pattern]:
    return {row["name"]: _pattern(row) for row in yaml.safe_load(content)["flags"]}


def _pattern(row: Mapping[str, Any]) -> Pattern:
    palette = {word: _rgb(code) for word, code in row["palette"].items()}
    return Pattern(tuple(_layer(layer) for layer in row["layers"]), palette)


def _layer(row: Mapping[str, Any]) -> Layer:
    return Layer(
        shape=row["shape"],
        colours=tuple(row["colours"]),
        places=tuple((float(u), float(v)) for u, v in row.get("places", ())),
        size=float(row.get("size", 0.0)),
        weights=tuple(float(weight) for weight in row.get("weights", ())),
    )


def _rgb(code: str) -> tuple[int, int, int]:
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)
