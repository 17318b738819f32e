"""One door to every encoder: identify it cheaply, load it once per process."""

import threading
from functools import lru_cache

from coder_core.encoders.base import Encoder, EncoderIdentity
from coder_core.encoders.open_clip_loading import identify_open_clip
from coder_core.encoders.precomputed import PrecomputedTexts, identify_precomputed
from coder_core.specs import OpenClipEncoder, PrecomputedEncoder

_LOADING = threading.Lock()


def identify_encoder(spec: OpenClipEncoder | PrecomputedEncoder) -> EncoderIdentity:
    """Say what decides the encoder's vectors, without loading a model."""
    if isinstance(spec, PrecomputedEncoder):
        return identify_precomputed(spec)
    return identify_open_clip(spec)


def load_encoder(
    spec: OpenClipEncoder | PrecomputedEncoder, identity: EncoderIdentity, *, device: str, batch_size: int
) -> Encoder:
    """Load an encoder; tasks that ask at the same time share one model."""
    with _LOADING:
        return _load(spec, identity, device, batch_size)


@lru_cache(maxsize=2)
def _load(
    spec: OpenClipEncoder | PrecomputedEncoder,
    identity: EncoderIdentity,  # noqa: ARG001 - new weights at the same path are another encoder
    device: str,
    batch_size: int,
) -> Encoder:
    if isinstance(spec, PrecomputedEncoder):
        return PrecomputedTexts(spec)
    from coder_core.encoders.open_clip_encoder import OpenClip

    return OpenClip(spec, device=device, batch_size=batch_size)
