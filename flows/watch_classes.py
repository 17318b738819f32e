"""Notice new classes: look, compare with the last evaluation, and emit the event that starts the next one.

The run that follows generates, embeds and evaluates what is new; everything else is in the store (docs/new-classes.md).
"""

from prefect import flow

from coder_core.class_source.class_look import ClassLook
from coder_core.config import DEMO_CONFIG
from coder_core.specs import Runtime
from coder_core.steps.look_at_classes import LookAtClasses
from tasks.class_events import announce_change
from tasks.ended_runs import ended_with
from tasks.prefect_runner import call_flow_run, prefect_runner
from tasks.served_runs import load_flow_spec, served_runtime


@flow(name="watch-classes")
def watch_classes(
    config: str = DEMO_CONFIG,
    overrides: list[str] | None = None,
    runtime: Runtime | None = None,
    is_dry_run: bool = False,
) -> ClassLook:
    """Compare the classes of an evaluation with those it evaluated last, and announce a difference once.

    Args:
        config: The evaluation: a path, a URL, or `demo:flags`. The event hands it on to the run that it starts.
        overrides: `key.path=value` settings that win over the config; handed on, too.
        runtime: Where the store is; what is not given comes from CODER_* in the environment of the worker.
        is_dry_run: Only say what changed.
    """
    spec = load_flow_spec(config, overrides or ())
    call_flow_run(f"watch-classes-{spec.name}")
    with prefect_runner(served_runtime(runtime)) as run:
        look = run(LookAtClasses(spec=spec))
        if not is_dry_run:
            announce_change(look, config, overrides or [], run)
    return ended_with(look, ClassLook.describe)
