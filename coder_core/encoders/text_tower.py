"""Texts through a CLIP text tower, at the length they have instead of the length of the context.

CLIP's text tower is causal and reads out at the end token: positions after it cannot change the result. So texts are
sorted by length and each batch is cut to its longest. Towers that read out elsewhere (SigLIP's) need every position;
whether a tower can be cut is measured once, on the loaded model, not looked up in a list of names.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

PROBES = ("a photo of a cat", "a photo of a small black dog which has a long and thin tail")
TOLERANCE = 1e-4
"""Largest difference of a coordinate at which cut and full texts count as equal (float32 noise is about 1e-6)."""


def build_clip(config: dict[str, Any]) -> Any:
    """An untrained CLIP of the given open_clip `model_cfg`."""
    from open_clip.model import CLIP

    return CLIP(**config)


def clip_tokenizer() -> Any:
    """CLIP's byte-pair tokenizer (its vocabulary ships with open_clip)."""
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


def encode_tokens(model: Any, tokens: Int[Tensor, "texts length"]) -> Float[Tensor, "texts dim"]:
    """Encode texts at the length of the batch.

    open_clip's forward pass insists on the full context, so it is shown shortened position embeddings and a shortened
    mask. Gradients flow through.

    Args:
        model: An open_clip `CLIP` or `CustomTextCLIP` whose text tower is causal with an end-token readout.
        tokens: Token ids, padded to the longest of the batch.

    Returns:
        L2-normalised embeddings.
    """
    tower = text_tower(model)
    prefix = "" if tower is model else "text."
    length = tokens.shape[1]
    shortened = {
        f"{prefix}positional_embedding": tower.positional_embedding[:length],
        f"{prefix}attn_mask": tower.attn_mask[:length, :length],
    }
    features = torch.func.functional_call(model, shortened, kwargs={"text": tokens})
    embeddings: Tensor = features["text_features"] if isinstance(features, dict) else features[1]
    return embeddings


def text_tower(model: Any) -> Any:
    """The module that holds the text tower's parameters: `model.text`, or the model itself in the original layout."""
    return model.text if isinstance(getattr(model, "text", None), nn.Module) else model


def encode_full(model: Any, tokens: Int[Tensor, "texts context"]) -> Float[Tensor, "texts dim"]:
    """Encode texts at the full context; L2-normalised."""
    embeddings: Tensor = functional.normalize(model.encode_text(tokens), dim=-1)
    return embeddings


def can_cut(model: Any, tokenizer: Any, device: str) -> bool:
    """Measure whether cutting texts to their length leaves their embeddings as they are."""
    tower = text_tower(model)
    if not all(isinstance(getattr(tower, name, None), Tensor) for name in ("positional_embedding", "attn_mask")):
        return False
    tokens = tokenizer(list(PROBES)).to(device)
    longest = int(token_lengths(tokens).max())
    if longest >= tokens.shape[1]:
        return False
    with torch.inference_mode():
        full = encode_full(model, tokens)
        try:
            cut = encode_tokens(model, tokens[:, :longest])
        except (RuntimeError, TypeError, ValueError, IndexError):  # CoCa's tower appends a token, its forward differs
            return False
        return bool(torch.allclose(cut, full, atol=TOLERANCE, rtol=0.0))


def token_lengths(tokens: Int[Tensor, "texts context"]) -> Int[Tensor, " texts"]:
    """Positions up to and including the last one that is not padding (id 0)."""
    positions = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)
    return ((tokens != 0) * positions).amax(dim=1)


def as_token_rows(tokenizer: Any, texts: Sequence[str]) -> Int[Tensor, "texts context"]:
    """Tokenise; texts longer than the context are cut by the tokenizer, which keeps the end token."""
    tokens: Tensor = tokenizer(list(texts))
    return tokens


def uncut_lengths(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """Count the tokens of texts without cutting them at the context, start and end tokens included.

    open_clip's own tokenizer gives bare tokens; the ones it wraps (Hugging Face) add their special tokens themselves.
    """
    if hasattr(tokenizer, "encode"):
        return [len(tokenizer.encode(text)) + 2 for text in texts]
    return [len(tokenizer.tokenizer(tokenizer.clean_fn(text)).input_ids) for text in texts]
