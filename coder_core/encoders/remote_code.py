"""Code that comes with a model is never run, and nobody is asked whether it may be."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_remote_code() -> Iterator[None]:
    """Let transformers refuse a model with code of its own at once, wherever it is asked for one.

    Where nobody says `trust_remote_code`, transformers would wait 15 seconds for an answer from the keyboard.
    """
    if importlib.util.find_spec("transformers") is None:
        yield
        return
    from transformers import dynamic_module_utils as modules

    before, modules.TIME_OUT_REMOTE_CODE = modules.TIME_OUT_REMOTE_CODE, 0
    try:
        yield
    finally:
        modules.TIME_OUT_REMOTE_CODE = before
