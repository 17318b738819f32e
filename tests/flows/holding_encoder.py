"""An encoder of the user's that tells which processes have loaded it, and holds one of them in the middle of a shard.

Copied by tests into a package of its own, so that the workers of a cluster find it without the tests.
"""

import os
import threading
import zlib
from pathlib import Path

import numpy as np


class Holding:
    """Texts by their letters, images by eight grey levels. The second pass of images tells its process and waits."""

    dim, identity = 8, 1

    def __init__(self, folder: Path) -> None:
        self._folder, self._passes = folder, 0

    def embed_texts(self, texts):
        return np.array([np.random.default_rng(zlib.crc32(text.encode())).random(8) for text in texts])

    def embed_images(self, images):
        self._passes += 1
        if self._passes == 2:
            self._hold()
        return np.array([np.asarray(image.convert("L").resize((4, 2)), dtype=float).ravel() + 1 for image in images])

    def _hold(self):
        try:
            (self._folder / "asked").rename(self._folder / "held")  # one process takes it, once
        except FileNotFoundError:
            return
        with (self._folder / "holder").open("w") as pipe:  # waits for the reader
            pipe.write(str(os.getpid()))
        threading.Event().wait()


def load(settings, _device):
    with (Path(settings["folder"]) / "loads").open("a") as loads:
        loads.write(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}\n")
    return Holding(Path(settings["folder"]))
