"""What runs on this machine is spoken to directly, whatever proxy the environment names."""

from collections.abc import MutableMapping

HOSTS = ("127.0.0.1", "localhost", "::1")
VARIABLES = ("no_proxy", "NO_PROXY")
"""Programs read one or the other; where both are set they look at the small letters first."""


def bypass_proxies(environment: MutableMapping[str, str]) -> None:
    """Except this machine from the proxies that an environment names; what it excepts already stays.

    For this process, when it is its environment, and for all that it starts: Prefect's clients, servers and workers.

    Args:
        environment: Changed in place, where it names a proxy at all.
    """
    if not any(name.lower().endswith("_proxy") and name.lower() != "no_proxy" for name in environment):
        return
    given = next((environment[name] for name in VARIABLES if environment.get(name)), "")
    excepted = [host.strip() for host in given.split(",") if host.strip()]
    if "*" in excepted:
        return
    whole = ",".join(dict.fromkeys([*excepted, *HOSTS]))
    environment.update(dict.fromkeys(VARIABLES, whole))
