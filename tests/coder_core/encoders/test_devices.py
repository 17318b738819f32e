"""Devices, as far as can be told without one: what is chosen, what is refused, and how lack of memory is known."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from coder_core.encoders.device import check_device, is_out_of_memory
from coder_core.encoders.passes import Passes
from coder_core.encoders.pixels import PixelNormaliser
from coder_core.errors import DeviceError

MPS_SAYS = "MPS backend out of memory (MPS allocated: 5.50 GB, other allocations: 14.76 GB, max allowed: 20.40 GB)."


def test_the_cpu_without_memory_is_known_by_what_torch_really_says() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.uint8)  # a petabyte
    assert not isinstance(caught.value, torch.OutOfMemoryError), "else nobody would have to read it"
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (RuntimeError(MPS_SAYS), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError(MPS_SAYS), False),
    ],
)
def test_lack_of_memory_is_told_from_other_failures(error: Exception, *, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


@pytest.mark.parametrize(("is_built", "said"), [(True, "no MPS"), (False, "a torch without MPS")])
def test_a_machine_without_mps_says_why(monkeypatch: pytest.MonkeyPatch, is_built: bool, said: str) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: is_built)
    with pytest.raises(DeviceError, match=f"there is no 'mps' on this machine .*{said}.*auto or cpu"):
        check_device("mps")


def test_a_device_that_would_compute_in_other_numbers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match=r"encoder.precision: meta does not compute in autocast_bfloat16 .*float32"):
        Passes("meta", "autocast_bfloat16")

    def only_warns(*_: object, **__: object) -> None:
        warnings.warn("In MPS autocast, but the target dtype is not supported. Disabling autocast.", stacklevel=1)

    monkeypatch.setattr(torch, "autocast", only_warns)
    with pytest.raises(DeviceError, match=r"target dtype is not supported. Disabling autocast\)"):
        Passes("cpu", "autocast_float16")
    Passes("cpu", "bfloat16")


class Refusing(torch.nn.Module):
    """A model whose device fails when the weights come."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def to(self, *_: object, **__: object) -> "Refusing":
        raise self._error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TypeError("BFloat16 is not supported on MPS"), "does not compute in bfloat16"),
        (RuntimeError(MPS_SAYS), "the weights do not fit into the memory of cpu"),
    ],
)
def test_weights_that_a_device_does_not_take_are_a_clear_error(error: Exception, said: str) -> None:
    with pytest.raises(DeviceError, match=said):
        Passes("cpu", "bfloat16").place(Refusing(error))


def test_another_failure_of_a_device_goes_on_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="bus error"):
        Passes("cpu", "float32").place(Refusing(RuntimeError("bus error")))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_channels_come_first_where_convolutions_cannot_take_them_last(device: str) -> None:
    """Only CUDA has them last; Apple's GPU has given wrong numbers for what is not contiguous."""
    pixels = torch.zeros(2, 5, 7, 3, dtype=torch.uint8, device=device)
    images = PixelNormaliser((0.5, 0.5, 0.5), (0.2, 0.2, 0.2), pixels.device)(pixels, torch.float32)
    assert images.shape == (2, 3, 5, 7)
    assert images.is_contiguous()


def test_passes_of_cuda_graphs_are_started_by_one_thread() -> None:
    """Without CUDA: which thread computes, and that it does so as the asking one would."""
    passes = Passes("cpu", "autocast_bfloat16")
    seen: list[tuple[int, bool, torch.dtype]] = []

    def forward(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        made = inputs["numbers"] @ inputs["numbers"].T
        seen.append((threading.get_ident(), torch.is_inference_mode_enabled(), made.dtype))
        return made

    def start(_: int) -> float:
        pending = passes.start(
            lambda buffers: {"numbers": buffers.take("numbers", (2, 3), torch.float32).fill_(2)}, forward
        )
        return float(pending.result()[0, 0])

    passes.keep_to_one_thread()
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(start, range(4))) == [12.0] * 4
    assert len({thread for thread, *_ in seen}) == 1
    assert seen[0][0] != threading.get_ident()
    assert {tuple(rest) for _, *rest in seen} == {(True, torch.bfloat16)}

    def failing(_: dict[str, torch.Tensor]) -> torch.Tensor:
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError):
        passes.start(lambda _: {}, failing)
