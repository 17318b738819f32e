"""Linear layers and attention on the CPU by oneDNN, where that is faster than what torch takes.

Torch multiplies float32 matrices by MKL, which leaves the AVX-512 units of other makers' processors half idle; and
`nn.MultiheadAttention` turns its inputs round, whose projection then is a batched product, slower still (in bfloat16,
too). oneDNN, which torch carries for half precision, convolutions and compiled models, is about twice as fast there
(docs/encoders.md has the figures). Sums are added up in another order: vectors differ by rounding (1e-7), as between
two machines, and rows depend neither on the other rows of a pass nor on the number of threads.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from coder_core.cores import processor_maker

ONEDNN_PRECISIONS = ("float32", "bfloat16")
"""Of the weights; under autocast torch chooses the numbers of each layer itself."""
BY_MKL = "GenuineIntel"
"""The maker for whose processors MKL is written."""


def is_onednn_faster() -> bool:
    """Whether this processor has AVX-512 and is none that MKL was written for."""
    has_it = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return has_it and torch.backends.cpu.get_cpu_capability().startswith("AVX512") and processor_maker() != BY_MKL


def take_onednn(model: nn.Module) -> nn.Module:
    """Have a model's linear layers and self-attentions computed by oneDNN; weights stay where they are.

    Layers of other classes, compiled passes, and those through which gradients flow, are computed as before.
    """
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = OneDnnLinear
        elif type(module) is nn.MultiheadAttention:
            module.__class__ = OneDnnAttention
    return model


def linear(rows: Float[Tensor, "*rows inner"], weight: Float[Tensor, "outer inner"], bias: Tensor | None) -> Tensor:
    """What `functional.linear` computes, without gradients."""
    made: Tensor = torch.ops.mkldnn._linear_pointwise(rows.contiguous(), weight, bias, "none", [], "")
    return made


def _is_torchs_own() -> bool:
    """Whether gradients flow, or `torch.compile` looks on, which has ways of its own to oneDNN."""
    return torch.is_grad_enabled() or torch.compiler.is_compiling()


class OneDnnLinear(nn.Linear):
    """A linear layer."""

    def forward(self, input: Float[Tensor, "*rows inner"]) -> Float[Tensor, "*rows outer"]:  # noqa: A002  torch's name
        """See `nn.Linear`."""
        if _is_torchs_own() or input.numel() == 0:
            return super().forward(input)
        return linear(input, self.weight, self.bias)


class OneDnnAttention(nn.MultiheadAttention):
    """Self-attention as the towers of CLIP use it; whatever else is asked for is torch's own."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Any]:
        """See `nn.MultiheadAttention`."""
        mask = options.get("attn_mask")
        asked = {name for name, value in options.items() if value is not None and value is not False}
        is_self = query is key is value and query.dim() == 3 and query.numel() > 0
        is_simple = not args and options.get("need_weights") is False and asked <= {"attn_mask"}
        if _is_torchs_own() or not (is_self and is_simple and self._is_usual(mask)):
            return super().forward(query, key, value, *args, **options)
        rows = self._attend(query if self.batch_first else query.transpose(0, 1), mask)
        return rows if self.batch_first else rows.transpose(0, 1), None

    def _is_usual(self, mask: Tensor | None) -> bool:
        extras = self.bias_k is not None or self.bias_v is not None or self.add_zero_attn
        is_added = mask is None or (mask.dim() == 2 and mask.is_floating_point())
        return is_added and not extras and not self.training and self._qkv_same_embed_dim

    def _attend(
        self, rows: Float[Tensor, "batch length dim"], mask: Tensor | None
    ) -> Float[Tensor, "batch length dim"]:
        batch, length, dim = rows.shape
        projected = linear(rows, self.in_proj_weight, self.in_proj_bias)
        query, key, value = projected.view(batch, length, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        joined = mixed.transpose(1, 2).reshape(batch, length, dim)
        return linear(joined, self.out_proj.weight, self.out_proj.bias)
