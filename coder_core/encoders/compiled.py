"""An image tower compiled by `torch.compile`: some minutes at the beginning, then faster where it wins.

Passes of one size are one program; the last pass, which is smaller, is filled up to that size, because another size
would be compiled anew. Where nothing can be compiled (no C compiler on a CPU, an operation that torch cannot take), the
model goes on as it is, and that is said once.
"""

import inspect
import logging
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.encoders.device import is_out_of_memory
from coder_core.specs.runtime import CompileMode

logger = logging.getLogger(__name__)

Inputs = dict[str, Tensor]
Forward = Callable[[Inputs], Tensor]
"""From inputs by name, each with one row per image, to normalised rows."""

_OWN_LIMIT: dict[str, Any] = (
    {"isolate_recompiles": True} if "isolate_recompiles" in inspect.signature(torch.compile).parameters else {}
)
"""Torch compiles one function eight times at most, and then no more: the models of all devices would count together."""


def compiled(forward: Forward, mode: CompileMode) -> Forward:
    """The same forward pass, compiled when it is first called; one that is compiled already stays as it is.

    Args:
        forward: The pass.
        mode: As `torch.compile` calls it; `reduce-overhead` and `max-autotune` make CUDA graphs on CUDA.
    """
    return forward if isinstance(forward, CompiledForward) else CompiledForward(forward, mode)


class CompiledForward:
    """A compiled pass; see `compiled`."""

    def __init__(self, forward: Forward, mode: CompileMode) -> None:
        self._plain = forward
        self._compiled: Any = torch.compile(forward, mode=mode, dynamic=False, **_OWN_LIMIT)
        self._rows = 0

    def __call__(self, inputs: Inputs) -> Float[Tensor, "rows dim"]:
        """Compute the rows."""
        made = None if self._compiled is None else self._compute(inputs)
        return self._plain(inputs) if made is None else made

    def _compute(self, inputs: Inputs) -> Float[Tensor, "rows dim"] | None:
        """The rows; None where the pass cannot be compiled."""
        rows = len(next(iter(inputs.values())))
        self._rows = max(self._rows, rows)
        try:
            torch.compiler.cudagraph_mark_step_begin()
            made: Tensor = self._compiled({name: _filled(tensor, self._rows) for name, tensor in inputs.items()})
        except Exception as error:  # dynamo, inductor and compilers raise what they like
            if is_out_of_memory(error):
                self._rows = 0  # the halves that come now are not to be filled up to what did not fit
                raise
            reason = " ".join(str(error).split())[:200]
            logger.warning("the image tower cannot be compiled, and goes on as it is: %s", reason)
            self._compiled = None
            return None
        return made[:rows].clone() if made.is_cuda else made[:rows]  # a graph writes its next result to the same place


def _filled(inputs: Tensor, rows: int) -> Tensor:
    """Inputs, and the last of them again until there are so many."""
    if len(inputs) == rows:
        return inputs
    return torch.cat([inputs, inputs[-1:].expand(rows - len(inputs), *inputs.shape[1:])])
