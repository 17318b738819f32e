"""Config files that a command writes for a person: whole with what belongs to them, and never over a person's edits."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coder_core.fingerprint import content_hash
from coder_core.storage.output_file import write_file
from coder_core.texts.bank_file import dump_yaml

_BESIDE = re.compile(r"^\s*(?:bank|split_file): (\S+-(?:texts\.yaml|split\.json))$", re.MULTILINE)
"""Where a config names what was written beside it."""


def render_config(settings: Mapping[str, Any], path: Path, files: Mapping[Path, str]) -> str:
    """Write settings as YAML under a line that says who wrote them, and by which a later edit is noticed.

    Args:
        settings: Of an evaluation, in the order in which they shall stand.
        path: Where the config will be.
        files: What is written beside it and belongs to it.
    """
    body = dump_yaml(dict(settings), str(path))
    return f"{_head(path, body, files)}\n{body}"


def is_as_written(path: Path) -> bool:
    """Whether a config, and what was written beside it, is as it was left here: then nothing of a person is in it."""
    try:
        head, _, body = path.read_text("utf-8").partition("\n")
        files = {path.parent / name: (path.parent / name).read_text("utf-8") for name in _BESIDE.findall(body)}
    except (OSError, UnicodeDecodeError):
        return False
    return head == _head(path, body, files)


def _head(path: Path, body: str, files: Mapping[Path, str]) -> str:
    """The first line of a config, which tells whether the rest was edited."""
    written = content_hash("\0".join([body, *(files[file] for file in sorted(files))]).encode("utf-8"))[:12]
    edit = "edit it freely (docs/configuration.md)"
    return f"# Written by coder-eval ({written}); {edit}. Run it: coder-eval run {path.name}"


@contextmanager
def all_or_nothing(*, is_forced: bool) -> Iterator[Callable[[Path, str], None]]:
    """Write files that belong together; what was written is taken back where something goes wrong before the last."""
    before: dict[Path, bytes | None] = {}

    def write(file: Path, content: str) -> None:
        held = file.read_bytes() if file.is_file() else None
        write_file(file, content, replaces_other=is_forced)
        before[file] = held

    try:
        yield write
    except BaseException:  # a Ctrl-C as well
        for file, held in before.items():
            if held is None:
                file.unlink(missing_ok=True)
            else:
                write_file(file, held)
        raise
