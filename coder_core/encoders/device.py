"""Where models run."""

import torch

from coder_core.errors import DeviceError

PLACE = "runtime.device"


def choose_device(device: str) -> str:
    """`auto` is CUDA when present, else the CPU; anything else is taken at its word."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def list_devices(device: str) -> tuple[str, ...]:
    """All devices that a setting stands for: `cuda` (or `auto`, where there is CUDA) is every one that is visible.

    What is visible is said by CUDA_VISIBLE_DEVICES, as everywhere; `cuda:1` is that one alone.

    Raises:
        DeviceError: There is no such device here.
    """
    chosen = choose_device(device)
    kind, _, number = chosen.partition(":")
    if kind == "cpu":
        return ("cpu",)
    if kind == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceError("there is no Apple GPU here (MPS).", PLACE, "Use auto or cpu.")
        return ("mps",)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise DeviceError(
            f"{device!r} is asked for, and torch sees no CUDA device.",
            PLACE,
            "Use auto or cpu; or check the driver, CUDA_VISIBLE_DEVICES, and that torch was built for CUDA.",
        )
    if number and int(number) >= count:
        raise DeviceError(
            f"there is no {chosen}: torch sees {count} CUDA device{'s' * (count > 1)}.", PLACE, "Count from cuda:0."
        )
    return (chosen,) if number else tuple(f"cuda:{place}" for place in range(count))


def device_name(device: str) -> str:
    """What a device is called by its maker: what was found to fit on one fits on all of that name."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def supports(device: str, precision: str) -> bool:
    """Whether a device computes in a precision at all."""
    if device.startswith("cuda") and "bfloat16" in precision:
        return torch.cuda.is_bf16_supported()
    return not (device == "mps" and "autocast" in precision)
