"""Verification: every manifest, every part and every hash of a store, read in blocks and a few files at a time.

One listing tells what there is; memory grows with the number of files (about 500 bytes each) and not with their size.
A store in use changes meanwhile: what looks damaged is looked at once more, and what was compacted, moved or collected
since it was listed is no problem. Finding changes nothing; `repair` moves damage aside (`repairing`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from coder_core.care.file_roles import Layout, has_manifest, has_row, read_layout
from coder_core.care.findings import Checked, Finding, Verification
from coder_core.counted import counted
from coder_core.results.catalog import Catalog, read_catalog
from coder_core.results.generations import MergedFile, is_sound, newest_generation
from coder_core.results.result_paths import TABLES_FOLDER, generation_path, parse_run_file
from coder_core.results.run_records import RunRecord
from coder_core.storage.damaged_files import FOLDER as DAMAGED
from coder_core.storage.file_infos import StoredFile
from coder_core.storage.ledger_damage import part_hash
from coder_core.storage.manifest import Manifest, PartRecord, load_manifest, manifest_path, part_path
from coder_core.storage.refusals import REPAIR, NotInStoreError, UnexpectedContentError
from coder_core.storage.store import Store

CHECKERS = 8
"""Groups checked at once: on S3 a file costs a few round trips, and they overlap; 8 blocks of 8 MiB in memory."""
COLLECT = "Harmless; coder-eval store gc removes it when it is old enough."
COMPACT = "Harmless; coder-eval store compact removes them an hour after the compaction that replaced them."
FOREIGN = "It is left alone."
Group = TypeVar("Group")


class Outcome(NamedTuple):
    """What the check of one artifact, partition or run found."""

    checked: Checked
    findings: list[Finding]


def verify_store(store: Store) -> Verification:
    """Check every file of a store.

    Returns:
        Counts and findings, damage first, each kind by path.

    Raises:
        StoreError: When the store refuses to be read.
    """
    layout = read_layout(store.list_files())
    outcomes = [Outcome(Checked(), list(_loose_files(layout)))]
    outcomes += _check_all(lambda folder: _check_artifact(store, folder, layout.artifacts[folder]), layout.artifacts)
    parts = [file for files in layout.ledgers.values() for file in files]
    outcomes += _check_all(lambda file: _check_ledger_part(store, file), parts)
    outcomes += _check_results(store, layout)
    findings = sorted((finding for outcome in outcomes for finding in outcome.findings), key=_rank)
    checked = sum((outcome.checked for outcome in outcomes), Checked())
    return Verification(store=store.url(), checked=checked, findings=tuple(findings))


def _rank(finding: Finding) -> tuple[str, str]:
    return finding.severity, finding.path


def _check_all(check: Callable[[Group], Outcome], groups: Iterable[Group]) -> list[Outcome]:
    with ThreadPoolExecutor(CHECKERS) as checkers:
        return list(checkers.map(check, groups))


def _loose_files(layout: Layout) -> Iterator[Finding]:
    for file in layout.temporary:
        yield _leftover(file.path, "A killed writer left it.")
    for file in layout.foreign:
        yield Finding(
            severity="leftover", path=file.path, problem="No file of a store has such a path.", remedy=FOREIGN
        )
    if layout.damaged:
        problem = f"{len(layout.damaged)} damaged files have been moved here."
        yield Finding(severity="leftover", path=DAMAGED, problem=problem, remedy="Delete them when nobody needs them.")


def _damage(path: str, problem: str) -> Finding:
    return Finding(severity="damage", path=path, problem=problem, remedy=f"{REPAIR}, then run again.")


def _check_artifact(store: Store, folder: str, files: list[StoredFile]) -> Outcome:
    kind, key = folder.split("/")[-2:]
    if not has_manifest(files):
        problem = f"{counted(len(files), 'part')} without a manifest: their run was interrupted, or is still going."
        return Outcome(Checked(), [_leftover(folder, problem)])
    try:
        manifest = load_manifest(store, kind, key)
    except UnexpectedContentError as error:
        return Outcome(Checked(artifacts=1), [_damage(manifest_path(kind, key), error.problem)])
    if manifest is None:
        return Outcome(Checked(), [])
    named = {part_path(kind, key, part.name) for part in manifest.parts}
    unnamed = [file.path for file in files if file.path.endswith(".parquet") and file.path not in named]
    findings = [_leftover(path, "The manifest does not name this part.") for path in unnamed]
    damage = [finding for part in manifest.parts if (finding := _check_part(store, manifest, part))]
    size = sum(part.bytes for part in manifest.parts)
    return Outcome(Checked(artifacts=1, artifact_parts=len(manifest.parts), bytes=size), findings + damage)


def _leftover(path: str, problem: str) -> Finding:
    return Finding(severity="leftover", path=path, problem=problem, remedy=COLLECT)


def _check_part(store: Store, manifest: Manifest, part: PartRecord) -> Finding | None:
    path = part_path(manifest.kind, manifest.key, part.name)
    for _ in range(2):  # twice: the first answer may have been garbled on the way
        try:
            if store.hash_file(path) == part.sha256:
                return None
            problem = "It is not what was written (its sha256 differs from the manifest)."
        except NotInStoreError:
            problem = "The manifest names this part, and it is not there."
    if not store.exists(manifest_path(manifest.kind, manifest.key)):  # collected, or moved aside, since it was listed
        return None
    return _damage(path, problem)


def _check_ledger_part(store: Store, file: StoredFile) -> Outcome:
    try:
        is_sound = any(store.hash_file(file.path) == part_hash(file.path) for _ in range(2))
    except NotInStoreError:  # compacted since it was listed
        return Outcome(Checked(), [])
    findings = [] if is_sound else [_damage(file.path, "It is not what was written (its sha256 is not its name).")]
    return Outcome(Checked(ledger_parts=1, bytes=file.size), findings)


def _check_results(store: Store, layout: Layout) -> list[Outcome]:
    try:
        catalog = read_catalog(store)
    except UnexpectedContentError as error:
        newest = max(file.path for file in layout.merged if file.path.endswith(".json"))
        return [
            Outcome(Checked(), [Finding(severity="damage", path=newest, problem=error.problem, remedy=error.remedy)])
        ]
    outcomes = [_check_generation(store, catalog, layout)]
    outcomes += _check_all(lambda file: _check_merged(store, file), catalog.generation.files)
    single = [run_id for run_id in layout.runs if run_id not in catalog.generation.by_run]
    return outcomes + _check_all(lambda run_id: _check_run(catalog, run_id, layout.runs[run_id]), single)


def _check_generation(store: Store, catalog: Catalog, layout: Layout) -> Outcome:
    """Check the record of the compacted runs, and count what does not count any more."""
    generation = catalog.generation
    if not generation.number:
        return Outcome(Checked(), [])
    findings = [
        _without_record(run.run_id, generation_path(generation.number)) for run in generation.runs if not run.is_checked
    ]
    path = generation_path(generation.number)
    try:
        if not is_sound(store.read_bytes(path), generation):
            findings.append(_damage(path, "One of its two lines is not what was written."))
    except NotInStoreError:  # there is a newer one by now
        pass
    replaced = [file for run_id, files in layout.runs.items() if run_id in generation.by_run for file in files]
    merged = [file for file in layout.merged if file.path.endswith(".parquet") and file.path not in generation.paths]
    if replaced or merged:
        problem = f"{len(replaced) + len(merged)} files have been replaced by merged ones."
        findings.append(Finding(severity="leftover", path=TABLES_FOLDER, problem=problem, remedy=COMPACT))
    return Outcome(Checked(runs=len(generation.runs)), findings)


def _check_merged(store: Store, file: MergedFile) -> Outcome:
    for _ in range(2):  # twice: the first answer may have been garbled on the way
        try:
            if store.hash_file(file.path) == file.sha256:
                return Outcome(Checked(result_parts=1, bytes=file.bytes), [])
            problem = "It is not what was written (its sha256 differs)."
        except NotInStoreError:
            problem = "The record of the compacted runs names this file, and it is not there."
    if file.path not in newest_generation(store).paths:  # compacted again since
        return Outcome(Checked(), [])
    return Outcome(Checked(result_parts=1), [_damage(file.path, problem)])


def _check_run(catalog: Catalog, run_id: str, files: list[StoredFile]) -> Outcome:
    if not has_row(files):
        problem = (
            f"{counted(len(files), 'file')} of a run that was never published: it was interrupted, or is still going."
        )
        return Outcome(Checked(), [_leftover(f"{TABLES_FOLDER}/*/{run_id}.*", problem)])
    if run_id not in catalog.singles:  # compacted or moved aside since it was listed
        return Outcome(Checked(), [])
    parts = [file for file in files if (found := parse_run_file(file.path)) and found.table]
    checked = Checked(runs=1, result_parts=len(parts), bytes=sum(file.size for file in parts))
    row = catalog.singles[run_id].row.path
    try:
        record = catalog.records([run_id])[run_id]
        if record is None:
            return Outcome(checked, [_without_record(run_id, row)])
        return Outcome(checked, list(_compare_files(catalog, record, files)))
    except NotInStoreError:
        return Outcome(Checked(), [])
    except UnexpectedContentError as error:
        return Outcome(checked, [_damage(row, error.problem)])


def _without_record(run_id: str, path: str) -> Finding:
    problem = f"The run {run_id} was published by a version that kept no hashes: its parts could not be checked."
    return Finding(severity="unchecked", path=path, problem=problem, remedy="Run it again.")


def _compare_files(catalog: Catalog, record: RunRecord, files: Sequence[StoredFile]) -> Iterator[Finding]:
    store, row, run_id = catalog.store, catalog.singles[record.run_id].row, record.run_id
    hashes = {row.path: record.row_sha256} | {file.path: file.sha256 for file in record.files}
    if record.manifest:
        hashes[record.manifest.path] = record.manifest.sha256
    for path in sorted({file.path for file in files} - hashes.keys() - {catalog.record_path(run_id)}):
        if row.is_old and (found := parse_run_file(path)) and found.table:
            yield _damage(path, f"It is not among what the run {run_id} published.")
        else:
            yield _leftover(path, f"It is not among what the run {run_id} published.")
    for path, sha256 in hashes.items():
        try:
            if any(store.hash_file(path) == sha256 for _ in range(2)):
                continue
            yield _damage(path, f"It is not what the run {run_id} published (its sha256 differs).")
        except NotInStoreError:
            if store.exists(row.path):
                yield _damage(path, f"The run {run_id} published this file, and it is not there.")
