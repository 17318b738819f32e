"""One door for every kind of class list: file, folder, query. What comes out has settled and is a valid list."""

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from coder_core.class_source.class_tables import parse_parquet_classes
from coder_core.class_source.entries import ClassEntry, build_class_list
from coder_core.class_source.settings import ClassFile, ClassFolder, ClassQuery
from coder_core.class_source.settling import Look, settle
from coder_core.class_source.structured_formats import parse_json_classes, parse_jsonl_classes, parse_yaml_classes
from coder_core.class_source.text_formats import parse_csv, parse_lines, parse_tsv
from coder_core.classes import ClassList
from coder_core.errors import InputError
from coder_core.fingerprint import content_hash, key_of
from coder_core.locations import open_location
from coder_core.storage.addresses import redact
from coder_core.storage.input_files import InputFile, read_input, read_input_state
from coder_core.storage.input_names import is_printable, printable, why_nobodys_data
from coder_core.storage.input_walk import EMPTY_FOLDER, FOLDER_MARKER, walk_input

SETTLE_SECONDS = 2.0
"""Where no runtime says how long: longer than an editor or a copy of a list of names takes."""

MAX_LIST_BYTES = 64 * 2**20
"""A million names have 20 MB."""

PARSERS: Mapping[str, Callable[[bytes, str], list[ClassEntry]]] = {
    **dict.fromkeys(("", ".txt", ".names", ".list", ".lst", ".labels"), parse_lines),
    ".csv": parse_csv,
    ".tsv": parse_tsv,
    ".parquet": parse_parquet_classes,
    ".json": parse_json_classes,
    **dict.fromkeys((".jsonl", ".ndjson"), parse_jsonl_classes),
    **dict.fromkeys((".yaml", ".yml"), parse_yaml_classes),
}
"""Suffix -> what reads a class list with it."""


def read_class_source(
    source: ClassFile | ClassFolder | ClassQuery, *, settle_seconds: float = SETTLE_SECONDS
) -> ClassList:
    """Read a class list when it has stopped changing.

    Args:
        source: Where it is.
        settle_seconds: How long two looks must agree.

    Returns:
        Classes in the order of the file; of folders and queries, by name.

    Raises:
        UnfinishedInputError: It is half written, or did not stop changing.
        InputError: It is missing, empty, not UTF-8, of a format that is not read, or names a class twice (both places
            are told).
        QueryError: The SQL is wrong, or does more than read.
    """
    place = name_source(source)
    entries = settle(lambda: _look(source, place), settle_seconds=settle_seconds, place=place)
    return build_class_list(entries, place)


def name_source(source: ClassFile | ClassFolder | ClassQuery) -> str:
    """Name a source in a message."""
    return "dataset.classes.sql" if isinstance(source, ClassQuery) else redact(source.path)


def _look(source: ClassFile | ClassFolder | ClassQuery, place: str) -> Look[list[ClassEntry]]:
    if isinstance(source, ClassFile):
        return _look_at_file(source, place)
    if isinstance(source, ClassFolder):
        return _look_at_folder(source)
    from coder_core.class_source.class_query import query_classes  # DuckDB is loaded where a query is asked

    found = query_classes(source.sql, tables=source.tables, database=source.database)
    entries = sorted(ClassEntry(row.name, row.stable_id, row.place) for row in found.rows)
    return Look(key_of([found.state, entries]), entries)


def _look_at_file(source: ClassFile, place: str) -> Look[list[ClassEntry]]:
    parse = _parser_of(source.path, place)
    location = open_location(source.path)
    before = read_input_state(location)
    content = read_input(location, max_bytes=MAX_LIST_BYTES)
    state = key_of([before, read_input_state(location), content_hash(content)])
    return Look(state, parse(content, place))


def _parser_of(path: str, place: str) -> Callable[[bytes, str], list[ClassEntry]]:
    """Choose by suffix; content is never guessed at."""
    file_name = (path.partition("?")[0] if "://" in path else path).rpartition("/")[2]
    suffix = PurePosixPath(file_name).suffix.lower()
    if suffix not in PARSERS:
        known = ", ".join(sorted(filter(None, PARSERS)))
        raise InputError(f"class lists with the suffix {suffix!r} are not read.", place, f"Save it as one of {known}.")
    return PARSERS[suffix]


def _look_at_folder(source: ClassFolder) -> Look[list[ClassEntry]]:
    files = sorted(filter(_is_in_a_class, walk_input(source.path)))
    for file in files:
        if not is_printable(file.name):
            raise InputError("the name is not UTF-8.", printable(file.url), "Rename it.")
        if file.name.endswith("/"):
            raise InputError(f"{file.problem}.", redact(file.url), "Mend it, or move it away.")
    names = sorted({file.name.partition("/")[0] for file in files})
    state = key_of([[file.name, file.size, file.token] for file in files])
    return Look(state, [ClassEntry(name.strip(), None, f"folder {name!r}") for name in names])


def _is_in_a_class(file: InputFile) -> bool:
    if "/" not in file.name or file.problem in (EMPTY_FOLDER, FOLDER_MARKER):
        return False
    return not is_printable(file.name) or why_nobodys_data(file.name) is None
