"""Where models run."""

import torch

from coder_core.errors import ConfigError


def choose_device(device: str) -> str:
    """`auto` is CUDA when present, else the CPU; anything else is taken at its word.

    Args:
        device: `auto`, `cpu`, `cuda`, `cuda:<number>` or `mps`.

    Raises:
        ConfigError: There is no such device on this machine.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not _is_there(torch.device(device)):
        problem = f"there is no {device!r} on this machine ({torch.cuda.device_count()} CUDA devices)."
        raise ConfigError(problem, "device", "Set CODER_DEVICE to auto or cpu, or repair the driver.")
    return device


def _is_there(device: torch.device) -> bool:
    if device.type == "cuda":
        return (device.index or 0) < torch.cuda.device_count()
    return device.type == "cpu" or torch.backends.mps.is_available()
