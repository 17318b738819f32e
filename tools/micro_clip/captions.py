"""What a describer would say of a pattern: short visual features, in the words of LLM-written flag attributes.

The micro-CLIP is trained on these phrases (with `rng`, which picks among paraphrases). They name colours, shapes,
places and counts; they never name a country.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from coder_core.demo.patterns import Layer, Pattern

NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}
STRIPES = ("horizontal_stripes", "vertical_stripes")
_GROUNDS = ("field", "canton", "rectangle", *STRIPES)
_END_WORDS = {
    "horizontal_stripes": (("at the top", "along the top"), ("at the bottom", "along the bottom")),
    "vertical_stripes": (("on the left", "at the hoist"), ("on the right", "at the fly")),
}


class Wording:
    """Chooses among paraphrases: the first without a generator, a random one with it."""

    def __init__(self, rng: np.random.Generator | None = None) -> None:
        self.rng = rng

    def pick(self, *options: str) -> str:
        """One of the options."""
        return options[0] if self.rng is None else options[int(self.rng.integers(len(options)))]


def join_words(words: Sequence[str]) -> str:
    """`red, white and blue`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def describe(pattern: Pattern, rng: np.random.Generator | None = None) -> list[str]:
    """Every feature of a pattern that the language of the demonstration can say.

    Args:
        pattern: The design.
        rng: Picks among paraphrases; without it the wording is fixed.

    Returns:
        Phrases in the form `a red disc in the centre`, from the ground to the charges, then the whole. With a generator
        they are paraphrases, one by one, of those without it, and one more follows.
    """
    wording = Wording(rng)
    phrases: list[str] = []
    for depth, layer in enumerate(pattern.layers):
        phrases += _DESCRIBERS[layer.shape](layer, wording, pattern.layers[:depth])
    phrases += _describe_whole(pattern, wording)
    return [phrase.replace("a orange", "an orange") for phrase in phrases]


def _describe_whole(pattern: Pattern, wording: Wording) -> list[str]:
    """What is said of all layers together; the colours in another order come last, and only with a generator."""
    colours = pattern.colours()
    phrases = [f"the colours {join_words(colours)}", f"only {NUMBERS[min(len(colours), 5)]} colours"]
    if len(pattern.layers) == 1:
        phrases.append(wording.pick("plain stripes without any other shape", "nothing but stripes"))
    if wording.rng is not None:
        shuffled = list(colours)
        wording.rng.shuffle(shuffled)
        phrases.append(f"the colours {join_words(shuffled)}")
    return phrases


def _describe_stripes(layer: Layer, wording: Wording, _: Sequence[Layer]) -> list[str]:
    way = "horizontal" if layer.shape == "horizontal_stripes" else "vertical"
    count = len(layer.colours)
    if count > 5:
        return [f"many thin {join_words(layer.colours[:2])} stripes", f"many {way} stripes"]
    bands = wording.pick("stripes", "bands")
    ordered = join_words(layer.colours)
    first, last = _END_WORDS[layer.shape]
    counted = f"{NUMBERS[count]} {way} {bands}"
    phrases = [
        counted,
        wording.pick(f"{way} {bands} of {ordered}", f"{ordered} {way} {bands}", f"{counted} of {ordered}"),
        f"a {layer.colours[0]} stripe {wording.pick(*first)}",
        f"a {layer.colours[-1]} stripe {wording.pick(*last)}",
    ]
    if count % 2:
        phrases.append(f"a {layer.colours[count // 2]} stripe in the {wording.pick('middle', 'centre')}")
    return phrases + _describe_weights(layer, wording)


def _describe_weights(layer: Layer, wording: Wording) -> list[str]:
    if not layer.weights or len(set(layer.weights)) == 1:
        return [wording.pick("stripes of equal width", "equal stripes")]
    widest = layer.colours[int(np.argmax(layer.weights))]
    narrow = layer.colours[int(np.argmin(layer.weights))]
    return [f"a wide {widest} stripe", f"a narrow {narrow} stripe"]


def _describe_field(layer: Layer, wording: Wording, _: Sequence[Layer]) -> list[str]:
    return [wording.pick(f"a {layer.colours[0]} field", f"a {layer.colours[0]} background")]


def _describe_cross(layer: Layer, wording: Wording, beneath: Sequence[Layer]) -> list[str]:
    colour, off_centre = layer.colours[0], layer.places[0][0] < 0.45
    place = wording.pick("shifted to the left", "nearer to the hoist") if off_centre else "in the centre"
    phrases = [f"a {colour} cross", f"a {colour} cross {place}"]
    if beneath and beneath[-1].shape == "cross":
        return [*phrases, f"a {colour} cross edged in {beneath[-1].colours[0]}"]
    return [*phrases, *_on_ground(f"a {colour} cross", beneath, wording)]


def _describe_span(noun: str, where: str = "") -> Callable[[Layer, Wording, Sequence[Layer]], list[str]]:
    def describer(layer: Layer, wording: Wording, beneath: Sequence[Layer]) -> list[str]:
        thing = f"a {layer.colours[0]} {noun}"
        if beneath and beneath[-1].shape == layer.shape:
            return [thing, f"{thing} edged in {beneath[-1].colours[0]}"]
        return [f"{thing}{where}", *_on_ground(thing, beneath, wording)]

    return describer


def _describe_charge(noun: str) -> Callable[[Layer, Wording, Sequence[Layer]], list[str]]:
    def describer(layer: Layer, wording: Wording, beneath: Sequence[Layer]) -> list[str]:
        colour, count = layer.colours[0], len(layer.places)
        if count > 1:
            return [f"{NUMBERS[min(count, 5)]} small {colour} {noun}s"]
        thing = f"a {_size_word(layer.size, wording)}{colour} {noun}"
        phrases = [thing, f"{thing} {place_of(layer.places[0])}", *_on_ground(thing, beneath, wording)]
        if noun == "star" and any(under.shape == "crescent" for under in beneath):
            phrases.append(f"a {colour} crescent and star")
        return phrases

    return describer


def _size_word(size: float, wording: Wording) -> str:
    if size >= 0.25:
        return wording.pick("", "large ")
    return wording.pick("", "small ") if size < 0.15 else ""


def place_of(place: tuple[float, float]) -> str:
    """Words for a point of the cloth."""
    u, v = place
    if v < 0.35 and u < 0.4:
        return "in the upper left corner"
    if 0.4 <= u <= 0.6:
        return "in the centre"
    return "on the left" if u < 0.4 else "on the right"


def _on_ground(thing: str, beneath: Sequence[Layer], wording: Wording) -> list[str]:
    """What the thing lies on, where that is a plain field or a canton, or stripes as a whole."""
    ground = next((layer for layer in reversed(beneath) if layer.shape in _GROUNDS), None)
    if ground is None:
        return []
    if ground.shape in STRIPES:
        stripes = "many" if len(ground.colours) > 5 else join_words(ground.colours)
        way = "horizontal" if ground.shape == "horizontal_stripes" else "vertical"
        return [f"{thing} {wording.pick('on', 'over')} {stripes} {way} stripes"]
    word = {"field": wording.pick("field", "background")}.get(ground.shape, ground.shape)
    return [f"{thing} on a {ground.colours[0]} {word}"]


_DESCRIBERS: Mapping[str, Callable[[Layer, Wording, Sequence[Layer]], list[str]]] = {
    "field": _describe_field,
    "horizontal_stripes": _describe_stripes,
    "vertical_stripes": _describe_stripes,
    "cross": _describe_cross,
    "saltire": _describe_span("diagonal cross"),
    "rising_band": _describe_span("diagonal band", " rising to the right"),
    "falling_band": _describe_span("diagonal band", " falling to the right"),
    "short_cross": _describe_charge("short cross"),
    "disc": _describe_charge("disc"),
    "star": _describe_charge("star"),
    "crescent": _describe_charge("crescent"),
    "canton": _describe_span("canton", " in the upper left corner"),
    "hoist_triangle": _describe_span("triangle", " on the left"),
    "fly_triangle": _describe_span("triangle", " on the right"),
    "hoist_band": _describe_span("vertical band", " on the left"),
    "diamond": _describe_span("diamond", " in the centre"),
    "rectangle": _describe_span("rectangle", " in the centre"),
}
