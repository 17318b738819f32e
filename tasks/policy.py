"""How tasks fail and come back: one place for retries and caching."""

from typing import Any

from prefect.cache_policies import NO_CACHE

from coder_core.errors import CoderError, StoreError
from coder_core.storage.refusals import DamagedFileError


def is_worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    """Retry what may pass (a store or a network that refuses), never what the user must mend first."""
    try:
        state.result()
    except DamagedFileError:  # it names the file, and another step has to make it anew: the next run does
        return False
    except StoreError:
        return True
    except CoderError:
        return False
    except Exception:  # noqa: BLE001 - whatever it was, a second try costs little: steps go on where they stopped
        return True
    return False


DOOR_POLICY: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
"""For checks at the door: nothing is lost yet, so a refusal is told at once. Our storage is the cache (architecture.md,
section 5), so a step may run again at any time."""

STEP_POLICY: dict[str, Any] = {
    **DOOR_POLICY,
    "retries": 2,
    "retry_delay_seconds": [1, 10],
    "retry_condition_fn": is_worth_retrying,
}
"""For steps: what they have done so far is in the store, so a second try goes on where the first one ended."""
