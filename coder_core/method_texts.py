"""Which kinds of text each zero-shot method reads. Needs no torch: what is to be written is planned before any tensor.

`methods` builds the classifiers of the same names.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from coder_core.errors import ConfigError
from coder_core.input_contract import InputContract
from coder_core.loops import each
from coder_core.near_names import suggest_name
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, NAMING_KINDS, TextKind

if TYPE_CHECKING:
    from coder_core.texts.sentences import TextTable

__all__ = [
    "METHOD_KINDS",
    "class_ids_without_texts",
    "contract_of_method",
    "kinds_of_method",
    "kinds_of_methods",
    "reads_texts",
    "with_pictured",
]

FROM_IMAGES = "texts_from_images"
"""How a contract names texts that were written from labelled images, beside their kinds."""

CODER_KINDS = (*NAMING_KINDS, *DESCRIPTIVE_KINDS)

METHOD_KINDS: Mapping[str, tuple[TextKind, ...]] = {
    "clip": (TextKind.CLASS_NAME,),
    "clip_ensemble": (TextKind.TEMPLATE,),
    "vcd": (TextKind.CLASS_NAME, TextKind.ATTRIBUTE),
    "coder": CODER_KINDS,
    "coder_top_m": CODER_KINDS,
    "coder_softmax": CODER_KINDS,
    "coder_euclidean": CODER_KINDS,
    "coder_mahalanobis": CODER_KINDS,
    "coder_shrunk": CODER_KINDS,
    "coder_second_round": CODER_KINDS,
    "coder_selected": CODER_KINDS,
}
"""The kinds of text that a method's score reads."""


def kinds_of_method(name: str) -> tuple[TextKind, ...]:
    """Look up the kinds of text that a method needs.

    Raises:
        ConfigError: There is no such method; names the nearest one and all there are.
    """
    if name in METHOD_KINDS:
        return METHOD_KINDS[name]
    hint = suggest_name(name, METHOD_KINDS)
    raise ConfigError(f"unknown method {name!r}.", "methods", f"{hint}There are: {', '.join(METHOD_KINDS)}.")


def contract_of_method(name: str) -> InputContract:
    """What a zero-shot method reads: texts, and no image but the one that it is asked about.

    Raises:
        ConfigError: There is no such method.
    """
    return InputContract(reads_texts=tuple(str(kind) for kind in kinds_of_method(name)))


def with_pictured(
    contract: InputContract, kinds: Iterable[TextKind], pictured_kinds: Iterable[TextKind]
) -> InputContract:
    """The contract of a method some of whose texts may have been written from labelled images: then it has read labels.

    Args:
        contract: What it reads itself.
        kinds: Kinds of text that it reads of the bank.
        pictured_kinds: Kinds of which the bank has texts that were written from labelled images.
    """
    if not set(kinds) & set(pictured_kinds):
        return contract
    return contract.also(labels="support", texts=(FROM_IMAGES,))


def reads_texts(name: str) -> bool:
    """Whether a method reads more about a class than its name, and is CLIP where there is no more."""
    return bool(_own_kinds(name))


def class_ids_without_texts(name: str, texts: "TextTable") -> tuple[int, ...]:
    """The classes of which a method has nothing to read but their names, ascending.

    Args:
        name: A method that `reads_texts`.
        texts: What it reads, other methods' kinds among them.
    """
    kinds = _own_kinds(name)
    described = {row.class_id for row in each(texts, every=4096) if row.kind in kinds}
    return tuple(class_id for class_id in range(texts.class_count) if class_id not in described)


def _own_kinds(name: str) -> frozenset[TextKind]:
    return frozenset(METHOD_KINDS.get(name, ())) - {TextKind.CLASS_NAME, TextKind.TEMPLATE}


def kinds_of_methods(names: Iterable[str]) -> tuple[TextKind, ...]:
    """Collect the kinds of text that several methods need, in the order of `TextKind`."""
    needed = frozenset(kind for name in names for kind in kinds_of_method(name))
    return tuple(kind for kind in TextKind if kind in needed)
