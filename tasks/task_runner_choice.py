"""Whether the task runner that a run asks for can work here: asked before anything is started, Prefect included."""

import re
from importlib.util import find_spec

from coder_core.errors import ConfigError
from coder_core.sealing import unseal
from coder_core.specs import Runtime

PLACE = "CODER_TASK_RUNNER (runtime.task_runner)"
ADDRESS_PLACE = "CODER_TASK_RUNNER_ADDRESS (runtime.task_runner_address)"
PACKAGES = {"dask": "prefect_dask", "ray": "prefect_ray"}
"""By task runner, which is also the name of the extra that brings the package."""

EXAMPLES = {"dask": "tcp://host:8786", "ray": "host:6379"}
_ADDRESS = re.compile(r"(?:[a-z]+://)?[^\s/]+:[0-9]{1,5}/?")
"""Of a scheduler or a head node."""


def check_task_runner(runtime: Runtime) -> None:
    """Refuse at the door what cannot work; starts and imports nothing.

    Raises:
        ConfigError: Its package is not installed, or it does not go with the store or the address.
    """
    name = runtime.task_runner
    if name == "threads":
        if runtime.task_runner_address is not None:
            problem = f"{runtime.task_runner_address!r} names a cluster, but task_runner is 'threads'."
            raise ConfigError(problem, ADDRESS_PLACE, "Set task_runner to dask or ray, or drop the address.")
        return
    if find_spec(PACKAGES[name]) is None:
        problem = f"{name!r} needs the package {PACKAGES[name].replace('_', '-')}, which is not installed."
        raise ConfigError(problem, PLACE, f"pip install -e '.[{name}]'")
    address = runtime.task_runner_address
    if address is not None and not _ADDRESS.fullmatch(unseal(address)):
        problem = "this is no address of a cluster, which ends in :<port>."
        raise ConfigError(problem, f"{ADDRESS_PLACE}: {address}", f"Write it like {EXAMPLES[name]}.")
    if runtime.store.startswith("memory:"):
        problem = f"{name!r} works in other processes, and the store {runtime.store!r} is in the memory of this one."
        raise ConfigError(problem, PLACE, "Use a folder or a URL that every worker reaches, or task_runner threads.")
