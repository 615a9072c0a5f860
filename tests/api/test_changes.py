"""Changes over HTTP are the changes of the command line, and are not lost when the server goes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from executor_api.accepted_queue import AcceptedQueue
from support.api import client, problem_of, sign_in
from support.command import BROKEN_PATCH, GOOD_PATCH, VERIFY, Repository

PIPELINE_PATCH = """\
--- /dev/null
+++ b/Makefile
@@ -0,0 +1 @@
+all:
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository.calculator(tmp_path / "calculator")
    repository.run("init")
    repository.write(".executor/config.toml", f'[checks]\ntests = "{VERIFY}"\n')
    return repository


@pytest.fixture
def api(repository: Repository) -> Iterator[TestClient]:
    with client(repository.root) as opened:
        sign_in(opened)
        yield opened


def ended(api: Any, execution_id: str) -> dict[str, Any]:
    """The execution, when it has ended."""
    for _ in range(600):
        record: dict[str, Any] = api.get(f"/executions/{execution_id}").json()["execution"]
        if record["status"] in ("completed", "failed", "rolled_back", "cancelled"):
            return record
        time.sleep(0.05)
    raise AssertionError(record)


def running(api: Any) -> str:
    """The one execution, when its check runs."""
    for _ in range(600):
        found = api.get("/executions", params={"status": "verifying"}).json()["executions"]
        if found:
            return str(found[0]["execution_id"])
        time.sleep(0.05)
    raise AssertionError("nothing runs")


def accepted(answer: Any) -> str:
    assert answer.status_code == 202, answer.text
    execution_id: str = answer.json()["execution_id"]
    assert f"/executions/{execution_id}" == answer.headers["location"]
    return execution_id


class TestPropose:
    def test_a_change_is_judged_applied_and_verified(self, repository: Repository, api: TestClient) -> None:
        answer = api.post(
            "/executions",
            json={"patch": GOOD_PATCH, "verify": ["tests"], "title": "Turn it round", "run_id": "run/1"},
        )
        execution_id = accepted(answer)
        known_at_once = api.get(answer.headers["location"]).status_code
        record = ended(api, execution_id)
        told = repository.run("show", execution_id, "--json").json

        assert 200 == known_at_once
        assert ("completed", True, 1) == (
            record["status"],
            record["verification_passed"],
            record["files_changed"],
        )
        assert ("Turn it round", "run/1", "manual") == (
            record["title"],
            record["run_id"],
            record["trigger_kind"],
        )
        assert record == told["execution"]
        assert "return b + a" in (repository.root / "calculator.py").read_text()
        assert [] == AcceptedQueue(repository.root / ".executor").waiting()

    def test_a_change_that_fails_is_rolled_back_and_can_be_retried(
        self, repository: Repository, api: TestClient
    ) -> None:
        before = repository.state()
        first = accepted(api.post("/executions", json={"patch": BROKEN_PATCH}))
        record = ended(api, first)
        second = accepted(api.post(f"/executions/{first}/retry", json={"why": "again"}))
        again = ended(api, second)

        assert ("rolled_back", "verify") == (record["status"], record["error_step"])
        assert ("rolled_back", "retry", first, 2) == (
            again["status"],
            again["trigger_kind"],
            again["parent_execution_id"],
            again["attempt"],
        )
        assert before == repository.state()

    def test_what_completed_is_undone(self, repository: Repository, api: TestClient) -> None:
        before = repository.state()
        first = accepted(api.post("/executions", json={"patch": GOOD_PATCH, "verify": ["tests"]}))
        ended(api, first)
        key = {"Idempotency-Key": "undo"}
        answers = [
            api.post(f"/executions/{first}/revert", json={"why": "too soon"}, headers=key) for _ in range(2)
        ]
        undo = accepted(answers[0])
        record = ended(api, undo)
        after = repository.state()
        again = api.post(f"/executions/{first}/revert", json={})
        detail = api.get(f"/executions/{first}").json()

        assert undo == accepted(answers[1])
        assert ("completed", "manual", first, True) == (
            record["status"],
            record["trigger_kind"],
            record["parent_execution_id"],
            record["verification_passed"],
        )
        assert before == after
        assert (undo, True) == (accepted(again), again.json()["already_applied"])
        assert undo == detail["reverted_by"]
        assert [{"source_id": undo, "kind": "reverts", "target_id": first}] == detail["links"]

    def test_what_was_changed_again_is_not_undone(self, repository: Repository, api: TestClient) -> None:
        first = accepted(api.post("/executions", json={"patch": GOOD_PATCH}))
        ended(api, first)
        later = GOOD_PATCH.replace("b + a", "b + a + 0").replace("a + b", "b + a")
        second = accepted(api.post("/executions", json={"patch": later}))
        assert "completed" == ended(api, second)["status"]
        refused = api.post(f"/executions/{first}/revert", json={})
        failed = accepted(api.post("/executions", json={"patch": BROKEN_PATCH.replace("a + b", "b + a + 0")}))
        ended(api, failed)

        assert (409, "revert_conflict") == problem_of(refused)
        assert second in refused.json()["detail"]
        conflict = refused.json()["conflict"]
        assert ([second], [], ["calculator.py"]) == (
            conflict["executions"],
            conflict["edited"],
            [item["path"] for item in conflict["paths"]],
        )
        assert (409, "invalid_state") == problem_of(api.post(f"/executions/{failed}/revert", json={}))
        assert (422, "invalid_settings") == problem_of(
            api.post(f"/executions/{second}/revert", json={"verify": ["rm -rf ."]})
        )
        assert 3 == api.get("/executions").json()["total"]

    def test_checks_that_were_found_are_not_found_for_a_request(
        self, repository: Repository, api: TestClient
    ) -> None:
        """Over HTTP only what `[checks]` names is run, or what was named for the execution."""
        assert 0 == repository.apply(GOOD_PATCH, verify=None).code
        first = api.get("/executions").json()["executions"][0]["execution_id"]
        undo = accepted(api.post(f"/executions/{first}/revert", json={}))
        plan = api.get(f"/executions/{undo}").json()["plan"]
        ended(api, undo)
        bare = accepted(api.post(f"/executions/{undo}/revert", json={"verify": []}))

        assert [VERIFY] == [check["name"] for check in plan["verification"]]
        assert "need_approval" == api.get(f"/executions/{bare}").json()["execution"]["verdict"]

    def test_what_is_in_place_is_said_and_not_run(self, api: TestClient) -> None:
        first = accepted(api.post("/executions", json={"patch": GOOD_PATCH}))
        ended(api, first)
        again = api.post("/executions", json={"patch": GOOD_PATCH})

        assert (first, True) == (accepted(again), again.json()["already_applied"])

    def test_a_base_that_moved_is_a_conflict_with_its_reason(
        self, repository: Repository, api: TestClient
    ) -> None:
        repository.write("calculator.py", "def add(a, b):\n    return sum((a, b))\n")
        answer = api.post("/executions", json={"patch": GOOD_PATCH})

        assert (409, "base_changed") == problem_of(answer)
        assert "calculator.py" in answer.json()["detail"]
        assert [] == api.get("/executions").json()["executions"]

    def test_a_key_makes_a_request_happen_once(self, api: TestClient) -> None:
        """Whatever became of the first answer."""
        headers = {"Idempotency-Key": "once"}
        first = accepted(api.post("/executions", json={"patch": BROKEN_PATCH}, headers=headers))
        second = accepted(api.post("/executions", json={"patch": BROKEN_PATCH}, headers=headers))
        ended(api, first)
        third = accepted(api.post("/executions", json={"patch": BROKEN_PATCH}, headers=headers))
        other = api.post("/executions", json={"patch": GOOD_PATCH}, headers=headers)
        retries = {
            accepted(api.post(f"/executions/{first}/retry", json={}, headers={"Idempotency-Key": "twice"}))
            for _ in range(2)
        }

        assert first == second == third
        assert (409, "idempotency_mismatch") == problem_of(other)
        assert 1 == len(retries)
        assert 2 == api.get("/executions").json()["total"]

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({}, "invalid_request"),
            ({"patch": GOOD_PATCH, "changeset": {}}, "invalid_request"),
            ({"patch": GOOD_PATCH, "verify": ["rm -rf ."]}, "invalid_settings"),
            ({"patch": "no patch"}, "invalid_change"),
            ({"patch": GOOD_PATCH, "correlation_id": "\n"}, "invalid_id"),
            ({"patch": GOOD_PATCH, "trigger_kind": "whim"}, "invalid_request"),
            ({"changeset": {"nonsense": 1}}, "invalid_change"),
            ({"patch": GOOD_PATCH, "force": True}, "invalid_request"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, api: TestClient, body: dict[str, Any], code: str) -> None:
        """Commands are named in the workspace, never in a request."""
        assert (422, code) == problem_of(api.post("/executions", json=body))

    def test_unknown_parents_and_workspaces_are_refused(self, api: TestClient) -> None:
        orphan = api.post("/executions", json={"patch": GOOD_PATCH, "parent_execution_id": "gone"})
        elsewhere = api.post("/executions", json={"patch": GOOD_PATCH, "workspace": "ws_gone"})

        assert (404, "parent_not_found") == problem_of(orphan)
        assert (409, "workspace_not_served") == problem_of(elsewhere)
        assert (404, "execution_not_found") == problem_of(api.post("/executions/gone/retry", json={}))

    def test_without_a_session_nothing_changes(self, repository: Repository) -> None:
        with client(repository.root) as api:
            refused = [
                problem_of(api.post("/executions", json={"patch": GOOD_PATCH})),
                *(
                    problem_of(
                        api.post(
                            f"/executions/x/{verb}",
                            json={} if verb in ("retry", "revert") else {"reason": "r"},
                        )
                    )
                    for verb in ("retry", "revert", "approve", "deny", "cancel", "dismiss")
                ),
            ]

        assert [(401, "unauthorized")] * 7 == refused


class TestDecide:
    def test_a_person_lets_it_run(self, repository: Repository, api: TestClient) -> None:
        execution_id = accepted(api.post("/executions", json={"patch": PIPELINE_PATCH}))
        awaiting = api.get("/executions", params={"awaiting": "true"}).json()["executions"]
        accepted(api.post(f"/executions/{execution_id}/approve", json={"reason": "looked at it"}))
        record = ended(api, execution_id)
        approval = api.get(f"/executions/{execution_id}").json()["approval"]

        assert [execution_id] == [item["execution_id"] for item in awaiting]
        assert ("completed", "looked at it") == (record["status"], approval["reason"])
        assert (repository.root / "Makefile").exists()
        assert (409, "invalid_state") == problem_of(api.post(f"/executions/{execution_id}/approve", json={}))

    @pytest.mark.parametrize("verb", ["deny", "cancel"])
    def test_a_person_ends_it(self, repository: Repository, api: TestClient, verb: str) -> None:
        execution_id = accepted(api.post("/executions", json={"patch": PIPELINE_PATCH}))
        accepted(api.post(f"/executions/{execution_id}/{verb}", json={"reason": "not now"}))
        record = ended(api, execution_id)

        assert ("cancelled", "denied" if verb == "deny" else "withdrawn") == (
            record["status"],
            record["error_code"],
        )
        assert "not now" in record["error_message"]
        assert not (repository.root / "Makefile").exists()

    def test_nobody_approves_from_the_shell_of_an_agent(self, repository: Repository) -> None:
        """A server that an agent started hands its session to that agent."""
        with client(repository.root, environ={**os.environ, "CLAUDECODE": "1"}) as api:
            sign_in(api)
            execution_id = accepted(api.post("/executions", json={"patch": PIPELINE_PATCH}))
            refused = problem_of(api.post(f"/executions/{execution_id}/approve", json={}))

        assert (403, "approval_refused") == refused

    def test_a_failure_is_dismissed_and_taken_back(self, api: TestClient) -> None:
        execution_id = accepted(api.post("/executions", json={"patch": BROKEN_PATCH}))
        ended(api, execution_id)
        seen = [api.get(f"/executions/{execution_id}").json()["unresolved"]]
        for body in ({"reason": "known"}, {"undo": True}):
            accepted(api.post(f"/executions/{execution_id}/dismiss", json=body))
            seen.append(api.get(f"/executions/{execution_id}").json()["unresolved"])

        assert [True, False, True] == seen
        assert (422, "invalid_request") == problem_of(
            api.post(f"/executions/{execution_id}/dismiss", json={})
        )

    def test_what_runs_is_stopped_and_rolled_back(self, repository: Repository, api: TestClient) -> None:
        """And what waits its turn behind it never begins."""
        repository.write(".executor/config.toml", '[checks]\nslow = "sleep 600"\n')
        before = repository.state()
        first = accepted(api.post("/executions", json={"patch": GOOD_PATCH}))
        second = accepted(
            api.post("/executions", json={"patch": PIPELINE_PATCH.replace("Makefile", "notes.txt")})
        )
        verifying(api, first)
        accepted(api.post(f"/executions/{second}/cancel", json={}))
        accepted(api.post(f"/executions/{first}/cancel", json={}))

        assert ("rolled_back", "interrupted") == tuple(
            ended(api, first)[name] for name in ("status", "error_code")
        )
        assert ("cancelled", "withdrawn") == tuple(
            ended(api, second)[name] for name in ("status", "error_code")
        )
        assert before == repository.state()

    def test_what_a_terminal_runs_is_stopped_too(self, repository: Repository, api: TestClient) -> None:
        before = repository.state()
        patch = repository.root.parent / "p.diff"
        patch.write_text(GOOD_PATCH)
        process = repository.start("run", "--patch", str(patch), "--verify", "sleep 600")
        execution_id = running(api)
        accepted(api.post(f"/executions/{execution_id}/cancel", json={"reason": "not now"}))
        process.communicate(timeout=60)

        assert 130 == process.returncode
        record = ended(api, execution_id)
        assert ("rolled_back", "interrupted") == (record["status"], record["error_code"])
        assert before == repository.state()


class TestRestart:
    @contextmanager
    def started(self, repository: Repository, end: signal.Signals) -> Iterator[httpx2.Client]:
        """A server that gets the signal at the end of the block; SIGKILL kills its worker, too."""
        process = repository.start("serve", "--port", "0")
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with httpx2.Client(base_url=url.partition("/ui/")[0]) as api:
            assert api.get(url).status_code == 303
            yield api
        doomed = [process.pid, *children(process.pid)] if end == signal.SIGKILL else [process.pid]
        for pid in doomed:
            os.kill(pid, end)
        _, err = process.communicate(timeout=60)
        assert "Traceback" not in err

    def test_what_was_accepted_is_done_after_the_server_was_killed(self, repository: Repository) -> None:
        """Server and worker die at once while one runs and two wait; the next server sees all to an end."""
        marker = repository.root.parent / "go"
        repository.write("wait.sh", f"until [ -e {marker} ]; do sleep 0.05; done\n")
        repository.write(".executor/config.toml", '[checks]\nwait = "sh wait.sh"\n')
        patches = [PIPELINE_PATCH.replace("Makefile", f"notes{n}.txt") for n in range(3)]
        with self.started(repository, signal.SIGKILL) as api:
            ids = [accepted(api.post("/executions", json={"patch": patch})) for patch in patches]
            verifying(api, ids[0])
        marker.touch()
        with self.started(repository, signal.SIGINT) as api:
            records = [ended(api, execution_id) for execution_id in ids]

        assert ["rolled_back", "completed", "completed"] == [record["status"] for record in records]
        assert [False, True, True] == [(repository.root / f"notes{n}.txt").exists() for n in range(3)]

    def test_the_server_lets_what_runs_finish(self, repository: Repository) -> None:
        repository.write(".executor/config.toml", '[checks]\nwait = "sleep 1"\n')
        with self.started(repository, signal.SIGTERM) as api:
            execution_id = accepted(api.post("/executions", json={"patch": GOOD_PATCH}))
            verifying(api, execution_id)

        assert "completed" == repository.run("show", execution_id, "--json").json["execution"]["status"]


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def verifying(api: Any, execution_id: str) -> None:
    """Waits until its check runs."""
    while api.get(f"/executions/{execution_id}").json()["execution"]["status"] != "verifying":
        time.sleep(0.02)
