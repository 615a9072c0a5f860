"""Events of all executions as they happen, as server-sent events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final, cast

from anyio import from_thread
from fastapi import APIRouter, Header, Query, Request
from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as ConnectionScope

from executor.models.token import Scope
from executor_api import schemas
from executor_api.feed import EventFeed, Item, Wanted
from executor_api.problems import Refused
from executor_api.routes.operation import operation, require

if TYPE_CHECKING:
    import anyio

router = APIRouter(tags=["events"])

_HEARTBEAT_SECONDS: Final = 15.0
# A client that takes nothing for so long is let go; it comes back and goes on where it was.
_SEND_SECONDS: Final = 30.0
_END_SECONDS: Final = 2.0


class _Stream(EventSourceResponse):
    async def __call__(self, scope: ConnectionScope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            # The connection is closed with the response; there is nobody to tell.
            return


@router.get(
    "/events/stream",
    **operation(
        None,
        scope=Scope.READ,
        response_class=Response,
        also={
            200: {
                "description": "Server-sent events: first `open` with the position the stream begins at, then an "
                "event each, its type as `event`, its position as `id`, its line of `events.jsonl` as `data`.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            }
        },
    ),
)
def stream_events(
    request: Request,
    query: Annotated[schemas.StreamQuery, Query()],
    last_event_id: Annotated[
        str | None,
        Header(
            max_length=32,
            description="Where the connection was lost; a browser sends it by itself. Wins over `after`.",
        ),
    ] = None,
) -> Response:
    """Every event recorded from now on, by whatever process, in order and none twice."""
    require(request, Scope.READ)
    feed = request.app.state.feed
    assert isinstance(feed, EventFeed)
    position = feed.start(from_thread.run_sync(asyncio.get_running_loop))
    if last_event_id:
        position = _position(last_event_id)
    elif query.after is not None:
        position = query.after
    return _Stream(
        feed.stream(position, _wanted(query)),
        ping=_HEARTBEAT_SECONDS,
        sep="\n",
        send_timeout=_SEND_SECONDS,
        # Only `set` is called, when the server stops.
        shutdown_event=cast("anyio.Event", feed),
        shutdown_grace_period=_END_SECONDS,
    )


def _position(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) >= 2**63:
        raise Refused(422, "invalid_cursor", "Last-Event-ID is no id of this stream")
    return int(text)


def _wanted(query: schemas.StreamQuery) -> Wanted:
    executions, correlations, types = set(query.execution_id), set(query.correlation_id), set(query.type)

    def wanted(item: Item) -> bool:
        return (
            (not executions or item.execution_id in executions)
            and (not correlations or item.correlation_id in correlations)
            and (not types or item.event in types)
        )

    return wanted
