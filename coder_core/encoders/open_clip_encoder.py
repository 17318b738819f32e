"""A loaded open_clip model: one forward pass per call."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional

from coder_core.encoders.compiled import Forward
from coder_core.encoders.device import choose_device
from coder_core.encoders.open_clip_model import load_open_clip
from coder_core.encoders.passes import Buffers, Passes, Pending
from coder_core.encoders.pixels import PixelNormaliser, draft_side, pixels_of
from coder_core.encoders.text_tower import (
    as_token_rows,
    can_cut,
    encode_full,
    encode_tokens,
    token_lengths,
    uncut_lengths,
)
from coder_core.specs import OpenClipEncoder
from coder_core.specs.runtime import CompileMode


class OpenClip:
    """A loaded open_clip model. Several threads may use it; one forward pass is started at a time."""

    def __init__(self, spec: OpenClipEncoder, *, device: str = "auto") -> None:
        self._passes = Passes(choose_device(device), spec.precision)
        self._clip = load_open_clip(spec)
        # Measured in float32: half precision would hide what a cut changes, or make it up.
        self._can_cut = can_cut(self._clip.model, self._clip.tokenizer, "cpu")
        self._model = self._passes.place(self._clip.model)
        self._normaliser = PixelNormaliser(self._clip.mean, self._clip.std, self._passes.device)
        self._forward_images: Forward = self._encode_images
        self.in_flight = self._passes.in_flight
        self.draft_side = draft_side(self._model.visual.image_size) if spec.jpeg_draft else None

    @property
    def context_length(self) -> int:
        """Tokens that the text tower reads; what is longer is cut."""
        return int(self._clip.tokenizer.context_length)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Length of texts in tokens, uncut, start and end tokens included."""
        return uncut_lengths(self._clip.tokenizer, texts)

    def tokenize(self, texts: Sequence[str]) -> Int[Tensor, "texts context"]:
        """Token ids, padded to the context; longer texts are cut."""
        return as_token_rows(self._clip.tokenizer, texts)

    def text_lengths(self, tokens: Int[Tensor, "texts context"]) -> Int[np.ndarray, " texts"]:
        """Positions that are no padding; all of them, where the tower needs them."""
        if not self._can_cut:
            return np.full(len(tokens), tokens.shape[1], dtype=np.int64)
        return np.asarray(token_lengths(tokens).numpy())

    def start_texts(self, tokens: Int[Tensor, "texts context"], rows: Int[np.ndarray, " rows"]) -> Pending:
        """Start a pass over some texts, cut to the longest of them where the tower allows it."""
        chosen = tokens[torch.from_numpy(rows)]
        if self._can_cut:
            chosen = chosen[:, : int(token_lengths(chosen).max())]

        def fill(buffers: Buffers) -> dict[str, Tensor]:
            return {"tokens": buffers.take("tokens", chosen.shape, chosen.dtype).copy_(chosen)}

        return self._passes.start(fill, self._encode_texts)

    def encode_texts(
        self, tokens: Int[Tensor, "texts context"], rows: Int[np.ndarray, " rows"]
    ) -> Float[np.ndarray, "rows dim"]:
        """Embed some texts in one pass."""
        return self.start_texts(tokens, rows).result()

    def prepare_image(self, image: Image.Image) -> UInt8[Tensor, "height width channels"]:
        """Resize and crop one RGB image as the checkpoint says; the pixels are normalised in the pass."""
        return pixels_of(self._clip.resize(image))

    def start_images(self, prepared: Sequence[UInt8[Tensor, "height width channels"]]) -> Pending:
        """Start a pass over prepared images."""
        return self._passes.start(lambda buffers: {"pixels": buffers.stack("pixels", prepared)}, self._forward_images)

    def compile_images(self, mode: CompileMode) -> None:
        """Have passes over images compiled from now on."""
        self._forward_images = self._passes.compiled(self._forward_images, mode)

    def encode_images(self, prepared: Sequence[Tensor]) -> Float[np.ndarray, "images dim"]:
        """Embed prepared images in one pass."""
        return self.start_images(prepared).result()

    def _encode_texts(self, inputs: dict[str, Tensor]) -> Tensor:
        encode = encode_tokens if self._can_cut else encode_full
        return self._passes.unit_rows(encode(self._model, inputs["tokens"]))

    def _encode_images(self, inputs: dict[str, Tensor]) -> Tensor:
        images = self._normaliser(inputs["pixels"], self._passes.dtype)
        return functional.normalize(self._model.encode_image(images).float(), dim=-1)
