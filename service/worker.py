"""Prefect's worker as `serve` starts it: `python -m service.worker`, in place of `prefect worker`.

The same command; but a run that waits for its slot is told of once. For a worker that is typed, the plug-in does that
(service/plugin.py); here it is not loaded, because every run would load it, too.
"""

import signal
import sys

from service.waiting_runs import quieten_waiting_runs


def main() -> None:
    """Work until SIGTERM or Ctrl-C."""
    quieten_waiting_runs()
    # To end, Prefect's worker sends itself SIGINT, to which it is deaf where a script has started `serve` with `&`.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv[:1] = ["prefect", "worker"]
    from prefect.cli import app

    app()


if __name__ == "__main__":
    main()
