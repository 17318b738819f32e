"""Repair: what `verifying` calls damage is moved to `damaged/`, so that the next run makes it again.

Nothing is deleted and nothing is guessed. A damaged part of an artifact takes its manifest along, so that the artifact
is unfinished; of a ledger part the rows that can be trusted stay. A published run does not change any more, so damage
in one of its tables takes the whole run out of sight, its row first: evaluating again takes seconds, because everything
it was made from is still there.
"""

from coder_core.errors import StoreError
from coder_core.storage.artifact_damage import part_damage
from coder_core.storage.care.findings import Finding, Verification
from coder_core.storage.care.layout import Role, read_role
from coder_core.storage.care.verifying import verify_store
from coder_core.storage.columns import RUNS
from coder_core.storage.ledger_damage import examine_part
from coder_core.storage.manifest import MANIFEST
from coder_core.storage.refusals import NotInStoreError, UnexpectedContentError
from coder_core.storage.result_paths import result_path
from coder_core.storage.set_aside import AGAIN, FOLDER, damage_found, set_aside
from coder_core.storage.store import Store


def repair_store(store: Store) -> Verification:
    """Check every file and move aside what is damaged; the findings say where everything is now.

    Raises:
        StoreError: When the store refuses; what was moved until then is named in no report, and a second call goes on.
    """
    found = verify_store(store)
    repaired = [_repair(store, finding) if finding.severity == "damage" else finding for finding in found.findings]
    return found.model_copy(update={"findings": tuple(repaired), "is_repaired": True})


def _repair(store: Store, finding: Finding) -> Finding:
    role, group = read_role(finding.path)
    if role is Role.RESULT:
        return finding.model_copy(update={"remedy": _withdraw_run(store, group)})
    damage = _move(store, finding, role)
    if store.exists(finding.path):
        raise StoreError(damage.problem, damage.place, damage.remedy)
    return finding.model_copy(update={"remedy": damage.remedy})


def _move(store: Store, finding: Finding, role: Role) -> UnexpectedContentError:
    if role is Role.LEDGER:
        return examine_part(store, finding.path, UnexpectedContentError(finding.problem, finding.path))
    *_, kind, key, name = finding.path.split("/")
    if name == MANIFEST:
        return damage_found(store, finding.path, finding.problem)
    return part_damage(store, kind, key, name.removesuffix(".parquet"), finding.problem)


def _withdraw_run(store: Store, run_id: str) -> str:
    """Take a run out of sight and then aside; killed in between, its parts are those of a run never published."""
    row = result_path(RUNS, run_id)
    rest = [path for path in store.list("tables") if read_role(path) == (Role.RESULT, run_id) and path != row]
    for path in [row, *rest]:
        try:
            set_aside(store, path)
        except NotInStoreError:
            continue
    return f"The run {run_id} was withdrawn and moved to {FOLDER}/: {AGAIN} under another run id."
