"""How tasks fail and come back: one place for retries, time limits and caching.

Time limits are policy, not settings: they end what hangs, so they are far above what the work takes, and whoever needs
others changes this table. A step that ran out of time is tried again and goes on where it stopped. No limit ends a call
that never comes back into Python, such as one to a dead network mount.
"""

from typing import Any

from prefect.cache_policies import NO_CACHE

from coder_core.errors import CoderError, StoreError
from coder_core.interruption import TimeLimitError
from coder_core.storage.refusals import DamagedFileError

MINUTE, HOUR = 60.0, 3600.0


def is_worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    """Retry what may pass (a store or a network that refuses), never what the user must mend first."""
    try:
        state.result()
    except DamagedFileError:  # it names the file, and another step has to make it anew: the next run does
        return False
    except (StoreError, TimeLimitError):
        return True
    except CoderError:
        return False
    except Exception:  # noqa: BLE001 - whatever it was, a second try costs little: steps go on where they stopped
        return True
    return False


DOOR_POLICY: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False, "timeout_seconds": 10 * MINUTE}
"""For checks at the door: nothing is lost yet, so a refusal is told at once. Our storage is the cache (architecture.md,
section 5), so a step may run again at any time."""

STEP_POLICY: dict[str, Any] = {
    **DOOR_POLICY,
    "retries": 2,
    "retry_delay_seconds": [1, 10],
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_worth_retrying,
    "timeout_seconds": 6 * HOUR,
}
"""For steps: what they have done so far is in the store, so a second try goes on where the first one ended. Jitter
keeps shards that failed together from coming back together."""

SHARD_POLICY: dict[str, Any] = {**STEP_POLICY, "timeout_seconds": None}
"""For steps that run in threads, where Prefect's limit warns of itself at every task: they take `SHARD_SECONDS`."""

SHARD_SECONDS = 12 * HOUR
"""For one shard of images, or all texts, through a model: even at one image a second a shard of 16,384 is done in five
hours. Checked between batches (`interruption.time_limit`); waiting for an accelerator does not count."""

ASK_POLICY: dict[str, Any] = {**STEP_POLICY, "timeout_seconds": 24 * HOUR}
"""For asking a language model about a chunk of classes: a slow local model, or a provider that throttles. Calls have
their own time limits and retries (docs/texts.md)."""
