"""The straight way from a question to its answer, for what is asked most.

The framework looks at every route, finds out for every request what an operation needs, and passes it through layers
that reading needs none of; that costs more than most answers. Here a plain question goes to its operation at once.
Whatever is not plain, such as a value that cannot be meant, an unknown parameter or an unknown path, is left to the
framework: it refuses as documented, and stays the only place that does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from re import Pattern
from typing import Any, Final, NamedTuple, get_origin, get_type_hints
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.convertors import Convertor
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from executor.errors import ExecutorError
from executor_api import problems
from executor_api.problems import Refused

# As many questions as are answered at the same time; the others wait.
THREADS: Final = 40
_LONGEST_ID: Final = 1024


class _Operation(NamedTuple):
    path: Pattern[str]
    convertors: dict[str, Convertor[Any]]
    answer: Callable[..., Response]
    query: type[BaseModel]
    lists: frozenset[str]

    def asked(self, query: bytes) -> BaseModel | None:
        """What a query asks; None when that is for the framework to say."""
        given: dict[str, Any] = {}
        if query:
            for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
                if name in self.lists:
                    given.setdefault(name, []).append(value)
                elif name in given:
                    return None
                else:
                    given[name] = value
        try:
            return self.query.model_validate(given)
        except ValidationError:
            return None


class DirectReads:
    """Answers the plain GET requests of some routers, each in a thread; everything else goes on to `app`."""

    def __init__(self, app: ASGIApp, routers: Sequence[APIRouter]) -> None:
        self.app = app
        self._operations = [
            _operation(route)
            for router in routers
            for route in router.routes
            if isinstance(route, APIRoute) and route.methods == {"GET"}
        ]
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="read")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._found(scope) if scope["type"] == "http" and scope["method"] == "GET" else None
        if found is None:
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, found, request)
        except (ExecutorError, Refused) as error:
            answer = problems.of(error, problems.request_id(request))
        await answer(scope, receive, send)

    def _found(self, scope: Scope) -> Callable[[Request], Response] | None:
        """What answers the request; None when the framework has to."""
        path = scope["path"]
        for operation in self._operations:
            match = operation.path.match(path)
            if match is None:
                continue
            values = {
                name: operation.convertors[name].convert(text) for name, text in match.groupdict().items()
            }
            if any(len(value) > _LONGEST_ID for value in values.values()):
                return None
            query = operation.asked(scope["query_string"])
            return None if query is None else partial(operation.answer, query=query, **values)
        return None


def _operation(route: APIRoute) -> _Operation:
    hints = get_type_hints(route.endpoint)
    model = hints["query"]
    assert issubclass(model, BaseModel)
    lists = frozenset(
        name for name, field in model.model_fields.items() if get_origin(field.annotation) is list
    )
    others = set(hints) - {"query", "request", "return"}
    assert others == set(route.param_convertors), f"{route.path} has parameters that are no path or query"
    return _Operation(route.path_regex, route.param_convertors, route.endpoint, model, lists)
