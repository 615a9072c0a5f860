"""The committed OpenAPI document, which others build on."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

from fastapi.routing import APIRoute

from executor_api import openapi
from executor_api.app import ROUTERS

DOCUMENT: dict[str, Any] = json.loads(openapi.FILE.read_text())


def operations() -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
    }


def test_it_is_current() -> None:
    assert openapi.FILE.read_text() == openapi.text()


def test_the_models_have_their_names_and_fields() -> None:
    """Names and fields that programs of others rely on."""
    models = DOCUMENT["components"]["schemas"]

    assert {
        *("execution_id", "plan_id", "title", "status", "verdict", "risk_level", "started_at", "ended_at"),
        *("duration_seconds", "files_changed", "attempt", "error_step", "correlation_id"),
        *("parent_execution_id", "trigger_kind", "run_id"),
    } == models["LineageExecutionSummary"]["properties"].keys()
    assert {"execution", "ancestors", "descendants", "siblings", "truncated"} <= models["ExecutionLineage"][
        "properties"
    ].keys()
    assert {"correlation_id", "total_executions", "root_execution_id", "executions", "next_cursor"} == set(
        models["CorrelationChain"]["properties"]
    )


def test_every_operation_says_what_can_go_wrong() -> None:
    """Each has a sentence, and a problem for what the guard, the parameters and the database refuse."""
    for name, operation in operations().items():
        assert operation["description"], name
        assert {"400", "403", "421", "422", "503"} <= operation["responses"].keys(), name
        for status, response in operation["responses"].items():
            if status >= "400" and (name, status) != ("GET /readyz", "503"):
                content = response["content"]
                assert {"application/problem+json"} == content.keys(), (name, status)
        for parameter in operation.get("parameters", []):
            assert parameter.get("description") or parameter["name"] == "limit", (name, parameter["name"])


def test_the_page_has_every_operation_and_no_other() -> None:
    """With the scope it needs."""
    page = (openapi.FILE.parents[2] / "docs" / "api.md").read_text()
    rows = re.findall(r"^\| `((?:GET|POST) /[^`]*)` \|[^|]*\| *(\w*) *\|$", page, re.MULTILINE)

    assert {name: operation.get("x-scope", "") for name, operation in operations().items()} == dict(rows)


def test_no_handler_runs_in_the_event_loop() -> None:
    """Whoever asks the store waits for a disk: all handlers run in threads."""
    handlers = [
        route.endpoint for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)
    ]

    assert len(operations()) == len(handlers)
    assert [] == [handler.__name__ for handler in handlers if inspect.iscoroutinefunction(handler)]
