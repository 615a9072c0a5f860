"""The session of the console: a URL that works once sets a cookie."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import RedirectResponse, Response

from executor_api import console
from executor_api.access import SESSION_SECONDS, Access
from executor_api.problems import Refused
from executor_api.routes.operation import operation

router = APIRouter(tags=["session"])


class KeyQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: str = Field(max_length=256, description="What `executor serve` printed; it works once.")


@router.get(
    "/ui/session",
    status_code=303,
    **operation(None, 401, scope=None, response_class=RedirectResponse),
)
def begin_session(request: Request, query: Annotated[KeyQuery, Query()]) -> Response:
    """Exchanges the key for a cookie and leads to the console."""
    access: Access = request.app.state.access
    session = access.begin_session(query.key)
    if session is None:
        raise Refused(
            401,
            "key_used",
            "this URL has been used, is too old or was never valid; start executor serve again for another",
        )
    answer = RedirectResponse("/ui/" if console.FOLDER.is_dir() else "/executions", status_code=303)
    answer.set_cookie(
        access.cookie, session, max_age=SESSION_SECONDS, path="/", httponly=True, samesite="strict"
    )
    return answer
