"""Renew `requirements/`: the newest releases that pyproject.toml allows, with the hash of every file of theirs.

Run it by `make lock`. pip takes a requirement with extras and the same one without for two: in its mode with hashes
each must be pinned, or it looks at the newest release and gives up. So what is pinned with extras is pinned without it.
No address of an index is written: pip and uv use the one that they are set up for.
"""

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path("requirements")
COMPILE = (
    *("pip", "compile", "pyproject.toml", str(FOLDER / "build.in"), "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-strip-extras", "--no-header", "--no-annotate", "--quiet"),
)
_WITH_EXTRAS = re.compile(r"^([\w.-]+)\[[^\]]*\](==.*\n(?:    --hash.*\n)+)", re.MULTILINE)


def pin_without_extras(requirements: str) -> str:
    """Repeat every requirement that has extras without them."""
    return _WITH_EXTRAS.sub(lambda match: f"{match[0]}{match[1]}{match[2]}", requirements)


def lock(uv: str, *, upgrade: bool) -> None:
    """Write `dev.txt`, and `run.txt` with the same releases.

    Args:
        uv: The program.
        upgrade: Whether newer releases are looked for.
    """
    complete, smaller = FOLDER / "dev.txt", FOLDER / "run.txt"
    _compile(uv, complete, "--extra", "dev", *(["--upgrade"] if upgrade else []))
    smaller.unlink(missing_ok=True)
    _compile(uv, smaller, "--constraint", str(complete))
    for file in (complete, smaller):
        file.write_text(pin_without_extras(file.read_text("utf-8")), "utf-8")


def _compile(uv: str, target: Path, *options: str) -> None:
    subprocess.run([uv, *COMPILE, *options, "--output-file", str(target)], check=True)  # noqa: S603 - our own words


if __name__ == "__main__":
    lock(str(Path(sys.executable).with_name("uv")), upgrade="--upgrade" in sys.argv)
