"""The server itself: whether it lives, whether it can work, what it serves."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from executor import __version__
from executor.models.token import Scope
from executor_api import schemas
from executor_api.encoding import JSONAnswer
from executor_api.routes.operation import operation, require, served

router = APIRouter(tags=["server"])


@router.get("/healthz", **operation(schemas.Health, scope=None))
def healthz(query: Annotated[schemas.NoQuery, Query()]) -> Response:
    """The process answers."""
    return JSONAnswer({"status": "ok", "version": __version__})


@router.get("/readyz", **operation(schemas.Readiness, scope=None, also={503: {"model": schemas.Readiness}}))
def readyz(request: Request, query: Annotated[schemas.NoQuery, Query()]) -> Response:
    """Database, schema and disk are as executions need them; 503 while they are not."""
    found = served(request).readiness()
    return JSONAnswer(found, status_code=200 if found["ready"] else 503)


@router.get("/workspaces", **operation(schemas.Workspaces))
def list_workspaces(request: Request, query: Annotated[schemas.NoQuery, Query()]) -> Response:
    """The workspaces of the database, and which of them this server serves."""
    require(request, Scope.READ)
    found = served(request)
    return JSONAnswer(
        {
            "workspaces": [
                {
                    "workspace_id": record.workspace_id,
                    "host": record.host,
                    "path": record.path,
                    "created_at": record.created_at,
                    "served": record.workspace_id in found.workspaces,
                }
                for record in found.store.list_workspaces()
            ]
        }
    )
