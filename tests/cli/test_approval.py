"""`approve`, `deny`, `cancel` and `wait`: a person at a terminal decides, for one exact change."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from executor.storage.store import ExecutionStore
from support.command import CALCULATOR, GOOD_PATCH, VERIFY, Repository, Result
from support.terminal import Terminal

MAKEFILE = "--- /dev/null\n+++ b/Makefile\n@@ -0,0 +1 @@\n+all:\n"
OWN_NOTHING = "version: 1\napprovals: {own: []}\n"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.calculator(tmp_path / "repository")


@pytest.fixture
def terminal(repository: Repository) -> Terminal:
    return Terminal(repository)


def execution(repository: Repository, which: str = "@last") -> dict[str, Any]:
    """The record as it stands, without a command that would put anything in order first."""
    with ExecutionStore(repository.root) as store:
        record = store.get_execution(store.resolve_execution_id(which))
    assert record is not None
    return record.to_dict()


def events(repository: Repository, which: str = "@last") -> list[dict[str, Any]]:
    with ExecutionStore(repository.root) as store:
        return [event.to_dict() for event in store.list_events(store.resolve_execution_id(which))]


def propose(repository: Repository, *arguments: str, verify: str = VERIFY, **options: Any) -> str:
    """A change that waits for a person; its id."""
    result = repository.run(
        "run", "--patch", "-", "--verify", verify, "--json", *arguments, stdin=MAKEFILE, **options
    )
    assert result.code == 3, result.err
    record = result.json["execution"]
    assert (record["status"], record["verdict"]) == ("pending", "need_approval")
    return str(record["execution_id"])


def expire(repository: Repository) -> None:
    """Makes every approval one that ran out long ago."""
    with closing(sqlite3.connect(repository.root / ".executor/executor.db")) as connection, connection:
        for execution_id, text in connection.execute(
            "SELECT execution_id, document FROM approvals"
        ).fetchall():
            document = {**json.loads(text), "expires_at": "2020-01-01T00:00:00.000000Z"}
            connection.execute(
                "UPDATE approvals SET document = ?, expires_at = ? WHERE execution_id = ?",
                (json.dumps(document), document["expires_at"], execution_id),
            )


def test_a_person_approves_at_a_terminal_and_it_runs_under_the_same_id(
    repository: Repository, terminal: Terminal
) -> None:
    waiting = propose(repository)
    assert not (repository.root / "Makefile").exists()

    result = terminal.run("approve", waiting, "--reason", "reviewed with Kim")

    assert result.code == 0, result.err
    assert "touches files that decide what runs" in result.err
    assert (repository.root / "Makefile").read_text() == "all:\n"
    record = execution(repository)
    assert (record["execution_id"], record["status"]) == (waiting, "completed")
    assert (record["verdict"], record["verification_passed"]) == ("need_approval", True)
    found = events(repository)
    assert [event["event"] for event in found[:5]] == [
        "execution_start", "gate_decided", "approval_requested", "approved", "step_start",
    ]  # fmt: skip
    assert found[3]["approved_by"] == record["actor"]
    assert found[3]["reason"] == "reviewed with Kim"
    folder = Path(record["artifact_path"])
    assert [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()] == found
    assert json.loads((folder / "approval.json").read_text())["approved_by"] == record["actor"]
    shown = repository.run("show", waiting, "--json").json
    assert shown["approval"]["reason"] == "reviewed with Kim"
    assert "reviewed with Kim" in repository.run("show", waiting).out


def test_what_was_approved_and_fails_its_check_is_rolled_back(
    repository: Repository, terminal: Terminal
) -> None:
    before = repository.state()
    propose(repository, verify="false")

    assert terminal.run("approve", "@last").code == 1
    assert repository.state() == before
    assert execution(repository)["status"] == "rolled_back"


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"CLAUDECODE": "1"}, "an agent (claude-code)"),
        ({"CURSOR_AGENT": "1"}, "an agent (cursor)"),
        ({"CI": "true"}, "continuous integration"),
        ({"GITHUB_ACTIONS": "true"}, "continuous integration (github)"),
        ({"EXECUTOR_PARENT_EXECUTION_ID": "exec_1"}, "inside an execution"),
        ({"EXECUTOR_INSIDE": "verification"}, "inside an execution"),
    ],
)
def test_no_agent_no_pipeline_and_nothing_inside_an_execution_approves(
    repository: Repository, terminal: Terminal, environ: dict[str, str], reason: str
) -> None:
    waiting = propose(repository)

    result = terminal.run("approve", waiting, environ=environ)

    assert (result.code, reason in result.err) == (4, True), result.err
    assert execution(repository)["status"] == "pending"
    assert not (repository.root / "Makefile").exists()


def test_nobody_approves_without_a_terminal(repository: Repository) -> None:
    waiting = propose(repository)

    for arguments in ([], ["--no-run"], ["--json"]):
        result = repository.run("approve", waiting, *arguments, stdin="yes\n")
        assert (result.code, "at a terminal" in result.err) == (4, True), result.err
    assert execution(repository)["status"] == "pending"


def test_a_check_cannot_approve_what_waits(repository: Repository) -> None:
    """Not even with a terminal of its own."""
    waiting = propose(repository)
    spawn = (
        "import pty, sys; "
        f"sys.exit(pty.spawn([sys.executable, '-m', 'executor', 'approve', {waiting!r}]) != 4 << 8)"
    )
    repository.write("spawn.py", spawn)

    result = repository.apply(GOOD_PATCH, "--env", "PYTHONPATH", verify="python spawn.py")

    assert result.code == 0, result.err
    assert execution(repository, waiting)["status"] == "pending"


def test_who_started_an_agent_approves_what_it_proposed_and_the_policy_can_forbid_both(
    repository: Repository, terminal: Terminal
) -> None:
    by_agent = propose(repository, environ={"CLAUDECODE": "1"})
    assert execution(repository)["actor"] == "agent:claude-code"
    assert terminal.run("approve", by_agent).code == 0

    (repository.root / "Makefile").unlink()
    repository.write(".executor/policy.yaml", OWN_NOTHING)
    for environ in ({}, {"CLAUDECODE": "1"}):
        waiting = propose(repository, environ=environ)
        refused = terminal.run("approve", waiting)
        assert (refused.code, "somebody else has to" in refused.err) == (4, True), refused.err
        assert execution(repository, waiting)["status"] == "pending"


def test_another_person_approves_where_the_proposer_may_not(
    repository: Repository, terminal: Terminal
) -> None:
    repository.write(".executor/policy.yaml", OWN_NOTHING)
    waiting = propose(repository, environ={"LOGNAME": "somebody-else"})

    result = terminal.run("approve", waiting, environ={"LOGNAME": "reviewer"})

    assert result.code == 0, result.err
    assert events(repository)[3]["approved_by"] == "reviewer"


def test_a_scheduled_change_is_not_approved_by_its_own_account_unless_the_policy_says_so(
    repository: Repository, terminal: Terminal
) -> None:
    waiting = propose(repository, "--trigger", "scheduled")
    assert terminal.run("approve", waiting).code == 4

    repository.write(".executor/policy.yaml", "version: 1\napprovals: {own: [manual, agent, scheduled]}\n")
    again = propose(repository, "--trigger", "scheduled")
    assert terminal.run("approve", again).code == 0


def test_an_approval_can_be_given_first_and_run_later(repository: Repository, terminal: Terminal) -> None:
    waiting = propose(repository)

    granted = terminal.run("approve", waiting, "--no-run", "--reason", "go")
    waited = repository.run("wait", waiting, "--timeout", "0")
    assert (3, True) == (waited.code, "approved, and not run yet" in waited.err), waited.err
    assert f"executor wait {waiting[-8:]} --run" in repository.run("show", waiting).err
    assert (granted.code, "approved" in granted.out) == (0, True), granted.err
    assert execution(repository)["status"] == "pending"
    assert [r["execution_id"] for r in repository.run("list", "--awaiting", "--json").json["executions"]] == [
        waiting
    ]

    ran = repository.run("wait", waiting, "--run", environ={"CLAUDECODE": "1"})
    assert ran.code == 0, ran.err
    assert execution(repository)["status"] == "completed"
    assert [event["event"] for event in events(repository)].count("approved") == 1
    assert repository.run("list", "--awaiting", "--json").json["executions"] == []


def test_approving_again_runs_what_was_approved(repository: Repository, terminal: Terminal) -> None:
    waiting = propose(repository)
    terminal.run("approve", waiting, "--no-run")

    assert terminal.run("approve", waiting).code == 0
    assert execution(repository)["status"] == "completed"
    assert [event["event"] for event in events(repository)].count("approved") == 1
    assert terminal.run("approve", waiting).code == 2


@pytest.mark.parametrize("granted", [False, True])
@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        (".executor/policy.yaml", "version: 1\nlimits: {files: 7}\n", "policy"),
        ("Makefile", "theirs:\n", "Makefile"),
    ],
)
def test_whatever_changed_since_voids_it_and_is_named(
    repository: Repository, terminal: Terminal, granted: bool, path: str, text: str, said: str
) -> None:
    """Before the approval it is refused, after it nothing runs: exit 7, and not a byte is written."""
    waiting = propose(repository)
    if granted:
        assert terminal.run("approve", waiting, "--no-run").code == 0
    repository.write(path, text)
    before = repository.state()

    result = terminal.run("approve", waiting)

    assert (result.code, said in result.err) == (7, True), result.err
    assert repository.state() == before
    assert execution(repository)["status"] == ("failed" if granted else "pending")


def test_a_commit_elsewhere_in_the_repository_voids_nothing(
    repository: Repository, terminal: Terminal
) -> None:
    waiting = propose(repository)
    terminal.run("approve", waiting, "--no-run")
    repository.write("other.txt", "x")
    repository.git("add", "other.txt")
    repository.git("commit", "--quiet", "--message", "Elsewhere")

    assert terminal.run("approve", waiting).code == 0


def test_an_approval_that_ran_out_cancels_what_it_was_for(repository: Repository, terminal: Terminal) -> None:
    waiting = propose(repository)
    terminal.run("approve", waiting, "--no-run")
    expire(repository)

    result = repository.run("wait", waiting, "--run")

    assert result.code == 1, result.err
    record = execution(repository)
    assert (record["status"], record["error_code"]) == ("cancelled", "approval_expired")
    assert "ran out at 2020-01-01" in record["error_message"]
    assert not (repository.root / "Makefile").exists()
    assert events(repository)[-1]["event"] == "execution_end"


def test_every_start_ends_what_ran_out(repository: Repository, terminal: Terminal) -> None:
    propose(repository)
    terminal.run("approve", "@last", "--no-run")
    expire(repository)

    assert repository.run("list", "--awaiting", "--json").json["executions"] == []
    assert repository.run("list", "--status", "cancelled", "--json").json["total"] == 1


def test_an_approval_covers_the_attempts_of_the_same_change(
    repository: Repository, terminal: Terminal
) -> None:
    first = propose(repository, verify="sh -c 'test -e ../ready'")
    assert terminal.run("approve", first).code == 1

    again = repository.run("retry", first, environ={"CLAUDECODE": "1"})
    assert again.code == 1, again.err
    (repository.root / "../ready").touch()
    result = repository.run("retry", "@last-failed")

    assert result.code == 0, result.err
    approved = [event for event in events(repository) if event["event"] == "approved"]
    assert [event["covers"] for event in approved] == [first]
    assert (repository.root / "Makefile").exists()


@pytest.mark.parametrize("change", ["expired", "policy", "rules"])
def test_an_approval_that_does_not_hold_any_more_covers_nothing(
    repository: Repository, terminal: Terminal, change: str
) -> None:
    first = propose(repository, verify="false")
    terminal.run("approve", first)
    environ = {}
    if change == "expired":
        expire(repository)
    if change == "policy":
        repository.write(".executor/policy.yaml", "version: 1\nlimits: {files: 7}\n")
    if change == "rules":
        # The same policy, but for an agent it asks more than the person was asked about.
        repository.write(".executor/policy.yaml", "version: 1\ntriggers: {agent: {outcome: need_approval}}\n")
        first = propose(repository, verify="false")
        terminal.run("approve", first)
        environ = {"CLAUDECODE": "1"}

    result = repository.run("retry", first, environ=environ)

    assert result.code == 3, result.err
    assert execution(repository)["status"] == "pending"


def test_an_approval_that_was_taken_back_covers_nothing(repository: Repository, terminal: Terminal) -> None:
    first = propose(repository)
    terminal.run("approve", first, "--no-run")
    assert repository.run("deny", first, "--reason", "on second thoughts").code == 0

    assert repository.run("retry", first).code == 3


def test_another_change_is_not_covered(repository: Repository, terminal: Terminal) -> None:
    first = propose(repository, verify="false")
    terminal.run("approve", first)

    other = MAKEFILE.replace("all:", "any:")
    repair = ["--parent", first, "--trigger", "repair"]
    result = repository.run("run", "--patch", "-", "--verify", "true", *repair, stdin=other)
    assert result.code == 3, result.err
    root = repository.run("run", "--patch", "-", "--verify", "false", stdin=MAKEFILE)
    assert root.code == 3, "a new proposal of the same change is no attempt to repeat it"
    fewer = repository.run("run", "--patch", "-", "--verify", "true", *repair, stdin=MAKEFILE)
    assert fewer.code == 3, "a check the person counted on is left out"


def test_who_denies_ends_it_and_says_why(repository: Repository) -> None:
    waiting = propose(repository)
    before = repository.state()

    result = repository.run("deny", waiting, "--reason", "the pipeline stays")

    assert result.code == 0, result.err
    record = execution(repository)
    assert (record["status"], record["error_code"]) == ("cancelled", "denied")
    assert record["error_message"] == f"denied by {record['actor']}: the pipeline stays"
    denied = [event for event in events(repository) if event["event"] == "denied"]
    assert [(event["denied_by"], event["reason"]) for event in denied] == [
        (record["actor"], "the pipeline stays")
    ]
    assert repository.state() == before
    assert repository.run("wait", waiting).code == 4
    assert repository.run("deny", waiting, "--reason", "again").code == 2
    assert Terminal(repository).run("approve", waiting).code == 2


def test_a_secret_in_a_reason_is_masked(repository: Repository) -> None:
    waiting = propose(repository)

    repository.run("deny", waiting, "--reason", "has ghp_" + "a1B2" * 6)

    assert "ghp_" not in json.dumps([execution(repository), events(repository)])


def test_deny_wants_a_reason(repository: Repository) -> None:
    waiting = propose(repository)

    assert repository.run("deny", waiting).code == 2
    assert execution(repository)["status"] == "pending"


def test_what_waits_can_be_withdrawn(repository: Repository) -> None:
    propose(repository)

    result = repository.run("cancel", "@last", "--reason", "not needed", environ={"CLAUDECODE": "1"})

    assert result.code == 0, result.err
    record = execution(repository)
    assert (record["status"], record["error_code"]) == ("cancelled", "withdrawn")
    assert record["error_message"] == "withdrawn by agent:claude-code: not needed"
    assert repository.run("cancel", "@last").code == 2


def test_waiting_ends_when_time_is_up_and_says_what_is_missing(repository: Repository) -> None:
    propose(repository)

    assert repository.run("wait", "@last", "--timeout", "0.2").code == 3
    assert repository.run("wait", "@last", "--run", "--timeout", "0.2").code == 3
    assert repository.run("wait", "unknown").code == 6


def test_a_pipeline_waits_and_runs_what_a_person_approves(repository: Repository, terminal: Terminal) -> None:
    waiting = propose(repository)
    waiter = repository.start("wait", waiting, "--run", "--timeout", "60", environ={"CI": "true"})

    granted = terminal.run("approve", waiting, "--no-run")

    _, errors = waiter.communicate(timeout=60)
    assert (granted.code, waiter.returncode) == (0, 0), errors
    assert (repository.root / "Makefile").exists()


def test_of_two_who_approve_at_once_one_runs_it_and_the_other_learns_of_it(
    repository: Repository, terminal: Terminal
) -> None:
    waiting = propose(repository, verify="sh -c 'echo ran >> ../runs; sleep 1'")

    sessions = [terminal.start("approve", waiting) for _ in range(4)]
    results = [session.result() for session in sessions]

    codes = sorted(result.code for result in results)
    assert codes[0] == 0, [result.err for result in results]
    assert [(r.code, r.err) for r in results if r.code != 0 and not _told(r)] == []
    assert (repository.root / "../runs").read_text() == "ran\n"
    assert [event["event"] for event in events(repository)].count("approved") == 1


def _told(result: Result) -> bool:
    """Approved by somebody else, or over already by the time this one asked."""
    return (result.code, "was approved by" in result.err) == (7, True) or (
        (result.code, "it has ended" in result.err) == (2, True)
    )


def test_a_process_that_dies_between_approval_and_run_loses_nothing(
    repository: Repository, terminal: Terminal
) -> None:
    """The approval stands, the mark of the dead process is cleared, and approving again runs it."""
    waiting = propose(repository)
    assert terminal.run("approve", waiting, "--no-run").code == 0
    marks = repository.root / ".executor/running"
    record = execution(repository)
    (marks / waiting).write_text(
        json.dumps(
            {
                "execution_id": waiting,
                "workspace_id": record["workspace_id"],
                "root": str(repository.root),
                "pid": 1,
            }
        )
    )

    assert repository.run("recover").code == 0
    assert execution(repository)["status"] == "pending"
    assert not (marks / waiting).exists()
    assert terminal.run("approve", waiting).code == 0
    assert execution(repository)["status"] == "completed"


def test_a_process_that_dies_while_it_runs_what_was_approved_is_recovered_and_retried(
    repository: Repository, terminal: Terminal
) -> None:
    waiting = propose(
        repository, verify=f"sh -c 'touch {repository.root}/../begun; test -e ../ready || sleep 60'"
    )
    before = repository.state()
    session = terminal.start("approve", waiting)
    while not (repository.root / "../begun").exists():
        assert session.process.poll() is None
        time.sleep(0.02)
    session.process.kill()
    session.result()
    repository.run("recover")

    record = execution(repository)
    assert (record["status"], record["error_code"]) == ("rolled_back", "cut_short")
    assert repository.state() == before
    (repository.root / "../ready").touch()
    assert repository.run("retry", waiting).code == 0, "the approval covers the next attempt"


def test_what_is_running_is_neither_denied_nor_approved_again(
    repository: Repository, terminal: Terminal
) -> None:
    waiting = propose(repository, verify=f"sh -c 'touch {repository.root}/../begun; sleep 60'")
    session = terminal.start("approve", waiting)
    while not (repository.root / "../begun").exists():
        assert session.process.poll() is None
        time.sleep(0.02)

    denied = repository.run("deny", waiting, "--reason", "late")
    assert (denied.code, "was approved by" in denied.err) == (7, True), denied.err
    assert terminal.run("approve", waiting).code == 7
    waited = repository.run("wait", waiting, "--timeout", "0.2")
    assert waited.code == 75, waited.err

    session.process.terminate()
    assert session.result().code == 130
    assert (repository.root / "calculator.py").read_text() == CALCULATOR


def test_what_another_workspace_proposed_is_approved_here_and_run_there(
    repository: Repository, terminal: Terminal, tmp_path: Path
) -> None:
    shared = {"EXECUTOR_DATABASE_URL": f"sqlite:///{tmp_path}/shared.db"}
    elsewhere = Repository.calculator(tmp_path / "elsewhere")
    waiting = propose(repository, environ=shared)

    granted = Terminal(elsewhere).run("approve", waiting, environ=shared)

    assert (granted.code, str(repository.root) in granted.err) == (0, True), granted.err
    assert not (elsewhere.root / "Makefile").exists()
    assert elsewhere.run("retry", waiting, environ=shared).code == 7
    refused = elsewhere.run("wait", waiting, "--run", environ=shared)
    assert (refused.code, str(repository.root) in refused.err) == (7, True), refused.err
    assert repository.run("wait", waiting, "--run", environ=shared).code == 0
    assert (repository.root / "Makefile").exists()
