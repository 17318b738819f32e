"""Kill the whole flow at random points with SIGKILL, run again once, and compare with an undisturbed run.

    python bench/kill_resume.py [--kills 50 --seed 0 --images 2 --task-runner threads]

One evaluation of the embedded flags with everything on: rerank with a chosen threshold, controls, ablation, few-shot,
the explicit matrix. Half of the kills come at a time that is uniform over the undisturbed run, half right before a
write to the store that is uniform over its writes (a file opened, renamed, linked or removed). After every kill one
clean run on that store; then every result table, ledger row and artifact part must equal those of the undisturbed run
(`store_identity` names the few columns that are left out, and why), `store verify` must find no damage, no ledger may
hold a row twice, and no text may be embedded again that was in the store.

Prints a line per kill: the point, the last finished task, texts and images that the store held at that moment, texts
and images embedded by the run after it, and differences. Ends with 1 on any difference and keeps the stores that
differ. Fifty kills take about a quarter of an hour on two cores. On `dask` and `ray`, whose clusters each run starts
anew, it is the run's own process group that is killed, and writes are counted there; one worker alone is killed by
tests/flows/test_lost_workers.py.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench.killed_runs import KillReport, draw_points, kill_and_resume
from bench.scenes import Scene, Undisturbed, flags_settings, make_scene, prefect_for_runs, run_undisturbed
from bench.store_identity import describe_left_out


def measure(scene: Scene, kills: int, seed: int) -> list[KillReport]:
    """Kill and resume so often, each time in a fresh store; prints as it goes."""
    started = time.monotonic()
    undisturbed = run_undisturbed(scene)
    print(f"{undisturbed}\nnot compared: {describe_left_out()}", flush=True)
    reports: list[KillReport] = []
    points = draw_points(undisturbed, seed)
    while len(reports) < kills:
        name = f"kill-{len(reports) + 1}"
        report = kill_and_resume(scene, name, next(points), undisturbed)
        if report is not None:
            reports.append(report)
            print(f"{len(reports):3} {describe(report)}", flush=True)
        if report is None or not report.differences:
            shutil.rmtree(scene.folder / name)
    print(summarise(reports, undisturbed))
    print(f"{time.monotonic() - started:.0f} s in all")
    return reports


def describe(report: KillReport) -> str:
    """One line about one kill."""
    remains = report.remains
    return (
        f"killed at {report.point!s:>9} after {remains.last_task:33.33} with {remains.texts:4} texts "
        f"{remains.images:3} images{' and results' if remains.is_published else ''}; "
        f"then {report.texts_embedded:4} {report.images_embedded:3}, {remains.leftovers} leftovers: "
        f"{'; '.join(report.differences) or 'identical'}"
    )


def summarise(reports: list[KillReport], undisturbed: Undisturbed) -> str:
    """The kills together."""
    resumed = sum(report.remains.texts + report.remains.images > 0 for report in reports)
    spared = statistics.mean(report.remains.texts for report in reports) / undisturbed.texts
    return (
        f"{len(reports)} kills after {len({report.remains.last_task for report in reports})} different tasks: "
        f"{sum(not report.differences for report in reports)} identical, "
        f"{sum(bool(report.differences) for report in reports)} with differences; {resumed} found embeddings in the "
        f"store ({spared:.0%} of the texts on average), {sum(report.remains.is_published for report in reports)} had "
        f"published, {sum(report.remains.leftovers > 0 for report in reports)} left unfinished files"
    )


def main() -> int:
    """Read the command line, start a Prefect server, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=2, help="images per class")
    parser.add_argument("--task-runner", choices=("threads", "dask", "ray"), default="threads")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kill-resume-"))
    with prefect_for_runs(folder):
        scene = make_scene(folder, flags_settings(asked.images), CODER_TASK_RUNNER=asked.task_runner)
        reports = measure(scene, asked.kills, asked.seed)
    if any(report.differences for report in reports):
        print(f"the stores that differ are in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
