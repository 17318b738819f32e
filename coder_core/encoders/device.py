"""Where models run."""

import torch


def choose_device(device: str) -> str:
    """`auto` is CUDA when present, else the CPU; anything else is taken at its word."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"
