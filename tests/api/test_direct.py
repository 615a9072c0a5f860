"""The straight way to the answers of plain questions gives what the framework's way gives."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from executor.storage.store import ExecutionStore
from executor.testing.factories import finish, row, start
from executor_api import app
from executor_api.direct import DirectReads
from support.api import client
from support.stores import write_rows

CHAIN = quote("task/1 %2F ä", safe="")
PATHS = (
    "/executions",
    "/executions?limit=2&offset=1",
    "/executions?status=completed&status=!failed&q=%C3%A4&include=steps&include=lines&include=attempts",
    "/executions?since=2026-01-01T00:00:00%2B02:00&unresolved=false",
    "/executions?correlation_id=gone",
    "/executions/e1",
    "/executions/e1?",
    "/executions/gone",
    "/executions/%C3%A4%2Fb",
    "/executions/" + "x" * 1025,
    "/executions/e1/lineage?depth=1&limit=1",
    "/executions/e1/lineage?limit=10000",
    "/executions/e1/events?after=1&tail=1",
    "/executions/e1/diff",
    "/executions/e1/diff?",
    f"/executions/correlation/{CHAIN}?limit=1",
    "/executions/correlation/task/1%20%252F%20%C3%A4",
    "/executions/correlation/gone",
    "/executions/statistics?status=completed",
    # What cannot be meant.
    "/executions?limit=0",
    "/executions?limit=1&limit=2",
    "/executions?limit=",
    "/executions?staus=failed",
    "/executions?cursor=abc",
    "/executions?offset=5&cursor=abc",
    "/executions?q=%FF%FE",
    "/executions/e1?depth=3",
    "/executions/e1/lineage?depth=one",
    "/executions/",
    "/executions/e1/",
    "/executions/e1/nothing",
    "/executions/correlation/",
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("answers")
    with ExecutionStore(workspace) as store:
        start(store, "e1", correlation_id="task/1 %2F ä", title="größe ä")
        finish(store, "e3", "e1")
        finish(store, "e2", "e1")
        with closing(sqlite3.connect(store.db_path)) as connection:
            write_rows(connection, [row("ä/b")])
    return workspace


def test_both_ways_give_the_same_answer(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status, headers and body, refusals and their sentences included."""
    straight = _answers(workspace)
    monkeypatch.setattr(app, "DIRECT", ())

    assert straight == _answers(workspace)
    assert {200, 401, 404, 405, 422} == {status for status, _, _ in straight.values()}


def _answers(workspace: Path) -> dict[str, tuple[int, dict[str, str], Any]]:
    found = {}
    with client(workspace) as api:
        for method in ("GET", "HEAD", "DELETE"):
            for path in PATHS:
                answer = api.request(method, path)
                headers = dict(answer.headers)
                number = headers.pop("x-request-id")
                found[f"{method} {path}"] = (answer.status_code, headers, answer.text.replace(number, "#"))
    return found


def test_plain_questions_do_not_reach_the_framework(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[str] = []
    plain = (path for path in PATHS[: PATHS.index("/executions?limit=0")] if "x" * 1025 not in path)
    made = DirectReads.__init__

    def watched(self: DirectReads, inner: Any, routers: Any) -> None:
        async def noting(scope: Any, receive: Any, send: Any) -> None:
            reached.append(scope.get("path", ""))
            await inner(scope, receive, send)

        made(self, noting, routers)

    monkeypatch.setattr(DirectReads, "__init__", watched)
    with client(workspace) as api:
        for path in plain:
            api.get(path)

    assert [] == [path for path in reached if path.startswith("/executions")]
