"""A loaded open_clip model: one forward pass per call."""

import threading
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor
from torch.nn import functional

from coder_core.encoders.device import choose_device
from coder_core.encoders.open_clip_model import load_open_clip
from coder_core.encoders.text_tower import (
    as_token_rows,
    can_cut,
    encode_full,
    encode_tokens,
    token_lengths,
    uncut_lengths,
)
from coder_core.specs import OpenClipEncoder


class OpenClip:
    """A loaded open_clip model. Several threads may use it; one forward pass runs at a time."""

    def __init__(self, spec: OpenClipEncoder, *, device: str = "auto") -> None:
        self.device = choose_device(device)
        self._clip = load_open_clip(spec, self.device)
        self._pass = threading.Lock()
        self._can_cut = can_cut(self._clip.model, self._clip.tokenizer, self.device)

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
        """Positions that are no padding."""
        return np.asarray(token_lengths(tokens).numpy())

    def encode_texts(
        self, tokens: Int[Tensor, "texts context"], rows: Int[np.ndarray, " rows"]
    ) -> Float[np.ndarray, "rows dim"]:
        """Embed some texts in one pass, cut to the longest of them where the tower allows it."""
        chosen = tokens[torch.from_numpy(rows)]
        with self._pass, torch.inference_mode():
            batch = chosen.to(self.device)
            if self._can_cut:
                encoded = encode_tokens(self._clip.model, batch[:, : int(token_lengths(chosen).max())])
            else:
                encoded = encode_full(self._clip.model, batch)
            return np.asarray(encoded.float().cpu().numpy())

    def prepare_image(self, image: Image.Image) -> Tensor:
        """Resize, crop and normalise one RGB image as the checkpoint says: `(channels, height, width)`."""
        pixels: Tensor = self._clip.preprocess(image)
        return pixels

    def encode_images(self, prepared: Sequence[Tensor]) -> Float[np.ndarray, "images dim"]:
        """Embed prepared images in one pass."""
        with self._pass, torch.inference_mode():
            batch = torch.stack(list(prepared)).to(self.device)
            encoded = functional.normalize(self._clip.model.encode_image(batch).float(), dim=-1)
            return np.asarray(encoded.cpu().numpy())
