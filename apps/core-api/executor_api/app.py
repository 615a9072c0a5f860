"""The application, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from starlette.responses import RedirectResponse, Response

from executor import __version__
from executor_api import console, problems
from executor_api.access import Access
from executor_api.access_log import AccessLog
from executor_api.direct import DirectReads
from executor_api.feed import EventFeed
from executor_api.guard import CONSOLE, Guard
from executor_api.routes import artifacts, changes, executions, operation, server, session, stream
from executor_api.served import Served
from executor_api.settings import Settings

# The first route that fits answers: fixed words come before ids (`executions` orders its own).
ROUTERS = (server.router, session.router, executions.router, artifacts.router, changes.router, stream.router)


# Their GET operations take a path, a query and nothing else.
DIRECT = (executions.router,)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Serves `settings.workspaces`; nothing is opened before the first request or the start-up.

    Raises InvalidSettings, WorkspaceNotFound.
    """
    settings = settings if settings is not None else Settings()
    served = Served(settings)
    access_log = None if settings.access_log is None else AccessLog(settings.access_log)
    feed = EventFeed(lambda: served.store)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await to_thread.run_sync(lambda: served.store)
        yield
        await to_thread.run_sync(feed.close)
        await to_thread.run_sync(served.close)
        if access_log is not None:
            access_log.close()

    app = FastAPI(
        title="Executor",
        summary="What ran, why, whether it was allowed, how it came out, and which attempt it was.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    app.state.served = served
    app.state.feed = feed
    app.state.access = Access(settings, lambda: served.store)
    # The last that is added comes first.
    app.add_middleware(DirectReads, routers=DIRECT)
    app.add_middleware(Guard, settings=settings, access_log=access_log)
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    _add_console(app)
    _describe(app, settings)
    return app


def _add_console(app: FastAPI) -> None:
    if not console.FOLDER.is_dir():
        return

    def home() -> Response:
        return RedirectResponse(f"{CONSOLE}/")

    app.add_api_route("/", home, include_in_schema=False)
    app.add_api_route(CONSOLE, home, include_in_schema=False)
    app.mount(CONSOLE, console.Console(directory=console.FOLDER, html=True))


def _describe(app: FastAPI, settings: Settings) -> None:
    """Adds to the OpenAPI document what the framework cannot know."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = made()
            components = document.setdefault("components", {})
            components.setdefault("schemas", {}).update(problems.schemas())
            components["securitySchemes"] = {
                operation.SESSION_SCHEME: {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": settings.cookie,
                    "description": "Set by the URL `executor serve` prints; the name ends with the port.",
                },
                operation.TOKEN_SCHEME: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`executor token create` makes one; `x-scope` says which scope it needs.",
                },
            }
        return app.openapi_schema or document

    app.openapi = openapi  # type: ignore[method-assign]
