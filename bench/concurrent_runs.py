"""Several runs of one evaluation at once on one store, in processes of their own, compared with an undisturbed run.

    python bench/concurrent_runs.py [--runs 2 8 --images 2]

Every run must end with success, and every result table of every run, every ledger row as a reader gets it and every
artifact part must equal those of a run alone. Runs that start together compute some of the same things at the same
time: the report says how much. A ledger may then hold a row in two parts, of which a reader sees one; `store compact`
must leave one, and `store verify` must find no damage before and after it.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from bench.run_processes import StartedRun
from bench.scenes import Scene, Undisturbed, flags_settings, make_scene, prefect_for_runs, run_undisturbed
from bench.store_identity import count_stored, find_damage, find_differences, find_repeated, read_content
from coder_core.care.store_compaction import compact_store


class Together(NamedTuple):
    """How several runs at once ended.

    Attributes:
        seconds: Of each run.
        texts_stored: Rows of text embeddings in all parts, before compaction; more than the texts where runs overlap.
        images_stored: The same for images.
        differences: What is not as if each had been alone.
    """

    seconds: list[float]
    texts_stored: int
    images_stored: int
    differences: list[str]


def run_together(scene: Scene, name: str, runs: int, undisturbed: Undisturbed) -> Together:
    """Start so many runs on one fresh store, wait for all, and compare."""
    started = [StartedRun(scene.command(name, log=f"{name}-{number}")) for number in range(runs)]
    outcomes = [run.outcome() for run in started]
    differences = [f"run {at} ended with {run.exit_code}" for at, run in enumerate(outcomes) if run.exit_code != 0]
    store = scene.store(name)
    content = read_content(store)
    if len(content.runs) != runs:
        differences.append(f"{len(content.runs)} runs are published, expected {runs}")
    differences += find_differences(content, undisturbed.content) + find_damage(store)
    compact_store(store, is_dry_run=False)
    compacted = read_content(store)
    differences += find_differences(compacted, undisturbed.content) + find_damage(store)
    return Together(
        seconds=[run.seconds for run in outcomes],
        texts_stored=count_stored(content.ledgers, "text_embeddings"),
        images_stored=count_stored(content.ledgers, "image_embeddings"),
        differences=differences + find_repeated(compacted.ledgers),
    )


def describe(runs: int, together: Together, undisturbed: Undisturbed) -> str:
    """What is to be told about some runs."""
    told = "\n  ".join(["differences:", *together.differences]) if together.differences else "identical"
    return (
        f"{runs} runs at once: {min(together.seconds):.1f} to {max(together.seconds):.1f} s each; stored "
        f"{together.texts_stored} text rows for {undisturbed.texts} texts and {together.images_stored} image rows for "
        f"{undisturbed.images} images: {told}"
    )


def main() -> int:
    """Read the command line, start a Prefect server, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--images", type=int, default=2, help="images per class")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="concurrent-runs-"))
    has_differences = False
    with prefect_for_runs(folder):
        scene = make_scene(folder, flags_settings(asked.images))
        undisturbed = run_undisturbed(scene)
        print(undisturbed, flush=True)
        for runs in asked.runs:
            together = run_together(scene, f"together-{runs}", runs, undisturbed)
            print(describe(runs, together, undisturbed), flush=True)
            has_differences = has_differences or bool(together.differences)
    if has_differences:
        print(f"the stores are in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
