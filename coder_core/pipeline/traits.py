"""What a runner must know of a step: how often it is tried, how long it may take, what it needs.

Time limits are policy, not settings: they end what hangs, so they are far above what the work takes, and whoever needs
others changes this table. Work that ran out of time is tried again and goes on where it stopped. No limit ends a call
that never comes back into Python, such as one to a dead network mount.
"""

from typing import NamedTuple

from coder_core.errors import CoderError, StoreError
from coder_core.interruption import TimeLimitError
from coder_core.storage.refusals import DamagedFileError

MINUTE, HOUR = 60.0, 3600.0


class Traits(NamedTuple):
    """How a step is to be run.

    Attributes:
        needs_device: Runs a model: the accelerator is taken around each forward pass.
        retry_delays: Seconds before each further try; none means that it is tried once.
        time_limit_seconds: Of one try of the step, or of one of its shards. Waiting for an accelerator does not count.
    """

    needs_device: bool = False
    retry_delays: tuple[float, ...] = (1.0, 10.0)
    time_limit_seconds: float = 6 * HOUR


PREFLIGHT = Traits(retry_delays=(), time_limit_seconds=10 * MINUTE)
"""For checks before the work: nothing is lost yet, so a refusal is reported at once."""

STEP = Traits()
"""For steps: what they have done so far is in the store, so a second try goes on where the first one ended."""

MODEL = Traits(needs_device=True, time_limit_seconds=12 * HOUR)
"""For one shard of images, or all texts, through a model: even at one image a second a shard of 16,384 is done in five
hours."""

ASK = Traits(needs_device=True, time_limit_seconds=24 * HOUR)
"""For asking a language model about a chunk of classes: a slow local model, or a provider that throttles. The encoder
tells which analogous classes are too similar to others."""


def is_worth_retrying(error: BaseException) -> bool:
    """Retry what may pass (a store or a network that refuses), never what the user must mend first."""
    if isinstance(error, DamagedFileError):  # another step has to make the file anew: the next run does
        return False
    if isinstance(error, StoreError | TimeLimitError):
        return True
    # Whatever else it was, a second try costs little: steps go on where they stopped.
    return isinstance(error, Exception) and not isinstance(error, CoderError)
