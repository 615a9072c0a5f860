"""The server itself: whether it lives, whether it can work, what it serves, and who may ask it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from executor import __version__
from executor.errors import InvalidPolicy
from executor.host.settings import load_policy
from executor.models.times import format_time, utc_now
from executor.models.token import Scope, TokenKind
from executor_api import schemas
from executor_api.encoding import JSONAnswer
from executor_api.routes.operation import operation, require, served
from executor_api.served import ServedWorkspace

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
                    "policy": _policy(found.workspaces.get(record.workspace_id)),
                }
                for record in found.store.list_workspaces()
            ]
        }
    )


def _policy(workspace: ServedWorkspace | None) -> dict[str, str | None] | None:
    if workspace is None:
        return None
    try:
        policy = load_policy(workspace.root)
    except InvalidPolicy as error:
        return {"name": None, "hash": None, "problem": str(error)}
    return {"name": policy.name, "hash": policy.digest, "problem": None}


@router.get("/database", **operation(schemas.Database))
def get_database(request: Request, query: Annotated[schemas.NoQuery, Query()]) -> Response:
    """The engine and how much room the record takes."""
    require(request, Scope.READ)
    return JSONAnswer(asdict(served(request).database_size()))


@router.get("/tokens", **operation(schemas.Tokens, scope=Scope.APPROVE))
def list_tokens(request: Request, query: Annotated[schemas.NoQuery, Query()]) -> Response:
    """The tokens of programs, also those that are revoked or ran out. Sessions of the console are none."""
    require(request, Scope.APPROVE)
    now = format_time(utc_now())
    return JSONAnswer(
        {
            "tokens": [
                {
                    "token_id": token.token_id,
                    "name": token.name,
                    "scopes": token.scopes.split(),
                    "created_at": token.created_at,
                    "valid_until": token.valid_until,
                    "revoked_at": token.revoked_at,
                    "active": token.holds(now),
                }
                for token in served(request).store.list_tokens()
                if token.kind == TokenKind.TOKEN
            ]
        }
    )
