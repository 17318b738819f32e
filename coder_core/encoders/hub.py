"""Models of the Hugging Face hub: fetched once into its usual cache, and then a folder like any other.

A commit, a tag or a branch names the files; what identifies the model is their content, so a branch that moved on is
another encoder, and a copy of the folder is the same one. Code that comes with a model is never fetched and never run.
"""

import fnmatch
from pathlib import Path
from textwrap import shorten

from coder_core.errors import CheckpointError

WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json")
SETTINGS = ("*.json", "*.txt", "*.model", "*.jinja")
"""Configs and tokenizers; `*.py` is not among them."""


def fetch_folder(name: str, revision: str | None = None, *, patterns: tuple[str, ...] = SETTINGS, place: str) -> Path:
    """The folder in the cache that holds some files of a model.

    Args:
        name: `org/name`.
        revision: A commit, tag or branch; None for the newest.
        patterns: Which files.
        place: What the user has written, for the message.

    Raises:
        CheckpointError: There is no network and no copy, no such model or revision, or no right to read it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
    except (OSError, ValueError, RuntimeError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        version = f" at revision {revision}" if revision else ""
        reason, remedy = _explain(error)
        problem = f"{name!r}{version} could not be fetched from the hub ({reason})."
        raise CheckpointError(problem, place, remedy) from error


def fetch_files(name: str, revision: str | None, *, wanted: tuple[str, ...], place: str) -> Path:
    """Fetch configs and tokenizers, and of the weights the first of some names or patterns that the model has.

    Raises:
        CheckpointError: As `fetch_folder`; or the model has none of these weights.
    """
    for pattern in wanted:
        folder = fetch_folder(name, revision, patterns=(*SETTINGS, pattern), place=place)
        if any(fnmatch.fnmatch(str(path.relative_to(folder)), pattern) for path in folder.rglob("*")):
            return folder
    raise CheckpointError(f"{name!r} holds none of: {', '.join(wanted)}.", place, "Name another model.")


def fetch_file(name: str, wanted: tuple[str, ...], *, place: str) -> Path:
    """Fetch the first of some files that a model has, and nothing else.

    Raises:
        CheckpointError: As `fetch_folder`; or the model has none of them.
    """
    for file in wanted:
        found = fetch_folder(name, patterns=(file,), place=place) / file
        if found.is_file():
            return found
    problem = f"neither the hub's {name!r} nor its copy here has {' or '.join(wanted)}."
    raise CheckpointError(problem, place, "Fetch it where there is a network, and give the file.")


def _explain(error: BaseException) -> tuple[str, str]:
    """What is the matter, and what to do about it."""
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, LocalEntryNotFoundError):
        reason = f"no connection to it{_cause(error)}, and no copy in its cache on this disk"
        return reason, "Fetch it where there is a network (`hf download`) and give the folder."
    if isinstance(error, RevisionNotFoundError):
        return "it has no such revision", "Name one of the model's commits, tags or branches."
    if isinstance(error, RepositoryNotFoundError):  # a model that one may not read looks the same from outside
        reason = "there is no such model, or it is not yours to read"
        return reason, "Check the name; of a gated or private model, accept its terms and log in (`hf auth login`)."
    remedy = "Check the name, or fetch it where there is a network (`hf download`) and give the folder."
    return _first_line(error), remedy


def _cause(error: BaseException) -> str:
    """What came instead of an answer; nothing where nobody was asked, because the client is told to stay offline."""
    cause = error.__cause__
    return f": {_first_line(cause)}" if cause is not None and type(cause).__name__ != "OfflineModeIsEnabled" else ""


def _first_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {shorten(text, 200, placeholder='...')}" if text else type(error).__name__
