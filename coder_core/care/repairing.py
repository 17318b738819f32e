"""Repair: what `verifying` calls damage is moved to `damaged/`, so that the next run makes it again.

Nothing is deleted and nothing is guessed. A damaged part of an artifact takes its manifest along, so that the artifact
is unfinished; of a ledger part the rows that can be trusted stay. A published run does not change any more, so damage
in one of its tables takes the whole run out of sight, its row first: evaluating again takes seconds, because everything
it was made from is still there. Of a merged file, only the runs whose rows are lost are withdrawn (`withdrawal`).
"""

from collections.abc import Sequence

from coder_core.care.file_roles import Role, read_role
from coder_core.care.findings import Finding, Verification
from coder_core.care.verifying import verify_store
from coder_core.errors import StoreError
from coder_core.results.generations import decode_generation, encode_generation
from coder_core.results.result_paths import PUBLICATIONS, TABLES_FOLDER, parse_generation, parse_run_file
from coder_core.results.schema import RUNS
from coder_core.results.withdrawal import Withdrawal, withdraw_damaged
from coder_core.storage.artifact_damage import part_damage
from coder_core.storage.damaged_files import AGAIN, FOLDER, damage_found, keep_copy, move_aside
from coder_core.storage.ledger_damage import examine_part
from coder_core.storage.manifest import MANIFEST
from coder_core.storage.refusals import NotInStoreError, UnexpectedContentError
from coder_core.storage.store import Store

NAMES_SHOWN = 10
"""Runs that one line names."""


def repair_store(store: Store) -> Verification:
    """Check every file and move aside what is damaged; the findings say where everything is now.

    Raises:
        StoreError: When the store refuses; what was moved until then is named in no report, and a second call goes on.
    """
    found = verify_store(store)
    merged = [finding.path for finding in found.damage if _is_merged(finding.path)]
    remedy = _describe(withdraw_damaged(store, merged)) if merged else ""
    repaired = [
        _repair(store, finding, remedy) if finding.severity == "damage" else finding for finding in found.findings
    ]
    return found.model_copy(update={"findings": tuple(repaired), "is_repaired": True})


def _repair(store: Store, finding: Finding, merged_remedy: str) -> Finding:
    role, group = read_role(finding.path)
    if role is Role.RESULT:
        return finding.model_copy(update={"remedy": _withdraw_run(store, group)})
    if role is Role.MERGED:
        remedy = merged_remedy if _is_merged(finding.path) else _mend_generation(store, finding)
        return finding.model_copy(update={"remedy": remedy})
    damage = _move(store, finding, role)
    if store.exists(finding.path):
        raise StoreError(damage.problem, damage.place, damage.remedy)
    return finding.model_copy(update={"remedy": damage.remedy})


def _is_merged(path: str) -> bool:
    return read_role(path)[0] is Role.MERGED and parse_generation(path) is None


def _move(store: Store, finding: Finding, role: Role) -> UnexpectedContentError:
    if role is Role.LEDGER:
        return examine_part(store, finding.path, UnexpectedContentError(finding.problem, finding.path))
    *_, kind, key, name = finding.path.split("/")
    if name == MANIFEST:
        return damage_found(store, finding.path, finding.problem)
    return part_damage(store, kind, key, name.removesuffix(".parquet"), finding.problem)


def _withdraw_run(store: Store, run_id: str) -> str:
    """Take a run out of sight and then aside; killed in between, its parts are those of a run never published."""
    listed = [*store.list(TABLES_FOLDER), *store.list(PUBLICATIONS)]
    files = [file for path in listed if (file := parse_run_file(path)) and file.run_id == run_id]
    for file in sorted(files, key=lambda file: file.table != RUNS):
        try:
            move_aside(store, file.path)
        except NotInStoreError:
            continue
    return f"The run {run_id} was withdrawn and moved to {FOLDER}/: {AGAIN} under another run id."


def _mend_generation(store: Store, finding: Finding) -> str:
    """Write the record of the compacted runs again from its sound line; a copy of the damaged one stays."""
    content = store.read_bytes(finding.path)
    try:
        generation = decode_generation(content, store.url(finding.path))
    except UnexpectedContentError as error:
        return error.remedy
    target = keep_copy(store, finding.path, content)
    store.write_bytes(finding.path, encode_generation(generation))
    return f"It was written again from its sound line; the damaged one is in {target}."


def _describe(done: Withdrawal) -> str:
    """Say in one line what became of the runs in damaged merged files."""
    sentences = []
    if done.withdrawn:
        names = ", ".join(done.withdrawn[:NAMES_SHOWN]) + (", ..." if len(done.withdrawn) > NAMES_SHOWN else "")
        sentences.append(f"{_runs(done.withdrawn)} withdrawn ({names}): {AGAIN} under another run id.")
    if done.restored:
        sentences.append(f"{_runs(done.restored)} merged again from files of their own.")
    if not sentences:
        sentences.append("No run is affected.")
    if done.moved:
        sentences.append(f"Moved to {FOLDER}/: {', '.join(done.moved)}.")
    return " ".join(sentences)


def _runs(run_ids: Sequence[str]) -> str:
    return f"{len(run_ids)} run was" if len(run_ids) == 1 else f"{len(run_ids)} runs were"
