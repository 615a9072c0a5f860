"""What every operation has in common: where its parts come from, and how it is described."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Path, Request
from pydantic import BaseModel

from executor.models.token import Scope
from executor_api import paths
from executor_api.access import Access, Caller
from executor_api.problems import documented
from executor_api.served import Served

SESSION_SCHEME: Final = "session"
TOKEN_SCHEME: Final = "token"

# The client has this version already (`If-None-Match`).
NOT_MODIFIED: Final[dict[int | str, dict[str, Any]]] = {304: {"description": "Not Modified"}}

paths.register()


def served(request: Request) -> Served:
    found = request.app.state.served
    assert isinstance(found, Served)
    return found


def require(request: Request, scope: Scope) -> Caller:
    """Raises Refused when the caller may not do this."""
    access = request.app.state.access
    assert isinstance(access, Access)
    return access.require(request, scope)


ExecutionId = Annotated[
    str,
    Path(description="The id, exactly; escape `/` and `%` in it.", examples=["exec_002"], max_length=1024),
]


def operation(
    model: type[BaseModel] | None,
    *statuses: int,
    scope: Scope | None = Scope.READ,
    **more: Any,
) -> dict[str, Any]:
    """The arguments of a route decorator: model, error responses, and what a caller needs."""
    errors = {422, 503, *statuses}
    extra: dict[str, Any] = {}
    if scope is not None:
        errors |= {401}
        extra["openapi_extra"] = {
            "security": [{SESSION_SCHEME: []}, {TOKEN_SCHEME: []}, *([{}] if scope is Scope.READ else [])],
            "x-scope": scope.value,
        }
    return {
        "response_model": model,
        "responses": {**documented(*errors), **more.pop("also", {})},
        **extra,
        **more,
    }
