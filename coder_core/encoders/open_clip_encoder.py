"""The encoder that real evaluations use: any open_clip model."""

import threading
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional

from coder_core.encoders.device import choose_device
from coder_core.encoders.open_clip_model import load_open_clip
from coder_core.encoders.text_tower import as_token_rows, can_cut, embed_sorted, uncut_lengths
from coder_core.interruption import check_interruption
from coder_core.specs import OpenClipEncoder


class OpenClip:
    """A loaded open_clip model. Several threads may use it; one forward pass runs at a time."""

    def __init__(self, spec: OpenClipEncoder, *, device: str = "auto", batch_size: int = 256) -> None:
        self.device = choose_device(device)
        self.batch_size = batch_size
        self._clip = load_open_clip(spec, self.device)
        self._slot = threading.Lock()
        self._can_cut = can_cut(self._clip.model, self._clip.tokenizer, self.device)

    @cached_property
    def dim(self) -> int:
        """Length of every vector."""
        return int(self.encode_texts([""]).shape[1])

    @property
    def context_length(self) -> int:
        """Tokens that the text tower reads; what is longer is cut."""
        return int(self._clip.tokenizer.context_length)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Length of texts in tokens, uncut, start and end tokens included."""
        return uncut_lengths(self._clip.tokenizer, texts)

    def encode_texts(self, texts: Sequence[str]) -> Float[np.ndarray, "texts dim"]:
        """Embed texts; rows are L2-normalised float32."""
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        tokens = as_token_rows(self._clip.tokenizer, texts)
        with self._slot:
            return embed_sorted(self._clip.model, tokens, batch_size=self.batch_size, cut=self._can_cut)

    def prepare_image(self, image: Image.Image) -> Tensor:
        """Resize, crop and normalise one RGB image as the checkpoint says: `(channels, height, width)`."""
        pixels: Tensor = self._clip.preprocess(image)
        return pixels

    def encode_images(self, prepared: Sequence[Tensor]) -> Float[np.ndarray, "images dim"]:
        """Embed prepared images; rows are L2-normalised float32."""
        if not prepared:
            return np.zeros((0, self.dim), dtype=np.float32)
        pieces = []
        with self._slot, torch.inference_mode():
            for start in range(0, len(prepared), self.batch_size):
                check_interruption()
                batch = torch.stack(list(prepared[start : start + self.batch_size])).to(self.device)
                pieces.append(functional.normalize(self._clip.model.encode_image(batch).float(), dim=-1).cpu())
        return np.asarray(torch.cat(pieces).numpy())
