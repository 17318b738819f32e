"""Hundreds of small runs on one store, most of them disturbed, compared with runs that nobody disturbed.

    python bench/soak.py [--runs 500 --seed 0]

Nine evaluations, with class names of all sorts, take turns at random. Each run draws what happens to it: nothing, a
twentieth of all reads and writes fails, SIGKILL at a time or right before a write, Ctrl-C, proxies in the environment
that lead nowhere, a second run of the same evaluation at the same time, `store compact` before it.

A run that is disturbed may fail, with one line and the exit status of its kind; no output may hold a traceback. In the
end every evaluation runs once more; then every published run must say, row by row, what an undisturbed run in another
store says, no ledger may hold a row less, or twice, and `store verify` must find no damage. Images that could not be
read in time are in `quarantine` of their run: such a run is counted, and is not compared.

Prints a line per kind of disturbance. Ends with 1 on any traceback, wrong exit status or difference, and keeps the
folder. 500 runs take about ten minutes on two cores.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bench.run_processes import Failing, RunCommand, RunOutcome, StartedRun, prepare_processes, run_whole
from bench.store_identity import (
    StoreContent,
    find_damage,
    find_differences,
    find_repeated,
    read_content,
)
from coder_core.care.store_compaction import compact_store
from coder_core.results.warehouse import Warehouse
from coder_core.storage.store import Store
from tests.fixtures_inputs import write_photos, write_tiny_clip, write_world

ENVIRONMENT = {"CODER_DEVICE": "cpu", "CODER_BATCH_SIZE": "16"}
NOWHERE = "http://127.0.0.1:9"
PROXIES = {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "ALL_PROXY": "socks5://127.0.0.1:9", "NO_PROXY": ""}
CLASS_NAMES = (
    ("red kite", "blue tit", "green finch", "wren"),
    ("café crème", "Beef Tartare", "ramen", "007"),
    ("日本語", "עברית", "🦊", "ñandú"),
    ("a; DROP TABLE runs", "o'clock", 'say "hi"', "50% off"),
    ("<script>alert(1)</script>", "[link](x)", "`code`", "a|b"),
    ("-rf", "null", "true", "1e3"),
)
FAIL_SHARE = 0.05
FAILED = frozenset({0, 2, 3, 4})
"""Ended well, or: the config, its encoder, an input or the store could not be read, or the store not written."""


class Evaluation(NamedTuple):
    """One of the evaluations that take turns."""

    name: str
    config: Path
    seconds: float = 0.0


class Soak(NamedTuple):
    """What runs, and where."""

    folder: Path
    evaluations: list[Evaluation]

    @property
    def store(self) -> Path:
        """Where the disturbed runs go."""
        return self.folder / "store"

    def command(self, evaluation: Evaluation, log: str, *, store: str = "store", **changes: Any) -> RunCommand:
        """One run of an evaluation."""
        environment = {**ENVIRONMENT, **changes.pop("environment", {})}
        return RunCommand(evaluation.config, self.folder / store, self.folder / f"{log}.log", environment, **changes)


Disturbance = Callable[[Soak, Evaluation, str, random.Random], list[RunOutcome]]
"""Does one run of an evaluation (its log gets that name) and says how it, and what ran beside it, ended."""


def run_alone(soak: Soak, evaluation: Evaluation, log: str, _: random.Random) -> list[RunOutcome]:
    """Disturbed by nothing."""
    return [StartedRun(soak.command(evaluation, log)).outcome()]


def run_on_bad_disk(soak: Soak, evaluation: Evaluation, log: str, generator: random.Random) -> list[RunOutcome]:
    """A share of all reads and writes of inputs and store fails."""
    failing = Failing(soak.folder, FAIL_SHARE, generator.randrange(2**31))
    return [StartedRun(soak.command(evaluation, log, failing=failing)).outcome()]


def kill_at_time(soak: Soak, evaluation: Evaluation, log: str, generator: random.Random) -> list[RunOutcome]:
    """SIGKILL at some time."""
    return [_signal_at_time(soak.command(evaluation, log), evaluation, generator, signal.SIGKILL)]


def kill_at_write(soak: Soak, evaluation: Evaluation, log: str, generator: random.Random) -> list[RunOutcome]:
    """SIGKILL right before a write."""
    return [StartedRun(soak.command(evaluation, log, kill_at_write=generator.randint(1, 12))).outcome()]


def interrupt(soak: Soak, evaluation: Evaluation, log: str, generator: random.Random) -> list[RunOutcome]:
    """Ctrl-C at some time."""
    return [_signal_at_time(soak.command(evaluation, log), evaluation, generator, signal.SIGINT)]


def run_behind_proxies(soak: Soak, evaluation: Evaluation, log: str, _: random.Random) -> list[RunOutcome]:
    """The environment names proxies that lead nowhere."""
    return [StartedRun(soak.command(evaluation, log, environment=PROXIES)).outcome()]


def run_twice_at_once(soak: Soak, evaluation: Evaluation, log: str, _: random.Random) -> list[RunOutcome]:
    """Two runs at the same time."""
    started = [StartedRun(soak.command(evaluation, f"{log}-{number}")) for number in range(2)]
    return [run.outcome() for run in started]


def run_compacted(soak: Soak, evaluation: Evaluation, log: str, generator: random.Random) -> list[RunOutcome]:
    """The store is compacted before."""
    compact_store(Store(str(soak.store)), is_dry_run=False)
    return run_alone(soak, evaluation, log, generator)


DISTURBANCES: dict[str, tuple[Disturbance, frozenset[int]]] = {
    "nothing": (run_alone, frozenset({0})),
    "5 % of reads and writes fail": (run_on_bad_disk, FAILED),
    "killed at a time": (kill_at_time, frozenset({0, -signal.SIGKILL})),
    "killed before a write": (kill_at_write, frozenset({0, -signal.SIGKILL})),
    "Ctrl-C": (interrupt, frozenset({0, 130, -signal.SIGINT})),  # before a command works, the signal itself
    "proxies that lead nowhere": (run_behind_proxies, frozenset({0})),
    "two at once": (run_twice_at_once, frozenset({0})),
    "compacted before": (run_compacted, frozenset({0})),
}
"""What may happen to a run, and with which statuses it may then end."""


def write_evaluations(folder: Path) -> list[Evaluation]:
    """Write inputs and configs: features of other tools with every part of an evaluation, images with a small model."""
    model = folder / "clip"
    model.mkdir()
    write_tiny_clip(model)
    found = []
    for number, names in enumerate(CLASS_NAMES):
        pairs = [(left, right) for left in names for right in names if left != right]
        world = write_world(folder / f"features-{number}", names, images_per_class=8, pairs=pairs)
        extra = {"methods": ["clip", "clip_ensemble", "vcd", "coder", "coder_rerank"], "ablation": {"draws": 1}}
        found.append(_write_config(folder, f"features.{number}", {**world.settings, **extra}))
    for number, names in enumerate(CLASS_NAMES[:3]):
        photos = write_photos(folder / f"photos-{number}", model, names, images_per_class=3)
        found.append(_write_config(folder, f"photos_{number}", photos.settings))
    return found


def run_undisturbed(soak: Soak) -> tuple[Soak, StoreContent]:
    """Run every evaluation once in a store of its own; gives how long each takes, and what the store says then."""
    timed = []
    for evaluation in soak.evaluations:
        outcome = run_whole(soak.command(evaluation, f"undisturbed-{evaluation.name}", store="undisturbed"))
        timed.append(evaluation._replace(seconds=outcome.seconds))
    return soak._replace(evaluations=timed), read_content(Store(str(soak.folder / "undisturbed")))


def disturb(soak: Soak, runs: int, seed: int) -> list[str]:
    """Do so many disturbed runs, then a clean one of every evaluation; prints as it goes and gives what is wrong."""
    generator = random.Random(seed)  # noqa: S311 - no secret
    statuses: Counter[tuple[str, int]] = Counter()
    problems = []
    for number in range(1, runs + 1):
        name = generator.choice(list(DISTURBANCES))
        evaluation = generator.choice(soak.evaluations)
        run, allowed = DISTURBANCES[name]
        log = f"run-{number}"
        outcomes = run(soak, evaluation, log, generator)
        statuses.update((name, outcome.exit_code) for outcome in outcomes)
        problems += [f"{log}: {line}" for line in _find_problems(soak.folder, log, outcomes, allowed)]
        if number % 50 == 0:
            print(f"{number} runs, {len(problems)} problems", flush=True)
    for evaluation in soak.evaluations:
        run_whole(soak.command(evaluation, f"last-{evaluation.name}"))
    for (name, status), count in sorted(statuses.items()):
        print(f"{count:4d} x {name}: exit {status}")
    return problems


def compare(soak: Soak, expected: StoreContent) -> Iterator[str]:
    """What the disturbed store says otherwise than the other one."""
    store = Store(str(soak.store))
    content = read_content(store)
    names = _names_of_runs(store)
    other = {name: run_id for run_id, name in _names_of_runs(Store(str(soak.folder / "undisturbed"))).items()}
    short = {run_id for run_id, tables in content.runs.items() if tables["quarantine"]}
    print(f"{len(content.runs)} runs are published; {len(short)} name images that could not be read in time")
    for run_id in content.runs.keys() - short:
        wanted = other[names[run_id]]
        one, alone = content._replace(runs={run_id: content.runs[run_id]}), {wanted: expected.runs[wanted]}
        yield from find_differences(one._replace(ledgers={}, artifacts={}), StoreContent(alone, {}, {}))
    compact_store(store, is_dry_run=False)
    content = read_content(store)
    yield from find_repeated(content.ledgers)
    yield from find_damage(store)
    artifacts = {name: parts for name, parts in content.artifacts.items() if name in expected.artifacts or not short}
    (any_run,) = list(expected.runs.items())[:1]
    same = dict([any_run])
    yield from find_differences(StoreContent(same, content.ledgers, artifacts), expected._replace(runs=same))


def _write_config(folder: Path, name: str, settings: dict[str, Any]) -> Evaluation:
    config = folder / f"{name}.yaml"
    config.write_text(yaml.safe_dump({**settings, "name": name}))
    return Evaluation(name, config)


def _signal_at_time(
    command: RunCommand, evaluation: Evaluation, generator: random.Random, number: signal.Signals
) -> RunOutcome:
    started = StartedRun(command)
    started.wait(generator.uniform(0, evaluation.seconds))
    started.kill(number)
    return started.outcome()


def _find_problems(folder: Path, log: str, outcomes: list[RunOutcome], allowed: frozenset[int]) -> Iterator[str]:
    for outcome in outcomes:
        if outcome.exit_code not in allowed:
            yield f"exit {outcome.exit_code}"
    for path in sorted({*folder.glob(f"{log}.log"), *folder.glob(f"{log}-*.log")}):
        if "Traceback (most recent call last)" in path.read_text():
            yield f"a traceback in {path.name}"


def _names_of_runs(store: Store) -> dict[str, str]:
    return dict(Warehouse(store).query("SELECT run_id, name FROM runs").rows)


def main() -> int:
    """Read the command line, run, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    prepare_processes(None, folder / "prefect")
    soak, expected = run_undisturbed(Soak(folder, write_evaluations(folder)))
    problems = [*disturb(soak, asked.runs, asked.seed), *compare(soak, expected)]
    print("\n".join(problems or ["no traceback, nothing lost, nothing twice, every number as undisturbed"]))
    if not problems:
        shutil.rmtree(folder)
        return 0
    print(f"kept: {folder}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
