"""A Dask cluster of Slurm jobs, and one run on it; typed where jobs are submitted, with what `coder-eval run` takes.

    PREFECT_API_URL=http://head:4200/api CODER_STORE=/shared/store python deploy/slurm.py configs/dtd.yaml

Needs dask-jobqueue beside the extra `dask`, the project at the same place on every node, and a Prefect server that the
nodes reach. Change JOB and JOBS to what your cluster has: they are what `#SBATCH` lines are made of.
"""

import os
import subprocess
import sys
from typing import Any

JOBS = 8
JOB: dict[str, Any] = {
    "walltime": "04:00:00",
    "queue": "gpu",
    # One process of one thread per job and accelerator: a task at a time, and its model is loaded once.
    "cores": 1,
    "processes": 1,
    "job_cpu": 8,
    "memory": "32GB",
    "job_extra_directives": ["--gpus=1"],
    # Tasks that run a model go to workers that say they have one; each worker sees its own job's device.
    "worker_extra_args": ["--resources", "GPU=1"],
    "job_script_prologue": ["export DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false"],
    "log_directory": "slurm-logs",
}
RUN = {"CODER_TASK_RUNNER": "dask", "CODER_WORKERS": str(JOB["job_cpu"])}
"""CODER_WORKERS: how many threads of a task read and decode images."""


def main() -> int:
    """Submit the jobs, wait for the first that starts, run, and cancel them; gives the run's exit status."""
    import prefect  # noqa: F401 - the scheduler, whose loop runs here, meets it in tasks, and there it cannot start its plugins
    from dask_jobqueue import SLURMCluster
    from distributed import Client

    scheduler = {"dashboard": False, "dashboard_address": ":0"}
    with SLURMCluster(**JOB, python=sys.executable, scheduler_options=scheduler) as cluster, Client(cluster) as client:
        cluster.scale(jobs=JOBS)
        sys.stderr.write(f"{JOBS} jobs submitted; the run begins when Slurm has started the first (squeue).\n")
        client.wait_for_workers(1)  # the others join when Slurm starts them
        where = {"CODER_TASK_RUNNER_ADDRESS": cluster.scheduler_address}
        return subprocess.call(  # noqa: S603 - our own command with what was typed
            [sys.executable, "-m", "flows.program", "run", *sys.argv[1:]], env={**os.environ, **RUN, **where}
        )


if __name__ == "__main__":
    sys.exit(main())
