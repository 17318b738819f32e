"""Images in tar shards: `000.jpg` and `000.cls` are an image and its label, as webdataset has it.

Shards are looked at once per process and state; their images are read later by their place, without unpacking. The
layout of clip_benchmark is known: `classnames.txt` beside the shards names the classes.
"""

from functools import lru_cache
from pathlib import PurePosixPath

from coder_core.errors import DatasetError, InputError
from coder_core.images.decoding import MAX_BYTES, too_many_bytes
from coder_core.images.formats import has_image_suffix
from coder_core.images.image_files import shown_location
from coder_core.images.labelled_rows import Label, LabelledRows, as_label
from coder_core.loops import each
from coder_core.specs import TarDataset
from coder_core.storage.bounded_json import parse_json
from coder_core.storage.ignored_files import IgnoredFiles
from coder_core.storage.input_files import InputFile, read_input
from coder_core.storage.input_search import find_inputs
from coder_core.storage.packed_images import range_location, read_image
from coder_core.storage.tar_members import TarMember, list_members

CLASS_NAMES_FILE = "classnames.txt"
MAX_LABEL_BYTES = 2**20
KEPT_SHARDS = 4096


def list_shards(dataset: TarDataset) -> LabelledRows:
    """List the images of tar shards, and read their labels.

    Raises:
        InputError: There is no such shard, it is no tar file, or it is cut off.
        DatasetError: An image has no label.
    """
    ignored, found = IgnoredFiles(), LabelledRows([], [], None, IgnoredFiles())
    for shard in each(_shards(dataset.path, ignored)):
        files, labels = _shard_rows(shard, dataset.label)
        found.files.extend(files)
        found.labels.extend(labels)
    return found._replace(names=_class_names(dataset.path), ignored=ignored)


def _shards(path: str, ignored: IgnoredFiles) -> list[InputFile]:
    search, shards = find_inputs(path), []
    for file in search.files:
        if file.name.endswith(".tar") or search.is_file:
            if file.problem:
                raise InputError(f"{file.problem}.", shown_location(file), "Mend it, or name other shards.")
            shards.append(file)
        elif PurePosixPath(file.name).name != CLASS_NAMES_FILE:
            ignored.add("suffix", shown_location(file), "no tar shard")
    if not shards:
        raise DatasetError("there is no tar shard.", path, "Name .tar files, a folder of them, or a pattern.")
    return sorted(shards, key=lambda shard: shard.name)


@lru_cache(maxsize=KEPT_SHARDS)
def _shard_rows(shard: InputFile, label: str) -> tuple[list[InputFile], list[Label]]:
    by_name: dict[str, dict[str, TarMember]] = {}
    for member in list_members(shard.url):
        name, suffix = _split(member.name)
        by_name.setdefault(name, {})[suffix] = member
    files, labels = [], []
    for name, parts in by_name.items():
        images = [suffix for suffix in parts if has_image_suffix(f"x.{suffix}")]
        for suffix in images:
            files.append(_file(shard, parts[suffix]))
            labels.append(_label(shard, name, parts, label))
    return files, labels


def _split(name: str) -> tuple[str, str]:
    """At the first dot of the last part, as webdataset does: what stands behind it says what the file is."""
    folder, slash, last = name.rpartition("/")
    stem, _, suffix = last.partition(".")
    return f"{folder}{slash}{stem}", suffix.lower()


def _file(shard: InputFile, member: TarMember) -> InputFile:
    location = range_location(shard.url, member.start, member.size)
    problem = too_many_bytes(member.size) if member.size > MAX_BYTES else None
    name = f"{shard.name}/{member.name.removeprefix('./')}"
    return InputFile(location, name, member.size, f"{shard.token} {member.start}+{member.size}", problem)


def _label(shard: InputFile, name: str, parts: dict[str, TarMember], label: str) -> Label:
    suffix, _, key = label.partition(".")
    member = parts.get(suffix.lower())
    place = f"{shown_location(shard)}: {name}"
    if member is None:
        beside = ", ".join(sorted(parts))
        problem = f"this image has no label: no {suffix!r} beside {beside}."
        raise DatasetError(problem, place, "Say in dataset.label what holds it: cls, txt, json.<key>.")
    if member.size > MAX_LABEL_BYTES:
        raise DatasetError(f"its label has {member.size} bytes.", place, "Name the file of the label in dataset.label.")
    return _read_label(read_image(range_location(shard.url, member.start, member.size)), key, place)


def _read_label(content: bytes, key: str, place: str) -> Label:
    try:
        text = content.decode("utf-8")
        found = parse_json(text)[key] if key else text
    except (ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DatasetError(f"its label cannot be read ({reason}).", place, "Check dataset.label.") from error
    if isinstance(found, bool) or not isinstance(found, int | str) or found == "":
        raise DatasetError(f"its label is {found!r}.", place, "Labels are whole numbers or words.")
    return found if isinstance(found, int) else as_label(found)


def _class_names(path: str) -> tuple[str, ...] | None:
    """What `classnames.txt` beside the shards says, or in the folder above (clip_benchmark: `test/0.tar`)."""
    folder = path if not path.endswith(".tar") else path.rpartition("/")[0]
    for place in (folder, folder.rstrip("/").rpartition("/")[0]):
        try:
            lines = read_input(f"{place}/{CLASS_NAMES_FILE}", max_bytes=MAX_LABEL_BYTES).decode("utf-8").splitlines()
        except (InputError, UnicodeDecodeError):
            continue
        return tuple(line.strip() for line in lines if line.strip())
    return None
