"""Tokens over HTTP: each scope opens what it says and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from executor.models.times import format_time, utc_now
from executor.models.token import Scope, TokenKind, new_token
from executor.storage.store import ExecutionStore
from support.api import client, problem_of, sign_in
from support.command import GOOD_PATCH, Repository

PIPELINE = {"patch": "--- /dev/null\n+++ b/Makefile\n@@ -0,0 +1 @@\n+all:\n"}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository.calculator(tmp_path / "calculator")
    repository.run("init")
    return repository


@pytest.fixture
def api(repository: Repository) -> Iterator[TestClient]:
    """At an address others can reach: nothing is open."""
    with client(repository.root, host="192.0.2.1") as opened:
        yield opened


def token(repository: Repository, *scopes: str, name: str = "ci") -> dict[str, str]:
    options = [option for scope in scopes for option in ("--scope", scope)]
    text = repository.run("token", "create", name, *options).out.strip()
    return {"Authorization": f"Bearer {text}"}


def test_each_scope_opens_its_operations(repository: Repository, api: TestClient) -> None:
    read, run = token(repository, "read"), token(repository, "run")
    execution_id = api.post("/executions", json=PIPELINE, headers=run).json()["execution_id"]
    paths = {"read": "/executions", "content": f"/executions/{execution_id}/diff"}

    assert 200 == api.get(paths["read"], headers=read).status_code
    assert (403, "scope_missing") == problem_of(api.get(paths["content"], headers=read))
    assert 200 == api.get(paths["content"], headers=token(repository, "content")).status_code
    assert (403, "scope_missing") == problem_of(api.get(paths["read"], headers=run))
    assert (401, "unauthorized") == problem_of(api.get(paths["read"]))
    for verb in ("approve", "deny"):
        answer = api.post(f"/executions/{execution_id}/{verb}", json={"reason": "r"}, headers=run)
        assert (403, "scope_missing") == problem_of(answer)


def test_who_may_approve_sees_the_tokens_and_never_a_secret(repository: Repository, api: TestClient) -> None:
    reader, reviewer = token(repository, "read"), token(repository, "approve", "read", name="reviewer")
    revoked = repository.run("token", "create", "old", "--scope", "run", "--json").json["token_id"]
    repository.run("token", "revoke", revoked)
    answer = api.get("/tokens", headers=reviewer)
    listed = {item["name"]: item for item in answer.json()["tokens"]}

    assert (403, "scope_missing") == problem_of(api.get("/tokens", headers=reader))
    assert {"ci", "reviewer", "old"} == listed.keys()
    assert (["read", "approve"], True) == (listed["reviewer"]["scopes"], listed["reviewer"]["active"])
    assert not listed["old"]["active"]
    assert listed["old"]["revoked_at"]
    assert "secret" not in answer.text
    assert reviewer["Authorization"].partition(".")[2] not in answer.text


def test_a_token_that_may_approve_does_so_from_anywhere_but_not_for_itself(
    repository: Repository, api: TestClient
) -> None:
    """Records name it, and a program is judged as an agent is."""
    both = token(repository, "run", "approve", "read", name="bot")
    reviewer = token(repository, "approve", name="reviewer")
    execution_id = api.post("/executions", json=PIPELINE, headers=both).json()["execution_id"]
    itself = problem_of(api.post(f"/executions/{execution_id}/approve", json={}, headers=both))
    other = api.post(f"/executions/{execution_id}/approve", json={}, headers=reviewer)
    detail = api.get(f"/executions/{execution_id}", headers=both).json()

    assert (403, "approval_refused") == itself
    assert 202 == other.status_code
    assert ("token:bot", "agent") == (detail["execution"]["actor"], detail["execution"]["trigger_kind"])
    assert "token:reviewer" == detail["approval"]["approved_by"]


def test_only_an_administrator_brings_commands(repository: Repository, api: TestClient) -> None:
    body = {"patch": GOOD_PATCH, "verify": ["true"]}
    admin = token(repository, "run", "read", "admin")
    refused = problem_of(api.post("/executions", json=body, headers=token(repository, "run")))
    accepted = api.post("/executions", json=body, headers=admin)
    execution_id = accepted.json()["execution_id"]
    while api.get(f"/executions/{execution_id}", headers=admin).json()["execution"]["ended_at"] is None:
        time.sleep(0.05)

    assert (422, "invalid_settings") == refused
    assert 202 == accepted.status_code
    plan = api.get(f"/executions/{execution_id}", headers=admin).json()["plan"]
    assert [["true"]] == [check["argv"] for check in plan["verification"]]


def test_what_is_no_good_token_is_refused_everywhere(repository: Repository) -> None:
    """Also where reading is open: somebody who presents a token wants to know that it is wrong."""
    good = token(repository, "read")["Authorization"]
    revoked = token(repository, "read")["Authorization"]
    repository.run("token", "revoke", revoked.removeprefix("Bearer ").partition(".")[0])
    now = format_time(utc_now())
    expired, record = new_token(
        TokenKind.TOKEN, "old", frozenset({Scope.READ}), created_at=now, valid_until=now
    )
    with ExecutionStore(repository.root) as store:
        store.record_token(record)
    with client(repository.root) as api:
        sign_in(api)
        session = next(iter(api.cookies.values()))
        wrong = [
            *(good[:-1], good + "x", good.replace("Bearer", "Basic"), revoked, f"Bearer {expired}"),
            *("Bearer", "Bearer .", "", f"Bearer {session}", "Bearer " + "x" * 300),
        ]

        assert 200 == api.get("/executions", headers={"Authorization": good}).status_code
        for value in wrong:
            answer = api.get("/executions", headers={"Authorization": value})
            assert (401, "unauthorized") == problem_of(answer), value


def test_a_session_outlives_its_server(repository: Repository) -> None:
    """And is taken back like a token."""
    with client(repository.root) as first:
        sign_in(first)
        cookies = dict(first.cookies)
    with client(repository.root) as second:
        second.cookies.update(cookies)
        before = second.post("/executions", json={}).status_code
        (session,) = [
            t for t in repository.run("token", "list", "--json").json["tokens"] if t["kind"] == "session"
        ]
        repository.run("token", "revoke", session["token_id"])
        after = second.get("/executions/x/diff").status_code

    assert (422, 401) == (before, after)
