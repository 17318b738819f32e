"""open_clip architectures, tokenizers and checkpoints."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def build_clip(config: dict[str, Any]) -> nn.Module:
    """An untrained CLIP of the given open_clip `model_cfg`."""
    from open_clip.model import CLIP

    model: nn.Module = CLIP(**config)
    return model


def clip_tokenizer() -> Any:
    """CLIP's byte-pair tokenizer (its vocabulary ships with open_clip)."""
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


def encode_tokens(model: nn.Module, tokens: Int[Tensor, "texts length"]) -> Float[Tensor, "texts dim"]:
    """Encode texts at the length of the batch instead of the full context.

    CLIP's text tower is causal and reads out at the end token, so positions after it change nothing; open_clip's forward
    pass insists on the full context, so it is shown shortened position embeddings and mask. Gradients flow through.

    Args:
        model: An open_clip `CLIP` or `CustomTextCLIP` whose text tower is causal with an end-token readout.
        tokens: Token ids, padded with zeros to the longest of the batch.

    Returns:
        L2-normalised embeddings.
    """
    prefix = "text." if hasattr(model, "text") else ""
    tower = model.text if prefix else model
    length = tokens.shape[1]
    shortened = {
        f"{prefix}positional_embedding": tower.positional_embedding[:length],
        f"{prefix}attn_mask": tower.attn_mask[:length, :length],
    }
    features = torch.func.functional_call(model, shortened, kwargs={"text": tokens})
    embeddings: Tensor = features["text_features"] if isinstance(features, dict) else features[1]
    return embeddings
