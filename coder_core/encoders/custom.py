"""Encoders of your own: an installed package names one under the entry point `coder_eval.encoders`.

    [project.entry-points."coder_eval.encoders"]
    colours = "my_encoder:load"

The entry point is a function of the config's `encoder.settings` and a device. What it returns embeds lists of texts and
lists of images, and says what decides its vectors (`identity`: whatever JSON can hold; a hash of the weights, say). All
else, batches, threads, ledgers, is done here. An example of twenty lines is in docs/encoders.md.
"""

import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from coder_core.encoders.base import EncoderIdentity
from coder_core.errors import CheckpointError, CoderError, ConfigError
from coder_core.fingerprint import key_of
from coder_core.specs import CustomEncoder

GROUP = "coder_eval.encoders"
IDENTITY_VERSION = 1
UNIT_TOLERANCE = 1e-3
"""How far from 1 the length of a vector may be before it is scaled."""


@runtime_checkable
class OwnEncoder(Protocol):
    """What an entry point's function returns."""

    dim: int
    """Length of every vector."""

    identity: Any
    """What decides the vectors, beside the settings: JSON. Another value is another encoder: nothing old is reused."""

    def embed_texts(self, texts: Sequence[str]) -> Any:
        """Embed some texts: `(texts, dim)` numbers, as an array, a tensor or lists."""
        ...

    def embed_images(self, images: Sequence[Image.Image]) -> Any:
        """Embed some RGB images: `(images, dim)` numbers. Called by one thread at a time."""
        ...


class OneOfYours:
    """An encoder of the user, as the embedding service sees it."""

    context_length = sys.maxsize
    draft_side = None
    in_flight = 1

    def __init__(self, own: OwnEncoder, name: str) -> None:
        self._own, self._name = own, name
        self._alone = threading.Lock()

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """As it counts them; 0 where it has no `count_tokens`."""
        count = getattr(self._own, "count_tokens", None)
        return [0] * len(texts) if count is None else [int(number) for number in count(texts)]

    def tokenize(self, texts: Sequence[str]) -> list[str]:
        """Texts stay texts."""
        return list(texts)

    def text_lengths(self, tokens: Sequence[str]) -> Int[np.ndarray, " texts"]:
        """Letters: long texts cost more, as a rule."""
        return np.array([len(text) for text in tokens], dtype=np.int64)

    def encode_texts(self, tokens: Sequence[str], rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows dim"]:
        """Embed some texts."""
        with self._alone:
            found = self._ask(self._own.embed_texts, [tokens[row] for row in rows.tolist()])
        return self._checked(found, len(rows), "texts")

    def prepare_image(self, image: Image.Image) -> Any:
        """As it prepares an image in a thread, where it can (`prepare_image`); else the image itself."""
        prepare = getattr(self._own, "prepare_image", None)
        return image if prepare is None else self._ask(prepare, image)

    def encode_images(self, prepared: Sequence[Any]) -> Float[np.ndarray, "images dim"]:
        """Embed some images."""
        with self._alone:
            found = self._ask(self._own.embed_images, list(prepared))
        return self._checked(found, len(prepared), "images")

    def _ask(self, function: Callable[[Any], Any], given: Any) -> Any:
        """Let the user's code work; what fails in it is told with its line, and not tried again.

        What may pass (a network, a disk) goes on as it is and is tried again; so does a lack of memory: the pass is
        halved.
        """
        try:
            return function(given)
        except (CoderError, OSError):
            raise
        except Exception as error:  # somebody else's code
            if _is_out_of_memory(error):
                raise
            reason = " ".join(str(error).split())[:200]
            frame = traceback.extract_tb(error.__traceback__)[-1]
            kind, place = type(error).__name__, f"{frame.filename}, line {frame.lineno}"
            problem = f"its {function.__name__} has failed ({kind}{f': {reason}' if reason else ''}; {place})."
            raise CheckpointError(problem, f"encoder {self._name}", "Mend it.") from error

    def _checked(self, rows: Any, count: int, what: str) -> Float[np.ndarray, "rows dim"]:
        found = rows.detach().cpu().numpy() if hasattr(rows, "detach") else np.asarray(rows)
        if found.shape != (count, self._own.dim) or found.dtype.kind not in "fiu":
            raise CheckpointError(
                f"its vectors of {count} {what} have shape {found.shape} of {found.dtype}, not ({count}, "
                f"{self._own.dim}) numbers.",
                f"encoder {self._name}",
                "Return one row per input.",
            )
        vectors = found.astype(np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or (lengths == 0).any():
            problem = f"one of its vectors of {count} {what} is zero or not finite."
            raise CheckpointError(problem, f"encoder {self._name}", "Give every input a direction.")
        return np.where(np.abs(lengths - 1) < UNIT_TOLERANCE, vectors, vectors / lengths)


def _is_out_of_memory(error: Exception) -> bool:
    """As `device.is_out_of_memory`, without importing torch for an encoder that needs none."""
    if "torch" not in sys.modules:
        return isinstance(error, MemoryError)
    from coder_core.encoders.device import is_out_of_memory

    return is_out_of_memory(error)


class CustomFamily:
    """Encoders that installed packages bring."""

    needs_device = True
    embeds_images = True

    def identify(self, spec: CustomEncoder) -> EncoderIdentity:
        """By name, settings and what the encoder says of itself; it is loaded on the CPU to be asked."""
        own = _load(spec, "cpu")
        payload = {"kind": spec.kind, "version": IDENTITY_VERSION, "name": spec.name, "settings": spec.settings}
        try:
            key = key_of({**payload, "identity": own.identity})
        except TypeError as error:
            problem = f"its identity is nothing that JSON could hold ({error})."
            raise CheckpointError(problem, f"encoder {spec.name}", "Use numbers, texts, lists and mappings.") from error
        scale, bias = (getattr(own, name, None) for name in ("logit_scale", "logit_bias"))
        return EncoderIdentity(key, int(own.dim), spec.name, scale, bias)

    def load(self, spec: CustomEncoder, *, device: str) -> OneOfYours:
        """Let the package load it."""
        return OneOfYours(_load(spec, device), spec.name)


def _load(spec: CustomEncoder, device: str) -> OwnEncoder:
    found = _entry_point(spec.name)
    try:
        own = found.load()(spec.settings, device)
    except CoderError:
        raise
    except Exception as error:  # somebody else's code
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        problem = f"it cannot be loaded ({type(error).__name__}: {reason})."
        raise CheckpointError(problem, f"encoder {spec.name} ({found.value})", "Mend it.") from error
    if not isinstance(own, OwnEncoder):
        problem = f"a {type(own).__name__} has not all of dim, identity, embed_texts and embed_images."
        raise CheckpointError(problem, f"encoder {spec.name} ({found.value})", "See docs/encoders.md.")
    return own


def _entry_point(name: str) -> EntryPoint:
    known = {point.name: point for point in entry_points(group=GROUP)}
    if name not in known:
        raise ConfigError(
            f"no installed package brings an encoder {name!r}.",
            "encoder.name",
            f"There are: {', '.join(sorted(known)) or 'none'}. A package names it under the entry point {GROUP}.",
        )
    return known[name]


FAMILY = CustomFamily()
