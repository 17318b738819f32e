"""One Ctrl-C at every step of the recipe, in a terminal: seconds, exit status, processes left, rows lost.

    python bench/ctrl_c.py [--engine inline]

An evaluation with everything on and few images is stopped as soon as a step says that it computes; the next start, on
the same store, is stopped at the next step, and so on; the last one runs to its end. What the store says then is
compared with an undisturbed run's, row by row. Other commands run whole once, and are then stopped half way. At the end
`texts generate` is stopped in the middle of 40 questions, by Ctrl-C, SIGTERM and SIGKILL: what had been answered and is
not stored is lost.

Prints a table in Markdown. Ends with 1 where something outlives a command, a row is lost or twice, or an exit status is
not the signal's.
"""

import argparse
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bench.scenes import flags_settings
from bench.store_identity import (
    count_embedded,
    find_damage,
    find_differences,
    find_repeated,
    read_content,
    read_ledgers,
)
from bench.terminal import CTRL_C, Ended, Terminal
from coder_core.demo.flag_images import render_flags
from coder_core.storage.store import Store
from tests.coder_core.atg.llm_server import LlmServer, serving
from tests.fixtures_inputs import write_photos, write_tiny_clip

COMPUTES = re.compile(r"([\w-]+): computing")
QUESTIONS = 40
KINDS = ["attribute", "analogous_class"]
CALLS_AT_ONCE = 4
ANSWER_SECONDS = 0.4
Keys = bytes | signal.Signals


class Stopped(NamedTuple):
    """One stop."""

    where: str
    by: str
    ended: Ended | None
    lost: str

    def __str__(self) -> str:
        if self.ended is None or not self.ended.status:
            return f"| {self.where} | {self.by} | it had ended | | | |"
        seconds, left = f"{self.ended.seconds:.1f}", len(self.ended.left)
        return f"| {self.where} | {self.by} | {seconds} | {self.ended.status} | {left} | {self.lost} |"


def environment(home: Path, **settings: str) -> dict[str, str]:
    """A user's, without a server of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "CODER_"))}
    return {**kept, "PREFECT_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "500", "CODER_DEVICE": "cpu", **settings}


def stop_at_every_step(folder: Path, engine: str) -> tuple[list[Stopped], list[str]]:
    """Stop a run at every step, let the last start end, and compare; gives the stops and the differences."""
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(flags_settings(2)))
    own = environment(folder / "prefect")

    def start(store: str) -> Terminal:
        return Terminal(("run", str(config), "--engine", engine, "--store", str(folder / store)), own)

    undisturbed = start("undisturbed")
    if status := undisturbed.end():
        raise RuntimeError(f"the undisturbed run ended with {status}:\n{undisturbed.told[-2000:]}")
    stops = []
    for step in dict.fromkeys(COMPUTES.findall(undisturbed.told)):
        before = _rows(folder / "stopped")
        run = start("stopped")
        if not run.wait_for(f"{step}: computing"):
            run.end()
            stops.append(Stopped(step, "Ctrl-C", None, ""))
            continue
        ended = run.stop(CTRL_C)
        stops.append(Stopped(step, "Ctrl-C", ended, str(max(0, before - _rows(folder / "stopped")))))
        print(stops[-1], flush=True)
    last = start("stopped")
    status = last.end()
    found, expected = (read_content(Store(str(folder / name))) for name in ("stopped", "undisturbed"))
    differences = find_differences(found, expected) + find_repeated(found.ledgers)
    differences += find_damage(Store(str(folder / "stopped")))
    return stops, differences + ([f"the last start ended with {status}"] if status else [])


def _rows(store: Path) -> int:
    """Ledger rows of a store, by key."""
    return sum(len(content.rows) for content in read_ledgers(Store(str(store))).values()) if store.exists() else 0


def stop_commands(folder: Path, engine: str) -> list[Stopped]:
    """Stop every other command half way: the middle between its start and the end of the same command undisturbed."""
    config, store = str(folder / "config.yaml"), str(folder / "undisturbed")
    image = folder / "image.png"
    image.write_bytes(next(render_flags(1, seed=9)).content)
    exported = str(folder / "exported")
    own = environment(folder / "prefect")
    commands: dict[str, tuple[str, ...]] = {
        "check": ("check", config),
        "doctor": ("doctor", config),
        "query": ("query", "SELECT count(*) FROM predictions, range(30000)"),
        "report": ("report", "--output", str(folder / "report.html")),
        "export": ("export", "latest", exported, "--force"),
        "predict RUN": ("predict", "latest", str(image), "--engine", engine),
        "predict FOLDER": ("predict", exported, str(image)),
        "ablation": ("ablation", "latest"),
        "warehouse": ("warehouse", "--output", str(folder / "w.duckdb"), "--force"),
        "sweep": ("sweep", "--datasets", config, "--models", "demo:micro-clip", "--again", "--engine", engine),
        "store verify": ("store", "verify"),
    }
    stops = []
    for name, words in commands.items():
        given = words if name == "predict FOLDER" else (*words, "--store", store)
        started = time.monotonic()
        whole = Terminal(given, own)
        if status := whole.end():
            raise RuntimeError(f"{name} ended with {status}:\n{whole.told[-2000:]}")
        half = (time.monotonic() - started) / 2
        stopped, started = Terminal(given, own), time.monotonic()
        stopped.wait_until(lambda since=started, until=half: time.monotonic() - since > until)  # type: ignore[misc]
        stops.append(Stopped(f"`{name}`", "Ctrl-C", stopped.stop(CTRL_C), "0"))
        print(stops[-1], flush=True)
    return stops


def stop_generation(folder: Path, checkpoint: Path, by: str, key: Keys) -> Stopped:
    """Stop `texts generate` after half of its questions have been answered."""
    folder.mkdir()
    photos = write_photos(
        folder / "photos", checkpoint, [f"bird {number}" for number in range(QUESTIONS // len(KINDS))]
    )
    generator = {"model": "test-model", "kinds": KINDS, "max_similarity": 1.0}
    settings: Mapping[str, Any] = {**photos.settings, "texts": {"generator": generator, "domain": "bird"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(dict(settings)))
    with serving(LlmServer(delay_seconds=ANSWER_SECONDS)) as server:
        llm = {"OPENAI_API_KEY": "sk-not-checked", "CODER_LLM_BASE_URL": server.url}
        own = environment(folder / "prefect", **llm, CODER_LLM_CONCURRENCY=str(CALLS_AT_ONCE))
        store = str(folder / "store")
        run = Terminal(("texts", "generate", str(folder / "config.yaml"), "--store", store), own)
        if not run.wait_until(lambda: len(server.calls) >= QUESTIONS // 2):
            raise RuntimeError(run.told)
        ended = run.stop(key)
        answered = sum(server.good.values())
    stored = count_embedded(read_ledgers(Store(store)), "completions")
    return Stopped("`texts generate`", by, ended, f"{answered - stored} of {answered} answers")


def is_sound(stop: Stopped, status: int) -> bool:
    """Whether a stop was as it has to be."""
    return stop.ended is None or (stop.ended.status in (0, status) and not stop.ended.left)


def main() -> int:
    """Stop, print, and tell whether all was well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["inline", "prefect"], default="inline")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ctrl-c-") as name:
        folder = Path(name)
        print("| step | stopped by | seconds | exit status | processes left | rows lost |\n|---|---|---|---|---|---|")
        stops, differences = stop_at_every_step(folder, asked.engine)
        is_well = all(is_sound(stop, 130) for stop in stops) and not differences
        print(f"\nThe last start, against an undisturbed run: {'; '.join(differences) or 'every row the same'}.\n")
        others = stop_commands(folder, asked.engine)
        is_well = is_well and all(is_sound(stop, 130) for stop in others)
        (folder / "clip").mkdir()
        checkpoint = write_tiny_clip(folder / "clip")
        keys: dict[str, tuple[Keys, int]] = {
            "Ctrl-C": (CTRL_C, 130),
            "SIGTERM": (signal.SIGTERM, 143),
            "SIGKILL": (signal.SIGKILL, -9),
        }
        for by, (key, status) in keys.items():
            stop = stop_generation(folder / by, checkpoint, by, key)
            print(stop, flush=True)
            is_well = is_well and is_sound(stop, status)
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
