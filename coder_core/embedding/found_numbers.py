"""Numbers that were found out about a device, such as how much fits on it: in the user's cache, for later processes.

None of them is part of any key: they say how fast, never what.
"""

import json
import logging
import os
import threading
from pathlib import Path

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "XDG_CACHE_HOME"
CACHE_FOLDER = "coder-eval"


class FoundNumbers:
    """Numbers above 0 by their place, in one file of the cache and in this process.

    Args:
        name: Of the file.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._known: dict[str, int] = {}

    @property
    def file(self) -> Path:
        """Where later processes find them."""
        return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache") / CACHE_FOLDER / self._name

    def get(self, place: str) -> int | None:
        """What this process, or else an earlier one, has found; None where nobody has."""
        return self._known.get(place) or self._written().get(place)

    def put(self, place: str, number: int, *, is_lasting: bool = True) -> None:
        """Keep a number; where it cannot be written down, or is not lasting, later processes find out again."""
        with self._lock:
            self._known[place] = number
            if is_lasting:
                self._write({**self._written(), place: number})

    def forget(self) -> None:
        """Know no more than the file does, as a new process would."""
        with self._lock:
            self._known.clear()

    def _written(self) -> dict[str, int]:
        """What earlier processes have found out; a file that is none says nothing."""
        try:
            found = json.loads(self.file.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {str(place): number for place, number in found.items() if isinstance(number, int) and number > 0}

    def _write(self, known: dict[str, int]) -> None:
        file = self.file
        part = file.with_suffix(f".{os.getpid()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(known, sort_keys=True, indent=1), "utf-8")
            part.replace(file)
        except OSError as error:
            logger.info("%s cannot be written (%s)", file, error.strerror)
