"""Where models run."""

import torch

from coder_core.errors import DeviceError

PLACE = "CODER_DEVICE (runtime.device)"


def choose_device(device: str) -> str:
    """`auto` is CUDA when present, else the CPU; anything else is taken at its word.

    Args:
        device: `auto`, `cpu`, `cuda`, `cuda:<number>` or `mps`.

    Raises:
        DeviceError: There is no such device on this machine.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    count = torch.cuda.device_count()
    if not _is_there(device, count):
        raise DeviceError(
            f"there is no {device!r} on this machine ({count} CUDA devices).",
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


def _is_there(device: str, cuda_count: int) -> bool:
    kind, _, number = device.partition(":")
    if kind == "cuda":
        return int(number or 0) < cuda_count
    return kind == "cpu" or (kind == "mps" and torch.backends.mps.is_available())
