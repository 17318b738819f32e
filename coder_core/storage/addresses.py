"""Addresses: from a path or URL to a file system that answers, or refuses, within seconds.

A store root and an input are both "any fsspec URL"; this is the one place that opens them. Listings are never cached,
because another process may just have added a part. S3 gets short timeouts and few retries: a wrong endpoint should be
an error on the screen and not a hanging run. File systems are kept per process (a forked worker must not reuse its
parent's connections) and per endpoint.
"""

import functools
import inspect
import os
from pathlib import Path
from typing import Any, NamedTuple

from coder_core.redaction import redact as redact
from coder_core.sealing import open_sealed, seal, unseal

LOCAL_PROTOCOL = "file"
S3_CONNECT_SECONDS = 5
S3_READ_SECONDS = 60
S3_ATTEMPTS = 3
"""How often botocore asks when S3 is busy or silent."""
S3_ROUNDS = 2
"""How often s3fs repeats all of that; its own default of 5 makes a closed port take 10 s."""
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_ACCESS_KEY_ID")
"""What decides where and as whom S3 is asked: another value is another file system."""
OWN_PROTOCOLS = frozenset({"file", "local", "memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "http", "https"})
"""Those whose refusals are known class by class; of the many others, each raises what it likes."""
INSIDE_OTHERS = frozenset(
    {"zip", "tar", "libarchive", "reference", "dir", "cached", "blockcache", "filecache", "simplecache", "generic"}
    | {"asyncwrapper", "async_wrapper", "dask", "data"}
)
"""Views of another file system, or of nothing that can be listed."""
UNPACK = "Unpack or copy it, and name the folder or file."
COPY = "Copy the files to a disk or a bucket (s3://, gs://), and name that."


class UnusableProtocolError(Exception):
    """A protocol that fsspec knows, and that no path or URL of ours can name.

    Args:
        problem: Why.
        remedy: What to do instead.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy


class Address(NamedTuple):
    """A place in a file system: the protocol (`file`, `s3`, `memory`, ...) and the path as that protocol writes it."""

    protocol: str
    path: str

    @property
    def is_local(self) -> bool:
        """Whether the place is on this machine's disk."""
        return self.protocol == LOCAL_PROTOCOL

    def join(self, *names: str) -> "Address":
        """Return the place below this one."""
        return self._replace(path="/".join([self.path.rstrip("/"), *names]))

    def open_filesystem(self) -> Any:
        """Return the fsspec file system that holds this place.

        Raises:
            SealedAddressError: Who may open it, another process was told and not this one.
        """
        if not self.is_local:
            open_sealed(full_url(self))
        identity = tuple(os.environ.get(name, "") for name in ENDPOINT_VARIABLES)
        return _open_filesystem(self.protocol, os.getpid(), identity)


def parse_address(url: str) -> Address:
    """Split a path or URL; a local path becomes absolute, so that it means the same in every worker."""
    url = unseal(url)
    protocol, separator, rest = url.partition("://")
    if not separator:
        return Address(LOCAL_PROTOCOL, _local_path(url))
    if protocol in {"file", "local"}:
        return Address(LOCAL_PROTOCOL, _local_path(rest))
    if protocol in {"http", "https"}:
        return Address(protocol, url)
    return Address("s3" if protocol == "s3a" else protocol, rest.rstrip("/"))


def _local_path(path: str) -> str:
    """Make a path absolute; a `~` of nobody's is a name like others (`Path.expanduser` would raise)."""
    return str(Path(os.path.expanduser(path)).absolute())  # noqa: PTH111


def format_url(address: Address) -> str:
    """Write an address the way a user would: a plain path when it is local, a sealed URL when it is not."""
    return address.path if address.is_local else seal(full_url(address))


def full_url(address: Address) -> str:
    """Write an address with all that it was given with: for what opens it, and for nobody's eyes."""
    if address.is_local or "://" in address.path:
        return address.path
    return f"{address.protocol}://{address.path}"


@functools.lru_cache(maxsize=32)
def _open_filesystem(protocol: str, process_id: int, identity: tuple[str, ...]) -> Any:  # noqa: ARG001 (cache keys)
    import fsspec

    if protocol in INSIDE_OTHERS:
        raise UnusableProtocolError(f"{protocol}:// is a view of something else, which is not read through", UNPACK)
    if protocol != "s3":
        if needed := _needed_arguments(fsspec.get_filesystem_class(protocol)):
            raise UnusableProtocolError(f"{protocol}:// needs more than a URL says ({', '.join(needed)})", COPY)
        return fsspec.filesystem(protocol, use_listings_cache=False)
    endpoint = identity[0] or identity[1] or None
    timeouts = {"connect_timeout": S3_CONNECT_SECONDS, "read_timeout": S3_READ_SECONDS}
    filesystem = fsspec.filesystem(
        "s3",
        endpoint_url=endpoint,
        use_listings_cache=False,
        skip_instance_cache=True,
        config_kwargs=timeouts | {"retries": {"max_attempts": S3_ATTEMPTS, "mode": "standard"}},
    )
    filesystem.retries = S3_ROUNDS
    return filesystem


def _needed_arguments(filesystem: type[Any]) -> list[str]:
    """What a file system must be told before it can be asked for a path."""
    _, *parameters = inspect.signature(filesystem.__init__).parameters.values()
    fixed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [each.name for each in parameters if each.kind in fixed and each.default is inspect.Parameter.empty]
