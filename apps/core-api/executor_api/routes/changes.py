"""What changes something: propose, retry, revert, approve, deny, cancel, dismiss. The worker does it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Body, Header, Query, Request
from starlette.responses import Response

from executor.models.token import Scope
from executor_api import schemas
from executor_api.encoding import JSONAnswer
from executor_api.problems import Refused
from executor_api.routes.operation import ExecutionId, operation, require, served

router = APIRouter(tags=["changes"])

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=256,
        pattern="^[!-~]+$",
        description="A repetition of the request with the same key gives the execution of the first.",
    ),
]
_Nothing = Annotated[schemas.NoQuery, Query()]
_LOCATION: Any = {
    202: {
        "description": "Accepted, and on the disk: it is carried out though the server may be started again.",
        "headers": {"Location": {"description": "The execution.", "schema": {"type": "string"}}},
    }
}


def _change(scope: Scope) -> dict[str, Any]:
    return operation(
        schemas.Accepted, 404, 409, 410, 413, 415, 507, scope=scope, status_code=202, also=_LOCATION
    )


def _accepted(done: dict[str, Any]) -> Response:
    location = f"/executions/{quote(done['execution_id'], safe='')}"
    return JSONAnswer(done, status_code=202, headers={"Location": location})


@router.post("/executions", **_change(Scope.RUN))
def propose(
    request: Request,
    query: _Nothing,
    body: Annotated[schemas.NewExecution, Body()],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Judges a change and applies it as far as the gate lets it. 409 when the workspace is not what it was made for."""
    caller = require(request, Scope.RUN)
    found = served(request)
    if body.workspace is None and len(found.workspaces) > 1:
        raise Refused(422, "workspace_needed", "several workspaces are served; name one (GET /workspaces)")
    values = body.model_dump(exclude={"workspace"})
    done = found.worker(body.workspace).call(
        "propose", {**values, "caller": caller.to_dict(), "key": idempotency_key}
    )
    return _accepted(done)


@router.post("/executions/{execution_id:segment}/retry", **_change(Scope.RUN))
def retry(
    request: Request,
    execution_id: ExecutionId,
    query: _Nothing,
    body: Annotated[schemas.Again, Body()],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Applies the change of a failed execution again, with the same checks, as its child."""
    return _do(
        request, Scope.RUN, "retry", execution_id, why=body.why, run_id=body.run_id, key=idempotency_key
    )


@router.post("/executions/{execution_id:segment}/revert", **_change(Scope.RUN))
def revert(
    request: Request,
    execution_id: ExecutionId,
    query: _Nothing,
    body: Annotated[schemas.Reversal, Body()],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Undoes what a completed execution changed, as its child. 409 when it was changed again since, and by what."""
    return _do(
        request,
        Scope.RUN,
        "revert",
        execution_id,
        why=body.why,
        run_id=body.run_id,
        verify=body.verify,
        key=idempotency_key,
    )


@router.post("/executions/{execution_id:segment}/approve", **_change(Scope.APPROVE))
def approve(
    request: Request,
    execution_id: ExecutionId,
    query: _Nothing,
    body: Annotated[schemas.Because, Body()],
) -> Response:
    """Lets a change run that waits for a person, and runs it where its workspace is served."""
    return _do(request, Scope.APPROVE, "approve", execution_id, reason=body.reason)


@router.post("/executions/{execution_id:segment}/deny", **_change(Scope.APPROVE))
def deny(
    request: Request,
    execution_id: ExecutionId,
    query: _Nothing,
    body: Annotated[schemas.Denial, Body()],
) -> Response:
    """Refuses a change that waits for a person."""
    return _do(request, Scope.APPROVE, "deny", execution_id, reason=body.reason)


@router.post("/executions/{execution_id:segment}/cancel", **_change(Scope.RUN))
def cancel(
    request: Request,
    execution_id: ExecutionId,
    query: _Nothing,
    body: Annotated[schemas.Because, Body()],
) -> Response:
    """Withdraws a change that waits, for a person or its turn; stops and rolls back one this server runs."""
    return _do(request, Scope.RUN, "cancel", execution_id, reason=body.reason)


@router.post("/executions/{execution_id:segment}/dismiss", **_change(Scope.RUN))
def dismiss(
    request: Request,
    execution_id: ExecutionId,
    query: _Nothing,
    body: Annotated[schemas.Dismissal, Body()],
) -> Response:
    """Takes a failure off the list of what needs attention, or puts it back."""
    return _do(request, Scope.RUN, "dismiss", execution_id, reason=body.reason, undo=body.undo)


def _do(request: Request, scope: Scope, method: str, execution_id: str, **values: Any) -> Response:
    caller = require(request, scope)
    found = served(request)
    worker = found.worker_of(found.record(execution_id))
    return _accepted(
        worker.call(method, {"execution_id": execution_id, "caller": caller.to_dict(), **values})
    )
