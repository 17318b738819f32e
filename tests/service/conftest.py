"""What the tests of the service share: an evaluation whose runs stop in the middle."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .held_runs import HeldScene, held_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> Iterator[HeldScene]:
    with held_scene(tmp_path_factory.mktemp("held"), tiny_clip) as scene:
        yield scene
