"""An event that the server has when the call returns.

Prefect's `emit_event` hands an event to a thread and hears no more of it: what that thread cannot send is lost, with a
line in the log at most. Here it is one request, with the retries of Prefect's client; the server knows an event that
comes twice by its id. Prefect Cloud takes the same request.
"""

import httpx
from prefect.client.orchestration import get_client
from prefect.events import Event
from prefect.events.related import related_resources_from_run_context
from prefect.exceptions import EventTooLarge, PrefectException
from prefect.settings import get_current_settings
from prefect.utilities.asyncutils import run_coro_as_sync

from coder_core.errors import ServiceError


def send_event(event: Event) -> None:
    """Send an event, and with it which flow run, flow, deployment and work pool it comes from, as `emit_event` does.

    Args:
        event: Its related resources are added to.

    Raises:
        ServiceError: The server did not take it.
    """
    try:
        run_coro_as_sync(_send(event))
    except (httpx.HTTPError, PrefectException) as error:
        problem = f"the server did not take the event {event.event} ({type(error).__name__}: {error})."
        place = str(get_current_settings().api.url or "Prefect's temporary server")
        raise ServiceError(problem, place, "Look again when it answers; nothing was announced.") from error


async def _send(event: Event) -> None:
    async with get_client() as client:
        known = {resource.id for resource in event.involved_resources}
        event.related += await related_resources_from_run_context(client, exclude=known)
        longest = get_current_settings().server.events.maximum_size_bytes
        if event.size_bytes > longest:  # the server would answer that it has it, and drop it
            raise EventTooLarge(event.size_bytes, longest)
        await client.request("POST", "/events", json=[event.model_dump(mode="json")])
