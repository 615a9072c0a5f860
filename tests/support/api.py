"""The API in this process, on a database that a test fills."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from executor_api import Settings, create_app

BASE = "http://localhost:5173"


@contextmanager
def client(*workspaces: Path, **settings: Any) -> Iterator[TestClient]:
    """A program of the user: it may read, and has no session."""
    app = create_app(Settings(workspaces=workspaces, **settings))
    with TestClient(app, base_url=BASE, raise_server_exceptions=False) as opened:
        yield opened


def sign_in(opened: TestClient) -> None:
    """From here on `opened` has the session of the console."""
    assert isinstance(opened.app, FastAPI)
    key = opened.app.state.access.new_key()
    answer = opened.get("/ui/session", params={"key": key}, follow_redirects=False)
    assert answer.status_code == 303, answer.text


def problem_of(answer: Any) -> tuple[int, str]:
    """Status and code; fails for an answer that is no problem, or that shows what a server keeps to itself."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = json.loads(answer.content)
    assert body["status"] == answer.status_code
    assert body["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    assert "/.executor" not in answer.text
    return answer.status_code, body["code"]
