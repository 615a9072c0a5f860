"""Errors as problem+json (RFC 9457): one shape for everything that can go wrong.

`code` is stable; it is the `code` of the library's error where there is one. Nothing here shows a path, an
address or a trace of the server.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from executor.errors import (
    ApprovalRefused,
    Conflict,
    ExecutorError,
    InvalidInput,
    InvalidState,
    LockHeld,
    NotFound,
    PayloadDropped,
    RevertConflict,
    RollbackIncomplete,
    TryAgain,
    Unavailable,
    WorkspaceUnwritable,
    WrongWorkspace,
)
from executor_api.encoding import encode

MEDIA_TYPE: Final = "application/problem+json"

_log: Final = logging.getLogger("executor_api")

# The first that fits counts.
_STATUS: Final[tuple[tuple[type[ExecutorError], int], ...]] = (
    (InvalidState, 409),
    (InvalidInput, 422),
    (PayloadDropped, 410),
    (NotFound, 404),
    (Conflict, 409),
    (RollbackIncomplete, 409),
    (ApprovalRefused, 403),
    (TryAgain, 503),
    (Unavailable, 503),
    (WorkspaceUnwritable, 507),
)
# Messages of the library that name places of the machine the server runs on.
_SENTENCES: Final[tuple[tuple[type[ExecutorError], str], ...]] = (
    (WrongWorkspace, "the execution belongs to a workspace this server does not serve"),
    (LockHeld, "another execution works in the workspace; try again when it has ended"),
    (TryAgain, "the database is busy; try again"),
    (Unavailable, "the database cannot be used now; the log of the server says why"),
    (WorkspaceUnwritable, "the server could not write a file; its log says which and why"),
)
_CODES: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "no_such_path",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "json_expected",
}


class FieldError(BaseModel):
    """One value of the request that cannot be used."""

    where: str = Field(description="`query`, `path` or `body`", examples=["query"])
    name: str = Field(description="the parameter, or the way to the value in the body", examples=["limit"])
    reason: str = Field(examples=["Input should be less than or equal to 500"])


class ChangedPath(BaseModel):
    path: str
    reason: str


class ChangedSince(BaseModel):
    """What is in the way of undoing an execution."""

    paths: list[ChangedPath]
    executions: list[str] = Field(description="They changed the same lines, newest first: undo these before.")
    edited: list[str] = Field(description="Files that were changed outside Executor.")


class Problem(BaseModel):
    """What went wrong. `code` is stable, `detail` is for people."""

    type: str = Field("about:blank", examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["execution 'exec_404' does not exist"])
    code: str = Field(examples=["execution_not_found"])
    request_id: str | None = Field(
        None, description="The header `X-Request-Id` of the answer, which the log of the server names, too."
    )
    errors: list[FieldError] | None = Field(None, description="For `invalid_request`: each unusable value.")
    conflict: ChangedSince | None = Field(None, description="For `revert_conflict`.")


class Refused(Exception):
    """A request this server does not answer, for a reason that is no error of the library."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        headers: dict[str, str] | None = None,
        conflict: dict[str, Any] | None = None,
    ) -> None:
        self.status, self.code, self.detail, self.headers = status, code, detail, headers or {}
        self.conflict = conflict
        super().__init__(detail)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    request_id: str | None = None,
    headers: dict[str, str] | None = None,
    errors: list[dict[str, str]] | None = None,
    conflict: dict[str, Any] | None = None,
) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    if errors is not None:
        body["errors"] = errors
    if conflict is not None:
        body["conflict"] = conflict
    return Response(encode(body), status, media_type=MEDIA_TYPE, headers=headers)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of an operation, for its OpenAPI description. Every operation has those of the guard."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted({400, 403, 414, 421, 431, *statuses})
    }


def schemas() -> dict[str, Any]:
    """The models of problems, for the OpenAPI document."""
    model = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**model.pop("$defs"), "Problem": model}


def described(error: ExecutorError | Refused) -> tuple[int, str, str]:
    """Status, code and sentence."""
    if isinstance(error, Refused):
        return error.status, error.code, error.detail
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    detail = next((text for kind, text in _SENTENCES if isinstance(error, kind)), str(error))
    return status, error.code, detail


def conflict_of(error: ExecutorError | Refused) -> dict[str, Any] | None:
    """For programs, what the sentence of a revert's conflict says."""
    if not isinstance(error, RevertConflict):
        return None
    paths = [{"path": path, "reason": reason} for path, reason in error.paths]
    return {"paths": paths, "executions": list(error.executions), "edited": list(error.edited)}


def of_error(error: ExecutorError, request_id: str | None) -> Response:
    status, code, detail = described(error)
    if status >= 500:
        _log.error("request %s: %s", request_id, error)
    headers = {"Retry-After": "1"} if status == 503 else None
    return problem(status, code, detail, request_id=request_id, headers=headers)


def of(error: ExecutorError | Refused, request_id: str | None) -> Response:
    if isinstance(error, ExecutorError):
        return of_error(error, request_id)
    return problem(
        error.status,
        error.code,
        error.detail,
        request_id=request_id,
        headers=error.headers,
        conflict=error.conflict,
    )


def install(app: FastAPI) -> None:
    """From here on every error of `app` is a problem."""

    async def on_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, ExecutorError | Refused)
        return of(error, request_id(request))

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        errors = [_field_error(item) for item in error.errors()]
        first = errors[0]
        return problem(
            422,
            "invalid_request",
            f"{first['where']} {first['name']}: {first['reason']}".replace("  ", " "),
            request_id=request_id(request),
            errors=errors,
        )

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = _CODES.get(error.status_code, "refused")
        detail = "there is nothing at this address" if error.status_code == 404 else str(error.detail)
        headers = dict(error.headers) if error.headers else None
        return problem(error.status_code, code, detail, request_id=request_id(request), headers=headers)

    async def on_defect(request: Request, error: Exception) -> Response:
        # The server logs the trace under the same id.
        _log.error("request %s failed: %s", request_id(request), type(error).__name__)
        detail = "the server failed; its log says more under the id of this request"
        return problem(500, "internal", detail, request_id=request_id(request))

    app.add_exception_handler(ExecutorError, on_error)
    app.add_exception_handler(Refused, on_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_defect)


def request_id(request: Request) -> str | None:
    value = request.scope.get("executor_request_id")
    return value if isinstance(value, str) else None


def _field_error(item: dict[str, Any]) -> dict[str, str]:
    where, *names = [str(part) for part in item["loc"]] or ["body"]
    return {"where": where, "name": ".".join(names), "reason": str(item["msg"])}
