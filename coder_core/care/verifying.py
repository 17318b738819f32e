"""Verification: every manifest, every part and every hash of a store, read in blocks and a few files at a time.

One listing tells what there is; memory grows with the number of files (about 500 bytes each) and not with their size.
A store in use changes meanwhile: what looks damaged is looked at once more, and what was compacted, moved or collected
since it was listed is no problem. Finding changes nothing; `repair` moves damage aside (`repairing`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from coder_core.storage.care.findings import Checked, Finding, Verification
from coder_core.storage.care.layout import Layout, has_manifest, is_published, read_layout
from coder_core.storage.columns import RUNS
from coder_core.storage.file_infos import StoredFile
from coder_core.storage.ledger_damage import part_hash
from coder_core.storage.manifest import Manifest, PartRecord, load_manifest, manifest_path, part_path
from coder_core.storage.publication import SUFFIX, load_record
from coder_core.storage.refusals import REPAIR, NotInStoreError, UnexpectedContentError
from coder_core.storage.result_paths import TABLES_FOLDER, result_path
from coder_core.storage.set_aside import FOLDER as DAMAGED
from coder_core.storage.store import Store

CHECKERS = 8
"""Groups checked at once: on S3 a file costs a few round trips, and they overlap; 8 blocks of 8 MiB in memory."""
COLLECT = "Harmless; coder-eval store gc removes it when it is old enough."
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
    outcomes += _check_all(lambda run_id: _check_run(store, run_id, layout.runs[run_id]), layout.runs)
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
        problem = f"{len(files)} parts without a manifest: their run was interrupted, or is still going."
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


def _check_run(store: Store, run_id: str, files: list[StoredFile]) -> Outcome:
    if not is_published(files):
        problem = f"{len(files)} files of a run that was never published: it was interrupted, or is still going."
        return Outcome(Checked(), [_leftover(f"{TABLES_FOLDER}/*/run_id={run_id}", problem)])
    parts = [file for file in files if not file.path.endswith(SUFFIX)]
    checked = Checked(runs=1, result_parts=len(parts), bytes=sum(file.size for file in parts))
    try:
        record = load_record(store, run_id)
    except NotInStoreError:  # moved aside since it was listed
        return Outcome(Checked(), [])
    except UnexpectedContentError as error:
        return Outcome(checked, [_damage(result_path(RUNS, run_id), error.problem)])
    if record is None:
        return Outcome(checked, [_without_record(run_id)])
    return Outcome(checked, list(_compare_parts(store, run_id, parts, record)))


def _without_record(run_id: str) -> Finding:
    problem = "This run was published by a version that kept no hashes: its parts cannot be checked."
    return Finding(severity="unchecked", path=result_path(RUNS, run_id), problem=problem, remedy="Run it again.")


def _compare_parts(
    store: Store, run_id: str, parts: Sequence[StoredFile], record: Mapping[str, str]
) -> Iterator[Finding]:
    row = result_path(RUNS, run_id)
    for path in sorted({file.path for file in parts} - {row} - record.keys()):
        yield _damage(path, f"It is not among what the run {run_id} published.")
    for path, sha256 in record.items():
        try:
            if any(store.hash_file(path) == sha256 for _ in range(2)):
                continue
            yield _damage(path, f"It is not what the run {run_id} published (its sha256 differs).")
        except NotInStoreError:
            if store.exists(row):
                yield _damage(path, f"The run {run_id} published this part, and it is not there.")
