"""Rules that every step keeps, tried on all of them: loops can be stopped, and models run on a device that is held."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest

import coder_core.steps
from coder_core import loops
from coder_core.encoders.open_clip_encoder import OpenClip
from coder_core.pipeline.accelerator import LocalAccelerator
from coder_core.pipeline.step import ArtifactStep, Step
from coder_core.specs import Runtime

from .worlds import WORLDS, steps_of

WORK = ("run", "make", "make_shard", "join")
ELSEWHERE = {
    *("LookAtClasses", "ClaimAnnouncement", "WithdrawAnnouncement"),  # watch_classes
    *("ListNewImages", "NamePredictions", "CheckExport", "ExportTable"),  # predict
    "CompactStore",
    *("SampleDataset", "CompareNames"),  # doctor
    "CalibrateExport",
    *("GenerateTexts", "CheckGeneration"),  # planned for here, and no language model is asked
    "OfDraw",  # what steps of one draw have in common
}
"""Steps of other recipes than `evaluate`."""


class Watched:
    """What happened while each step was at work."""

    def __init__(self) -> None:
        self.at_work: list[str] = []
        self.looked: Counter[str] = Counter()
        self.ran: set[str] = set()
        self.forward: set[str] = set()
        self.is_held = False

    def look(self) -> None:
        """A loop looks whether to stop."""
        self.looked.update(self.at_work[-1:])

    def work(self, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        """A method of a step, watched."""

        def outer(*arguments: Any, **keywords: Any) -> Any:
            self.ran.add(name)
            self.at_work.append(name)
            try:
                return inner(*arguments, **keywords)
            finally:
                self.at_work.pop()

        return outer

    def pass_(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        """A forward pass."""

        def outer(*arguments: Any) -> Any:
            assert self.is_held, f"{self.at_work} runs a model and does not hold the device"
            self.forward.add(self.at_work[-1])
            return inner(*arguments)

        return outer

    @contextmanager
    def hold(self) -> Iterator[None]:
        """The device, held."""
        self.is_held = True
        yield
        self.is_held = False


def every_step() -> set[type[Step[Any]]]:
    for module in iter_modules(coder_core.steps.__path__):
        import_module(f"coder_core.steps.{module.name}")
    return {kind for kind in _subclasses(Step) if kind.__module__.startswith("coder_core.steps")}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> Watched:
    """All worlds, run in a store of their own while every step is watched."""
    seen = Watched()
    root = tmp_path_factory.mktemp("watched")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(loops, "check_interruption", seen.look)
        monkeypatch.setattr(LocalAccelerator, "hold", lambda _: seen.hold())
        for name in ("start_texts", "start_images"):
            monkeypatch.setattr(OpenClip, name, seen.pass_(getattr(OpenClip, name)))
        for kind in every_step():
            for name in WORK:
                method = vars(kind).get(name)
                if isinstance(method, classmethod):
                    monkeypatch.setattr(kind, name, classmethod(seen.work(kind.__name__, method.__func__)))
                elif method is not None:
                    monkeypatch.setattr(kind, name, seen.work(kind.__name__, method))
        for world, write in WORLDS.items():
            files = write(root / world, tiny_clip)
            runtime = Runtime(store=str(root / "store"), device="cpu", settle_seconds=0.0)
            for protocol in ("honest", "reference"):
                steps_of({**files.settings, "protocol": protocol}, runtime, monkeypatch)
    return seen


def test_every_long_loop_can_be_stopped(watched: Watched) -> None:
    for kind in every_step():
        if kind.__name__ in watched.ran and not kind.loop_free:
            looked = sum(watched.looked[base.__name__] for base in kind.__mro__)  # a loop may be that of a base
            assert looked > 0, f"{kind.__name__} has no loop that can be stopped"


def test_every_step_was_at_work_but_those_of_other_recipes(watched: Watched) -> None:
    assert {kind.__name__ for kind in every_step()} - watched.ran == ELSEWHERE


def test_models_run_in_steps_that_hold_the_device(watched: Watched) -> None:
    assert watched.forward == {"EmbedTexts", "EmbedImages", "FitFewShot"}


def test_a_step_that_keeps_an_artifact_declares_it() -> None:
    for kind in every_step():
        assert kind.result_type() is not None
        assert not issubclass(kind, ArtifactStep) or kind._kind()


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for subclass in kind.__subclasses__():
        yield from _subclasses(subclass)
        if "[" not in subclass.__name__ and subclass.__name__ not in ("ArtifactStep", "ShardedStep"):
            yield subclass
