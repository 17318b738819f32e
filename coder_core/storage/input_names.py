"""Names of files and folders that are nobody's data, and names that cannot be written down.

A NAS puts its own thumbnails beside the photographs, systems their waste baskets, editors their checkpoints. Taken for
data, `@eaDir` would be a class and every thumbnail a second photograph.
"""

import re

SERVICE_FOLDERS = frozenset(
    name.casefold()
    for name in (
        # Synology, QNAP, other network disks
        *("@eaDir", "@tmp", "@Recycle", "@Recently-Snapshot", ".@__thumb", ".@upload_cache", "#recycle", "#snapshot"),
        *(".snapshot", "~snapshot", ".zfs", ".recycle", ".wdmc", "TheVolumeSettingsFolder", "TheFindByContentFolder"),
        # Windows
        *("$RECYCLE.BIN", "System Volume Information", "$AV_ASW", "$WinREAgent", "$Extend", "$SysReset", "$GetCurrent"),
        *("$Windows.~BT", "$Windows.~WS", "MSOCache", "OneDriveTemp", "VTRoot"),
        # macOS
        *(".Trash", ".Trashes", ".Spotlight-V100", ".fseventsd", ".TemporaryItems", ".DocumentRevisions-V100"),
        *(".AppleDouble", ".AppleDB", ".AppleDesktop", "Network Trash Folder", "Temporary Items", "__MACOSX"),
        # Linux, tools
        *("lost+found", ".thumbnails", ".ipynb_checkpoints", "__pycache__", ".git", ".svn", ".hg", ".dvc"),
    )
)
"""Folders that a network disk, an operating system or a tool keeps for itself, in any case."""

_SERVICE_PATTERN = re.compile(r"@\w|#(?:syno|snapshot|.*recycle)|found\.\d{3}$", re.IGNORECASE)
"""Network disks keep what begins with `@` for themselves (`@docker`, `@sharesnap`); Windows numbers its repairs."""
_SHOUTED = frozenset({"RECYCLER", "RECYCLED", "Recycled"})
"""Waste baskets of old Windows; in lower case these are words, and may be classes."""


def is_service_folder(name: str) -> bool:
    """Whether a folder of this name is kept by a network disk, an operating system or a tool for itself."""
    return name.casefold() in SERVICE_FOLDERS or name in _SHOUTED or _SERVICE_PATTERN.match(name) is not None


def why_nobodys_data(name: str) -> str | None:
    """Say why a path below a data set's root is no data, whatever it holds; None where nothing speaks against it.

    Args:
        name: A relative path with `/` between its parts; that of a folder ends in `/`.
    """
    if not is_printable(name):
        return "the name is not UTF-8: rename it"
    for folder in name.split("/")[:-1]:
        if is_service_folder(folder):
            return f"in {folder!r}, a folder that a disk, a system or a tool keeps for itself"
    if name.startswith(".") or "/." in name:
        return "hidden: its name, or that of a folder that it lies in, begins with a dot"
    return "a part of its path is empty" if name.startswith("/") or "//" in name else None


def is_printable(name: str) -> bool:
    """Whether a name can be written down: names on a disk are bytes, and not all of them are UTF-8."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def printable(name: str) -> str:
    r"""Write a name so that it can be shown and stored: a byte that is not UTF-8 becomes `\xe9`."""
    if is_printable(name):
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
