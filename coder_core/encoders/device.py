"""Where models run."""

import torch

from coder_core.errors import DeviceError

PLACE = "CODER_DEVICE (runtime.device)"

SAID_OUT_OF_MEMORY = ("MPS backend out of memory", "DefaultCPUAllocator:")
"""How torch says it where it has no type of error for it (2.14): on Apple's GPU, and on the CPU."""


def choose_device(device: str) -> str:
    """`auto` is CUDA when present, else Apple's GPU (MPS), else the CPU; anything else is taken at its word.

    Args:
        device: `auto`, `cpu`, `cuda`, `cuda:<number>` or `mps`.

    Raises:
        DeviceError: There is no such device on this machine.
    """
    if device == "auto":
        has_mps = torch.backends.mps.is_available()
        return "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    count = torch.cuda.device_count()
    if not _is_there(device, count):
        raise DeviceError(
            f"there is no {device!r} on this machine ({count} CUDA devices, {_mps_in_words()}).",
            PLACE,
            "Set it to auto or cpu; or check the driver, CUDA_VISIBLE_DEVICES, and torch's build.",
        )
    return device


def list_devices(device: str) -> tuple[str, ...]:
    """All devices that a setting stands for: `cuda` (or `auto`, where there is CUDA) is every one that is visible.

    What is visible is said by CUDA_VISIBLE_DEVICES, as everywhere; `cuda:1` is that one alone.

    Raises:
        DeviceError: There is no such device on this machine.
    """
    chosen = choose_device(device)
    if chosen != "cuda":
        return (chosen,)
    return tuple(f"cuda:{place}" for place in range(torch.cuda.device_count()))


def device_name(device: str) -> str:
    """What a device is called by its maker: what was found to fit on one fits on all of that name."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def check_device(device: str) -> None:
    """Refuse a device that this machine has not; `auto` and `cpu` are everywhere.

    Raises:
        DeviceError: There is no such device on this machine.
    """
    if device not in {"auto", "cpu"}:
        choose_device(device)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the CPU, had too little memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in SAID_OUT_OF_MEMORY)


def _mps_in_words() -> str:
    if torch.backends.mps.is_available():
        return "MPS"
    return "no MPS" if torch.backends.mps.is_built() else "a torch without MPS"


def _is_there(device: str, cuda_count: int) -> bool:
    kind, _, number = device.partition(":")
    if kind == "cuda":
        return int(number or 0) < cuda_count
    return kind == "cpu" or (kind == "mps" and torch.backends.mps.is_available())
