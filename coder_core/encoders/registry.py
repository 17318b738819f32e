"""Encoder families by their `kind`, loaded when one is asked for; each encoder once per process and device."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module

from coder_core.encoders.base import Encoder, EncoderFamily, IdentifiedEncoder
from coder_core.errors import ConfigError
from coder_core.specs import EncoderSpec

FAMILIES: Mapping[str, str] = {
    "open_clip": "coder_core.encoders.open_clip_family:FAMILY",
    "transformers": "coder_core.encoders.transformers_family:FAMILY",
    "sentence_transformers": "coder_core.encoders.sentence_transformers_family:FAMILY",
    "custom": "coder_core.encoders.custom:FAMILY",
    "precomputed": "coder_core.encoders.precomputed:FAMILY",
}
"""`encoder.kind` -> module and attribute of its family."""

LOADED = 2
"""Encoders that a process holds at a time on each device."""

_LOADING = threading.Lock()
_LOADED: dict[str, dict[str, Encoder]] = {}
"""By device and key (new weights at the same path are another encoder); what was asked for last stands last."""


def find_family(kind: str) -> EncoderFamily:
    """The family of a kind.

    Raises:
        ConfigError: There is none.
    """
    if kind not in FAMILIES:
        raise ConfigError(f"there is no encoder family {kind!r}.", "encoder.kind", f"There are: {', '.join(FAMILIES)}.")
    module, _, attribute = FAMILIES[kind].partition(":")
    family: EncoderFamily = getattr(import_module(module), attribute)
    return family


def identify_encoder(spec: EncoderSpec) -> IdentifiedEncoder:
    """Say what decides the encoder's vectors, without loading a model.

    Raises:
        CheckpointError: The weights cannot be found.
        FeatureFileError: A file of features cannot be used.
    """
    return IdentifiedEncoder(**find_family(spec.kind).identify(spec)._asdict(), spec=spec)


def check_encoder(spec: EncoderSpec) -> str:
    """Look whether an encoder could be loaded, as far as that can be told in seconds; says what it is, for people.

    A family may answer with a method `check(spec)` of its own, which fetches and hashes nothing; one that has none is
    identified.

    Raises:
        CheckpointError: The weights cannot be found, or are of another architecture.
        FeatureFileError: A file of features cannot be used.
    """
    check: Callable[[EncoderSpec], str] | None = getattr(find_family(spec.kind), "check", None)
    if check is not None:
        return check(spec)
    found = identify_encoder(spec)
    return f"{found.label}, {found.dim} dimensions"


def load_encoder(encoder: IdentifiedEncoder, *, device: str) -> Encoder:
    """Load an encoder on one device (the first, where several are meant); who asks at the same time shares the model.

    Raises:
        CheckpointError: The model cannot be loaded.
        DeviceError: There is no such device, or it has too little memory.
    """
    return load_on_devices(encoder, device=device)[0]


def load_on_devices(encoder: IdentifiedEncoder, *, device: str) -> tuple[Encoder, ...]:
    """Load an encoder on every device that a setting stands for: one model each.

    Raises:
        CheckpointError: The model cannot be loaded.
        DeviceError: There is no such device, or it has too little memory.
    """
    family = find_family(encoder.spec.kind)
    with _LOADING:
        return tuple(_load(family, encoder, place) for place in _devices(family, device))


def _devices(family: EncoderFamily, device: str) -> tuple[str, ...]:
    if not family.needs_device:
        return ("cpu",)
    from coder_core.encoders.device import list_devices

    return list_devices(device)


def _load(family: EncoderFamily, encoder: IdentifiedEncoder, device: str) -> Encoder:
    held = _LOADED.setdefault(device, {})
    found = held.pop(encoder.key, None)
    if found is None:
        while len(held) >= LOADED:
            held.pop(next(iter(held)))
        found = family.load(encoder.spec, device=device)
    held[encoder.key] = found
    return found


def load_library() -> None:
    """Import the library that most models need, ahead of time: it takes seconds."""
    with suppress(ImportError):  # which is told where a model is needed
        import open_clip  # noqa: F401
