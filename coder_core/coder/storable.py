"""A classifier as numbers: plain settings and tensors, from which it is put together again bit for bit.

A classifier is a frozen dataclass, and the annotations of its fields are the schema of its state: tensors with their
type and shape, plain values, and parts that are storable themselves. So nothing is pickled, no state can name code, and
a class says what it holds once. Tensors are brought into a repeatable form (see `vectors.repeatable`) when a classifier
is made, however it is made: else the same numbers at another address would give other last bits.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, fields
from types import NoneType
from typing import Any, ClassVar, NamedTuple, NoReturn, TypeVar, get_args

import torch
from jaxtyping import AbstractArray, jaxtyped
from torch import Tensor

from coder_core.coder.vectors import repeatable
from coder_core.errors import ClassifierStateError
from coder_core.fingerprint import Json

__all__ = ["ClassifierState", "Storable"]


Made = TypeVar("Made", bound="Storable")  # beartype cannot check `Self`


class ClassifierState(NamedTuple):
    """A classifier taken apart.

    Args:
        kind: Its registered name, see `classifiers.CLASSIFIERS`.
        settings: Plain JSON, by field. A part stands as `{"kind": ..., "settings": ...}`; a field that is None as null.
        tensors: On the CPU, in their types, by field; those of a part with its field's name and a dot before theirs.
    """

    kind: str
    settings: dict[str, Json]
    tensors: dict[str, Tensor]

    def part(self, name: str) -> "ClassifierState":
        """Take out the state of one part.

        Raises:
            ClassifierStateError: There is no such part.
        """
        found, prefix = self.settings.get(name), f"{name}."
        if not isinstance(found, dict) or found.keys() != {"kind", "settings"}:
            _refuse(self.kind, f"its part {name!r} is {found!r}")
        kind, settings = found["kind"], found["settings"]
        if not isinstance(kind, str) or not isinstance(settings, dict):
            _refuse(self.kind, f"its part {name!r} has the kind {kind!r} and the settings {settings!r}")
        own = {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}
        return ClassifierState(kind, settings, own)


@dataclass(frozen=True, eq=False)
class Storable:
    """A frozen dataclass that can be taken apart into a `ClassifierState` and put together again.

    Fields are tensors (annotated by jaxtyping), `float`, `int`, `bool`, `str`, `tuple[int, ...]`, or storable
    themselves; each may be optional.
    """

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        for name, value in _values(self).items():
            if isinstance(value, Tensor):
                object.__setattr__(self, name, repeatable(value))

    def state(self) -> ClassifierState:
        """Take it apart; tensors that are on the CPU already are not copied."""
        settings: dict[str, Json] = {}
        tensors: dict[str, Tensor] = {}
        for name, value in _values(self).items():
            if isinstance(value, Tensor):
                tensors[name] = value.detach().cpu()
            elif value is None or isinstance(value, bool | int | float | str):
                settings[name] = value
            elif isinstance(value, tuple):
                settings[name] = list(value)
            else:
                part = value.state()
                settings[name] = {"kind": part.kind, "settings": part.settings}
                tensors |= {f"{name}.{key}": tensor for key, tensor in part.tensors.items()}
        return ClassifierState(self.kind, settings, tensors)

    @classmethod
    def from_state(cls: type[Made], state: ClassifierState) -> Made:
        """Put it together again, on the device of the state's tensors.

        Raises:
            ClassifierStateError: It is of another kind, something is missing or left over, a tensor has another type or
                shape or holds a number that is not finite, or the pieces do not fit each other.
        """
        if state.kind != cls.kind:
            _refuse(state.kind, f"a {cls.kind!r} was expected")
        _refuse_leftovers(cls, state)
        values = {field.name: _read(cls, field, state) for field in fields(cls)}
        with jaxtyped("context"):  # a dimension's size holds within one scope: asked here and not in a function
            unfit = [name for name, wanted in _tensor_types(cls).items() if not isinstance(values[name], wanted)]
        if unfit:
            _refuse_unfit(state, unfit[0], _tensor_types(cls)[unfit[0]])
        made = cls(**values)
        problem = made.find_problem()
        if problem is not None:
            _refuse(state.kind, problem)
        return made

    @classmethod
    def restore_part(cls, wanted: type[Any], state: ClassifierState) -> Any:
        """Put a part together: its field says of which class it is."""
        return wanted.from_state(state)

    def find_problem(self) -> str | None:
        """Say in what its pieces contradict each other, beyond types and shapes; None where they do not."""
        return None


def _values(storable: Storable) -> dict[str, Any]:
    return {field.name: getattr(storable, field.name) for field in fields(storable)}


def _read(cls: type[Storable], field: Field[Any], state: ClassifierState) -> Any:
    """Read one field, as its annotation says."""
    wanted, is_optional = _unwrap(field.type)
    is_null = state.settings.get(field.name, ...) is None
    if is_null and not is_optional:
        _refuse(state.kind, f"{field.name!r} is null")
    if is_null:
        return None
    if _is_tensor(wanted):
        return _read_tensor(state, field.name)
    if wanted not in _PLAIN:
        return cls.restore_part(wanted, state.part(field.name))
    value = _PLAIN[wanted](state.settings.get(field.name, ...))
    if value is None:
        expected = getattr(wanted, "__name__", wanted)
        _refuse(state.kind, f"{field.name!r} is {state.settings.get(field.name, 'missing')!r}, expected {expected}")
    return value


def _read_tensor(state: ClassifierState, name: str) -> Tensor:
    tensor = state.tensors.get(name)
    if not isinstance(tensor, Tensor):
        _refuse(state.kind, f"its tensor {name!r} is missing")
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        _refuse(state.kind, f"its tensor {name!r} holds numbers that are not finite")
    return tensor


def _tensor_types(cls: type[Storable]) -> dict[str, Any]:
    """The annotations of all fields that are tensors, or may be."""
    return {field.name: field.type for field in fields(cls) if _is_tensor(_unwrap(field.type)[0])}


def _refuse_unfit(state: ClassifierState, name: str, wanted: Any) -> NoReturn:
    tensor, expected = state.tensors[name], _unwrap(wanted)[0].__name__
    found = f"{tensor.dtype} of shape {tuple(tensor.shape)}"
    _refuse(state.kind, f"its tensor {name!r} is {found}, expected {expected} beside the others")


def _refuse_leftovers(cls: type[Storable], state: ClassifierState) -> None:
    wanted = {field.name: _unwrap(field.type)[0] for field in fields(cls)}
    own = {name for name, type_ in wanted.items() if _is_tensor(type_)}
    parts = tuple(f"{name}." for name, type_ in wanted.items() if name not in own and type_ not in _PLAIN)
    extra = [key for key in state.tensors if key not in own and not (parts and key.startswith(parts))]
    extra += [key for key, value in state.settings.items() if key not in wanted or (key in own and value is not None)]
    extra += [key for key in own if key in state.tensors and key in state.settings]
    if extra:
        _refuse(state.kind, f"it holds {', '.join(map(repr, sorted(set(extra))))}, which it should not")


def _unwrap(annotation: Any) -> tuple[Any, bool]:
    """Tell `X | None` from `X`."""
    choices = get_args(annotation)
    if NoneType not in choices:
        return annotation, False
    (wanted,) = (choice for choice in choices if choice is not NoneType)
    return wanted, True


def _is_tensor(wanted: Any) -> bool:
    return isinstance(wanted, type) and issubclass(wanted, AbstractArray)


def _read_float(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None  # type: ignore[arg-type]


def _read_int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _read_ints(value: object) -> tuple[int, ...] | None:
    found = [_read_int(item) for item in value] if isinstance(value, list) else [None]
    return None if None in found else tuple(item for item in found if item is not None)


_PLAIN: Mapping[Any, Callable[[object], object]] = {
    float: _read_float,
    int: _read_int,
    bool: lambda value: value if isinstance(value, bool) else None,
    str: lambda value: value if isinstance(value, str) else None,
    tuple[int, ...]: _read_ints,
}


def _refuse(kind: str, problem: str) -> NoReturn:
    raise ClassifierStateError(
        f"{problem}.", f"state of a classifier part of kind {kind!r}", "Restore it from another copy, or build it anew."
    )
