"""One kill and what comes after it: SIGKILL, a look at what the store holds, one clean run, and the comparison."""

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.run_processes import StartedRun
from bench.scenes import Scene, Undisturbed
from bench.store_identity import (
    count_embedded,
    count_leftovers,
    find_damage,
    find_differences,
    find_repeated,
    read_content,
    read_ledgers,
)
from coder_core.results.result_tables import ResultTables
from coder_core.results.warehouse import Warehouse
from coder_core.storage.store import Store

_FINISHED = re.compile(r"Task run '([^']+)' - Finished in state")


class KillPoint(NamedTuple):
    """When to kill: after some seconds, or right before a write to the store (from 1); the other one is None."""

    seconds: float | None = None
    write: int | None = None

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s" if self.seconds is not None else f"write {self.write}"


class Remains(NamedTuple):
    """What a killed run left.

    Attributes:
        last_task: The last one that finished, by its name on Prefect's page.
        texts: Texts embedded.
        images: Images embedded.
        is_published: Whether its results were out already.
        leftovers: Unfinished files and folders, which `coder-eval store gc` collects.
    """

    last_task: str
    texts: int
    images: int
    is_published: bool
    leftovers: int


class KillReport(NamedTuple):
    """One kill and what came after it.

    Attributes:
        point: When it was.
        remains: What it left.
        texts_embedded: Texts embedded by the run after it.
        images_embedded: Images embedded by that run.
        differences: What is not as it would be without the kill.
    """

    point: KillPoint
    remains: Remains
    texts_embedded: int
    images_embedded: int
    differences: list[str]


def draw_points(undisturbed: Undisturbed, seed: int) -> Iterator[KillPoint]:
    """Draw points without end: a time and a write in turns, both uniform over the undisturbed run."""
    generator = np.random.default_rng(seed)
    for number in count():
        if number % 2:
            yield KillPoint(write=int(generator.integers(1, (undisturbed.outcome.writes or 1) + 1)))
        else:
            yield KillPoint(seconds=float(generator.uniform(0, undisturbed.outcome.seconds)))


def kill_and_resume(scene: Scene, name: str, point: KillPoint, undisturbed: Undisturbed) -> KillReport | None:
    """Kill one run, run again, compare; None when the run had ended before it could be killed.

    Args:
        scene: What is run.
        name: Of the store; it must not be there yet.
        point: When to kill.
        undisturbed: What to compare with.
    """
    if not _kill(scene, name, point):
        return None
    store = scene.store(name)
    remains = _read_remains(store, scene.folder / f"{name}.log")
    again = scene.command(name, log=f"{name}-again")
    outcome = StartedRun(again).outcome()
    if outcome.exit_code != 0:
        last_line = again.log.read_text().strip().rpartition("\n")[2]
        problem = f"the run after it ended with {outcome.exit_code}: {last_line}"
        return KillReport(point, remains, texts_embedded=0, images_embedded=0, differences=[problem])
    return _compare(store, point, remains, undisturbed)


def _compare(store: Store, point: KillPoint, remains: Remains, undisturbed: Undisturbed) -> KillReport:
    content = read_content(store)
    images_embedded = count_embedded(content.ledgers, "image_embeddings") - remains.images
    texts_embedded = _texts_embedded_last(store)
    differences = find_differences(content, undisturbed.content) + find_damage(store) + find_repeated(content.ledgers)
    if texts_embedded > undisturbed.texts - remains.texts:
        differences.append(f"{texts_embedded} texts embedded, with {remains.texts} of {undisturbed.texts} in the store")
    if len(content.runs) != 1 + remains.is_published:
        differences.append(f"{len(content.runs)} runs are published")
    return KillReport(point, remains, texts_embedded, images_embedded, differences)


def _kill(scene: Scene, name: str, point: KillPoint) -> bool:
    started = StartedRun(scene.command(name, kill_at_write=point.write))
    if point.seconds is not None:
        started.wait(point.seconds)
        started.kill()
    return started.outcome().is_killed


def _read_remains(store: Store, log: Path) -> Remains:
    ledgers = read_ledgers(store)
    return Remains(
        last_task=(_FINISHED.findall(log.read_text()) or ["none"])[-1],
        texts=count_embedded(ledgers, "text_embeddings"),
        images=count_embedded(ledgers, "image_embeddings"),
        is_published=bool(ResultTables(store).published()),
        leftovers=count_leftovers(store),
    )


def _texts_embedded_last(store: Store) -> int:
    ((texts,),) = Warehouse(store).query("SELECT texts_embedded FROM runs ORDER BY started_at DESC LIMIT 1").rows
    return int(texts)
