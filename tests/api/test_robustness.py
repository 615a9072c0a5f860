"""What is large, slow, shared or odd is answered all the same."""

from __future__ import annotations

import json
import os
import socket
import time
import tracemalloc
from pathlib import Path

import httpx2
import pytest

from executor.host.artifacts import ArtifactFolder
from executor.storage.store import ExecutionStore
from executor.testing.factories import finish, row
from support.api import client, problem_of, sign_in
from support.command import GOOD_PATCH, Repository
from support.stores import SqliteHarness

NOTES_PATCH = "--- /dev/null\n+++ b/notes.txt\n@@ -0,0 +1 @@\n+kept\n"


def test_the_end_of_a_huge_file_is_read_without_the_rest(tmp_path: Path) -> None:
    """300 MB of events; neither as memory nor as time."""
    with ExecutionStore(tmp_path) as store:
        finish(store, "e")
    folder = ArtifactFolder(tmp_path / ".executor", "e")
    folder.create()
    lines = b"".join(b'{"n": %d}\n' % n for n in range(20))
    with folder.events.open("wb") as file:
        file.truncate(300 << 20)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + lines)
    with client(tmp_path) as api:
        sign_in(api)
        tracemalloc.start()
        answer = api.get("/executions/e/artifacts/events.jsonl", params={"tail": 10})
        rows = api.get("/executions/e/events", params={"tail": 10})
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        bounded = api.get("/executions/e/artifacts/events.jsonl", params={"tail": 10_000})

    assert [{"n": n} for n in range(10, 20)] == [json.loads(line) for line in answer.text.splitlines()]
    assert ["execution_start", "execution_end"] == [event["event"] for event in rows.json()["events"]]
    assert peak < 8 << 20
    assert len(bounded.content) <= 1 << 20


def test_a_family_of_fifty_thousand_is_cut_and_says_so(tmp_path: Path) -> None:
    harness = SqliteHarness(tmp_path)
    harness.write_behind([row("root", correlation_id="root")])
    harness.write_behind(
        row(f"child{n:05}", correlation_id="root", parent_execution_id="root", trigger_kind="child")
        for n in range(50_000)
    )
    with client(harness.workspace) as api:
        answer = api.get("/executions/child00007/lineage").json()
        below = api.get("/executions/root/lineage", params={"limit": 10}).json()
        chain = api.get("/executions/correlation/root", params={"limit": 2}).json()
        listed = api.get("/executions", params={"parent_execution_id": "root"}).json()
    harness.close()

    assert (1000, True) == (len(answer["siblings"]), answer["truncated"]["siblings"])
    assert (10, True) == (len(below["descendants"]), below["truncated"]["descendants"])
    assert 50_001 == chain["total_executions"]
    assert (None, 10_000) == (listed["total"], listed["total_at_least"])


@pytest.mark.parametrize("clients", [100, pytest.param(1000, marks=pytest.mark.full)])
def test_slow_clients_keep_nobody_waiting(tmp_path: Path, clients: int) -> None:
    """Each sends half a request and stops; others are answered meanwhile."""
    repository = Repository(tmp_path)
    process = repository.start("serve", "--port", "0")
    assert process.stdout is not None
    base = process.stdout.readline().partition("/ui/")[0]
    port = int(base.rpartition(":")[2])
    slow = []
    try:
        for _ in range(clients):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(
                b"POST /executions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
            )
            slow.append(connection)
        answers = [httpx2.get(f"{base}/executions").status_code for _ in range(5)]
    finally:
        for connection in slow:
            connection.close()
        process.terminate()
        _, err = process.communicate(timeout=60)

    assert [200] * 5 == answers
    assert "Traceback" not in err


def test_what_is_kept_is_asked_for_once(tmp_path: Path) -> None:
    """A diff and an artifact come with a tag; who has them is told so."""
    repository = Repository.calculator(tmp_path / "calculator")
    repository.apply(GOOD_PATCH)
    with client(repository.root) as api:
        sign_in(api)
        (record,) = api.get("/executions").json()["executions"]
        for name in ("diff", "artifacts/plan.json"):
            path = f"/executions/{record['execution_id']}/{name}"
            first = api.get(path)
            tag = first.headers["etag"]
            again = [api.get(path, headers={"If-None-Match": known}) for known in (tag, f'"x", W/{tag}')]
            other = api.get(path, headers={"If-None-Match": '"x"'})

            assert [(304, b"")] * 2 == [(answer.status_code, answer.content) for answer in again]
            assert first.content == other.content
            assert "no-store" not in first.headers["cache-control"]


def test_the_access_log_holds_no_secret(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with client(tmp_path, access_log=log) as api:
        sign_in(api)
        api.get("/executions", params={"q": "hunter2"}, headers={"Authorization": "Bearer hunter2.hunter2"})
        api.get("/executions/a%0Ab", headers={"Host": "elsewhere"})
        secrets = [*api.cookies.values(), "hunter2", "key="]
    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]

    assert ["/ui/session", "/executions", "/executions/a\nb"] == [line["path"] for line in lines]
    assert [303, 401, 421] == [line["status"] for line in lines]
    assert {"timestamp", "event", "request_id", "method", "path", "status", "milliseconds"} == lines[0].keys()
    assert [] == [secret for secret in secrets if secret in text]
    assert 0o600 == log.stat().st_mode & 0o777


@pytest.mark.postgres
def test_two_servers_on_one_database_are_one(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several workspaces in each; a session of one holds for the other, and both see what either does."""
    monkeypatch.setenv("EXECUTOR_DATABASE_URL", postgres_url)
    first = Repository.calculator(tmp_path / "first")
    second = Repository.calculator(tmp_path / "second")
    with client(first.root, second.root) as one, client(second.root, first.root) as two:
        sign_in(one)
        two.cookies.update(one.cookies)
        workspaces = {item["path"]: item for item in one.get("/workspaces").json()["workspaces"]}
        name = workspaces[str(second.root)]["workspace_id"]
        unnamed = problem_of(two.post("/executions", json={"patch": GOOD_PATCH}))
        made = two.post("/executions", json={"patch": NOTES_PATCH, "workspace": name})
        execution_id = made.json()["execution_id"]
        for _ in range(600):
            record = one.get(f"/executions/{execution_id}").json()["execution"]
            if record["ended_at"]:
                break
            time.sleep(0.05)
        listed = [
            len(api.get("/executions", params={"workspace": workspace["workspace_id"]}).json()["executions"])
            for api in (one, two)
            for workspace in (workspaces[str(first.root)], workspaces[str(second.root)])
        ]
        ready = one.get("/readyz").json()

    assert (422, "workspace_needed") == unnamed
    assert "completed" == record["status"]
    assert (name, [0, 1, 0, 1], True) == (record["workspace_id"], listed, ready["ready"])
    assert all(item["served"] for item in workspaces.values())


def test_what_is_not_ready_says_so(tmp_path: Path) -> None:
    """Liveness is not readiness."""
    with client(tmp_path) as api:
        before = api.get("/readyz")
        store = api.app.state.served.store  # type: ignore[attr-defined]
        path = store.db_path
        store.close()
        path.write_bytes(b"no database any more" * 500)
        for name in ("executor.db-wal", "executor.db-shm"):
            (path.parent / name).unlink(missing_ok=True)
        after = api.get("/readyz")
        asked = problem_of(api.get("/executions"))
        alive = api.get("/healthz")

    assert (200, 503, 200) == (before.status_code, after.status_code, alive.status_code)
    assert {"ready": False, "database": False} == {name: after.json()[name] for name in ("ready", "database")}
    assert (503, "database_damaged") == asked
