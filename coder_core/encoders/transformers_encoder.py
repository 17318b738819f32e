"""A loaded model of transformers: one forward pass per call."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from coder_core.encoders.compiled import Forward
from coder_core.encoders.device import choose_device
from coder_core.encoders.passes import Buffers, Passes, Pending
from coder_core.encoders.pixels import draft_side
from coder_core.encoders.text_tower import PROBES, TOLERANCE
from coder_core.encoders.transformers_loading import ModelFolder
from coder_core.encoders.transformers_model import load_folder, pooled
from coder_core.specs.encoder_specs import Numerics
from coder_core.specs.runtime import CompileMode

MAX_CONTEXT = 4096
"""Tokens of a text at most, where nothing of the model says how many."""


class TwoTowers:
    """A model with a text and an image tower. Several threads may use it; one pass is started at a time."""

    def __init__(self, found: ModelFolder, spec: Numerics, *, device: str = "auto") -> None:
        self._passes = Passes(choose_device(device), spec.precision)
        loaded = load_folder(found)
        self._tokenizer, self._images = loaded.tokenizer, loaded.image_processor
        self._image_settings = loaded.image_settings
        self.context_length = _context_length(loaded.model, loaded.tokenizer, loaded.text_settings)
        self._can_cut = self._measure_cut(loaded.model)
        self._model = self._passes.place(loaded.model)
        self._forward_images: Forward = self._encode_images
        self.in_flight = self._passes.in_flight
        self.draft_side = _draft_side(self._images, self._image_settings) if spec.jpeg_draft else None

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Length of texts in tokens, uncut, special tokens included."""
        return [len(ids) for ids in self._tokenizer(list(texts), padding=False, truncation=False)["input_ids"]]

    def tokenize(self, texts: Sequence[str]) -> dict[str, Int[Tensor, "texts context"]]:
        """What the tokenizer gives (ids, and a mask where it has one), padded to the context; longer texts are cut."""
        settings = {"padding": "max_length", "truncation": True, "max_length": self.context_length}
        return dict(self._tokenizer(list(texts), return_tensors="pt", **settings))

    def text_lengths(self, tokens: Mapping[str, Tensor]) -> Int[np.ndarray, " texts"]:
        """Positions that are no padding; all of them, where the tower needs them."""
        if not self._can_cut:
            return np.full(len(tokens["input_ids"]), tokens["input_ids"].shape[1], dtype=np.int64)
        return np.asarray(self._lengths(tokens).numpy())

    def start_texts(self, tokens: Mapping[str, Tensor], rows: Int[np.ndarray, " rows"]) -> Pending:
        """Start a pass over some texts, cut to the longest of them where the tower allows it."""
        chosen = {name: tensor[torch.from_numpy(rows)] for name, tensor in tokens.items()}
        if self._can_cut:
            longest = int(self._lengths(chosen).max())
            chosen = {name: tensor[:, :longest] for name, tensor in chosen.items()}

        def fill(buffers: Buffers) -> dict[str, Tensor]:
            return {name: buffers.take(name, held.shape, held.dtype).copy_(held) for name, held in chosen.items()}

        return self._passes.start(fill, self._encode_texts)

    def encode_texts(self, tokens: Mapping[str, Tensor], rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "n dim"]:
        """Embed some texts in one pass."""
        return self.start_texts(tokens, rows).result()

    def prepare_image(self, image: Image.Image) -> dict[str, Tensor]:
        """Whatever the model's image processor makes of one RGB image: pixels; of NaFlex, patches and their places."""
        made = self._images(images=image, return_tensors="pt", **self._image_settings)
        return {name: _single(tensor[0]) for name, tensor in made.items() if isinstance(tensor, Tensor)}

    def start_images(self, prepared: Sequence[Mapping[str, Tensor]]) -> Pending:
        """Start a pass over prepared images."""

        def fill(buffers: Buffers) -> dict[str, Tensor]:
            return {name: buffers.stack(name, [image[name] for image in prepared]) for name in prepared[0]}

        return self._passes.start(fill, self._forward_images)

    def compile_images(self, mode: CompileMode) -> None:
        """Have passes over images compiled from now on."""
        self._forward_images = self._passes.compiled(self._forward_images, mode)

    def encode_images(self, prepared: Sequence[Mapping[str, Tensor]]) -> Float[np.ndarray, "images dim"]:
        """Embed prepared images in one pass."""
        return self.start_images(prepared).result()

    def _encode_texts(self, inputs: dict[str, Tensor]) -> Tensor:
        return functional.normalize(pooled(self._model.get_text_features(**inputs)).float(), dim=-1)

    def _encode_images(self, inputs: dict[str, Tensor]) -> Tensor:
        dtype = self._passes.dtype
        cast = {name: held.to(dtype) if held.is_floating_point() else held for name, held in inputs.items()}
        return functional.normalize(pooled(self._model.get_image_features(**cast)).float(), dim=-1)

    def _lengths(self, tokens: Mapping[str, Tensor]) -> Int[Tensor, " texts"]:
        """Positions up to and including the last that is not padding."""
        ids = tokens["input_ids"]
        is_used = tokens.get("attention_mask", ids != self._tokenizer.pad_token_id)
        places: Tensor = is_used.long() * torch.arange(1, ids.shape[1] + 1)
        return places.amax(dim=1).clamp(min=1)

    def _measure_cut(self, model: Any) -> bool:
        """Whether texts cut to their length have the embeddings of padded ones: not so where a tower reads the end."""
        tokens = self.tokenize(PROBES)
        longest = int(self._lengths(tokens).max())
        if longest >= tokens["input_ids"].shape[1]:
            return False
        cut = {name: tensor[:, :longest] for name, tensor in tokens.items()}
        with torch.inference_mode():
            whole, short = (
                functional.normalize(pooled(model.get_text_features(**held)), dim=-1) for held in (tokens, cut)
            )
        return bool(torch.allclose(whole, short, atol=TOLERANCE, rtol=0.0))


def _single(values: Tensor) -> Tensor:
    """Whole numbers as they are, others in float32: twice of it travels for nothing, and MPS knows none."""
    return values.float() if values.is_floating_point() else values


def _context_length(model: Any, tokenizer: Any, text_settings: Mapping[str, Any]) -> int:
    """The shortest of what processor, tokenizer and position embeddings allow."""
    allowed = [text_settings.get("max_length"), tokenizer.model_max_length, *_positions(model)]
    return min([MAX_CONTEXT, *(int(length) for length in allowed if length and length < MAX_CONTEXT)])


def _positions(model: Any) -> list[int]:
    """Positions that the text tower has embeddings for; XLM-R begins to count behind the id of padding."""
    tower = getattr(model, "text_model", model)
    found = [
        module
        for name, module in tower.named_modules()
        if isinstance(module, nn.Embedding) and name.rpartition(".")[2].startswith("position_embedding")
    ]
    return [held.num_embeddings - (0 if held.padding_idx is None else held.padding_idx + 1) for held in found]


def _draft_side(image_processor: Any, settings: Mapping[str, Any]) -> int | None:
    """Twice the input of the image tower; None where it is not known."""
    names = ("max_num_patches", "patch_size")
    patches, side = (settings.get(name) or getattr(image_processor, name, None) for name in names)
    if patches and side:  # NaFlex keeps the shape of an image: a square of as many patches stands for all
        return draft_side(math.ceil(math.sqrt(int(patches)) * int(side)))
    size = getattr(image_processor, "size", None)
    if size is None:
        return None
    values = [int(size[name]) for name in ("shortest_edge", "height", "width", "longest_edge") if _has(size, name)]
    return draft_side(max(values)) if values else None


def _has(size: Any, name: str) -> bool:
    try:
        return size[name] is not None
    except (KeyError, AttributeError):
        return False
