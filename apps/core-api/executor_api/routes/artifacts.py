"""The files an execution left: logs of its checks, plan, decision, events."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from executor.errors import ArtifactNotFound
from executor.host.kept_artifacts import media_type
from executor.host.replay import replay_folder
from executor.models.times import format_time
from executor.models.token import Scope
from executor_api import caching, schemas
from executor_api.encoding import JSONAnswer
from executor_api.routes.operation import NOT_MODIFIED, ExecutionId, operation, require, served

router = APIRouter(tags=["artifacts"])

MAX_TAIL: Final = 1 << 20
_CHUNK: Final = 64 << 10
_TEXT: Final = "text/plain; charset=utf-8"


@router.get("/executions/{execution_id:segment}/artifacts", **operation(schemas.ExecutionArtifacts, 404))
def execution_artifacts(
    request: Request, execution_id: ExecutionId, query: Annotated[schemas.NoQuery, Query()]
) -> Response:
    """The artifacts by name; few when gc was there.

    Of a folder that is gone or on another host, the logs, which the database keeps.
    """
    require(request, Scope.READ)
    found = served(request)
    record, kept = found.record(execution_id), found.artifacts(execution_id)
    listed, missing = kept.listing(), kept.missing(record)
    return JSONAnswer(
        {
            "execution_id": execution_id,
            "artifacts": [
                {
                    "name": name,
                    "media_type": media_type(name),
                    "size": size,
                    "modified_at": format_time(datetime.fromtimestamp(modified, UTC)),
                }
                for name, size, modified in listed
            ],
            "complete": record.ended and not missing,
            "missing": missing,
            "payload_dropped_at": found.dropped_at(execution_id),
        }
    )


@router.get("/executions/{execution_id:segment}/replay", **operation(schemas.ExecutionReplay, 404))
def execution_replay(
    request: Request, execution_id: ExecutionId, query: Annotated[schemas.ReplayQuery, Query()]
) -> Response:
    """The story of the execution from its artifacts alone. 404 when their folder is gone, or is on another host."""
    require(request, Scope.CONTENT if query.log_lines else Scope.READ)
    found = served(request)
    folder = found.folder(found.record(execution_id))
    if folder is None or not folder.exists():
        raise ArtifactNotFound(execution_id, "events.jsonl")
    story = replay_folder(folder)
    ends = story.failing_logs(query.log_lines) if query.log_lines else []
    return JSONAnswer({**story.to_dict(), "logs": [{"name": name, "lines": lines} for name, lines in ends]})


@router.get(
    "/executions/{execution_id:segment}/artifacts/{name:rest}",
    **operation(
        None,
        404,
        410,
        scope=Scope.CONTENT,
        response_class=Response,
        also={
            **NOT_MODIFIED,
            200: {
                "description": "The bytes of the file.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
        },
    ),
)
def execution_artifact(
    request: Request,
    execution_id: ExecutionId,
    name: Annotated[str, Path(description="A name that is listed.", examples=["steps/04-verify.log"])],
    query: Annotated[schemas.ArtifactQuery, Query()],
) -> Response:
    """One artifact, as it is; with `tail` its last lines."""
    require(request, Scope.CONTENT)
    found = served(request)
    with found.opened_artifact(execution_id, name) as descriptor:
        state = os.fstat(descriptor)
        size, tag = state.st_size, f'"{state.st_size:x}-{state.st_mtime_ns:x}"'
        known = caching.unchanged(request, tag) if query.tail is None else None
        if known is not None:
            return known
        if query.tail is not None:
            return Response(_last_lines(descriptor, size, query.tail), media_type=_TEXT)
        copy = os.dup(descriptor)
    return StreamingResponse(
        _content(copy, size), media_type=_TEXT, headers={"Content-Length": str(size), **caching.headers(tag)}
    )


def _last_lines(descriptor: int, size: int, lines: int) -> bytes:
    """Read from the end: the size of the file does not count."""
    found = b""
    position = size
    while position > 0 and len(found) < MAX_TAIL and found.count(b"\n") <= lines:
        length = min(_CHUNK, position, MAX_TAIL - len(found))
        position -= length
        found = os.pread(descriptor, length, position) + found
    kept = found.splitlines(keepends=True)
    return b"".join(kept[-lines:])


def _content(descriptor: int, size: int) -> Iterator[bytes]:
    """As many bytes as were announced, though the file may be growing."""
    position = 0
    try:
        while position < size:
            chunk = os.pread(descriptor, min(_CHUNK, size - position), position)
            if not chunk:
                break
            position += len(chunk)
            yield chunk
    finally:
        os.close(descriptor)
