"""Encoder families by their `kind`, loaded when one is asked for; each encoder once per process."""

import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module

from coder_core.encoders.base import Encoder, EncoderFamily, IdentifiedEncoder
from coder_core.errors import ConfigError
from coder_core.specs import EncoderSpec

FAMILIES: Mapping[str, str] = {
    "open_clip": "coder_core.encoders.open_clip_family:FAMILY",
    "precomputed": "coder_core.encoders.precomputed:FAMILY",
}
"""`encoder.kind` -> module and attribute of its family."""

_LOADING = threading.Lock()


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
    identity = find_family(spec.kind).identify(spec)
    return IdentifiedEncoder(key=identity.key, dim=identity.dim, label=identity.label, spec=spec)


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
    """Load an encoder; tasks that ask at the same time share one model."""
    with _LOADING:
        return _load(encoder, device)


@lru_cache(maxsize=2)
def _load(encoder: IdentifiedEncoder, device: str) -> Encoder:  # new weights at the same path are another encoder
    return find_family(encoder.spec.kind).load(encoder.spec, device=device)
