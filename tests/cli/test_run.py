"""`executor run` and `retry` on a real repository with real tests."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from support.command import BROKEN_PATCH, GOOD_PATCH, VERIFY, Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.calculator(tmp_path / "repository")


@pytest.fixture
def workspace(repository: Repository) -> Repository:
    """A repository in which executor is at home, without executions."""
    assert repository.run("init").code == 0
    return repository


def execution(repository: Repository, which: str = "@last") -> dict[str, Any]:
    record = repository.run("show", which, "--json").json["execution"]
    assert isinstance(record, dict)
    return record


def events(repository: Repository, which: str = "@last") -> list[dict[str, Any]]:
    found = repository.run("events", which, "--json").json["events"]
    assert isinstance(found, list)
    return found


def test_a_change_that_passes_its_check_stays(repository: Repository) -> None:
    result = repository.apply(GOOD_PATCH, "--title", "Swap the operands", "--why", "to see it work")

    assert result.code == 0, result.err
    assert "return b + a" in (repository.root / "calculator.py").read_text()
    record = execution(repository)
    assert record["status"] == "completed"
    assert record["verification_passed"] is True
    assert record["files_changed"] == 1
    assert record["title"] == "Swap the operands"
    assert record["base_commit"] == repository.git("rev-parse", "HEAD").strip()
    assert record["branch"] == "main"
    assert record["actor"]


def test_a_change_that_fails_its_check_is_undone_to_the_byte(repository: Repository) -> None:
    before = repository.state()

    result = repository.apply(BROKEN_PATCH)

    assert result.code == 1, result.err
    assert repository.state() == before
    record = execution(repository)
    assert (record["status"], record["error_step"], record["error_code"]) == (
        "rolled_back",
        "verify",
        "check_failed",
    )
    assert record["rolled_back"] is True
    assert "AssertionError: -1 != 5" in record["error_message"]
    assert "AssertionError: -1 != 5" in repository.run("logs", "@last").out
    found = {
        step: repository.run("list", "--error-step", step, "--json").json["total"]
        for step in ("verify", "apply", "!verify")
    }
    assert found == {"verify": 1, "apply": 0, "!verify": 0}


def test_a_directory_that_lost_its_last_file_comes_back(repository: Repository) -> None:
    only = repository.root / "folder/deep/only.txt"
    only.parent.mkdir(parents=True)
    only.write_text("the only one\n")
    before = repository.state()
    patch = "--- a/folder/deep/only.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-the only one\n"

    result = repository.apply(patch, verify="test -e folder")

    assert result.code == 1, result.err
    assert repository.state() == before


def test_every_step_is_recorded_in_order_with_its_events(repository: Repository) -> None:
    repository.apply(BROKEN_PATCH)

    steps = repository.run("show", "@last", "--json").json["steps"]
    assert [(step["step_name"], step["status"]) for step in steps] == [
        ("validate", "completed"),
        ("backup", "completed"),
        ("apply", "completed"),
        ("verify", "failed"),
        ("rollback", "completed"),
    ]
    found = events(repository)
    assert [event["seq"] for event in found] == list(range(1, len(found) + 1))
    names = [event["event"] for event in found]
    assert names[:2] == ["execution_start", "gate_decided"]
    assert names[-1] == "execution_end"
    assert {"file_changed", "command_output", "rollback_start", "rollback_end"} <= set(names)


def test_events_jsonl_and_the_artifacts_hold_what_the_store_holds(repository: Repository) -> None:
    repository.apply(GOOD_PATCH)

    record = execution(repository)
    folder = Path(record["artifact_path"])
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert lines == events(repository)
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        "changeset.json",
        "decision.json",
        "events.jsonl",
        "execution.json",
        "plan.json",
        "steps/04-verify.log",
    ]
    assert json.loads((folder / "execution.json").read_text()) == record
    assert all((path.stat().st_mode & 0o077) == 0 for path in folder.rglob("*"))


def test_a_retry_is_the_child_of_the_attempt_before(repository: Repository) -> None:
    repository.apply(BROKEN_PATCH)
    first = execution(repository)

    result = repository.run("retry", "@last-failed")

    assert result.code == 1
    retried = execution(repository)
    assert retried["parent_execution_id"] == first["execution_id"]
    assert retried["correlation_id"] == first["execution_id"]
    assert (retried["trigger_kind"], retried["attempt"]) == ("retry", 2)
    assert retried["changeset_id"] == first["changeset_id"]
    lineage = repository.run("lineage", "@last", "--json").json
    assert [record["execution_id"] for record in lineage["ancestors"]] == [first["execution_id"]]


def test_a_repair_closes_what_its_family_left_open(repository: Repository) -> None:
    repository.apply(BROKEN_PATCH)
    first = execution(repository)
    assert len(repository.run("list", "--unresolved", "--json").json["executions"]) == 1

    result = repository.apply(GOOD_PATCH, "--parent", "@last-failed", "--trigger", "repair")

    assert result.code == 0, result.err
    assert execution(repository)["attempt"] == 2
    assert repository.run("list", "--unresolved", "--json").json["executions"] == []
    tree = repository.run("lineage", first["execution_id"]).out
    assert tree.splitlines()[1].startswith("└── repair ✓ completed")


def test_a_completed_execution_is_not_retried(repository: Repository) -> None:
    repository.apply(GOOD_PATCH)

    result = repository.run("retry", "@last")

    assert result.code == 2
    assert "nothing to retry" in result.err


def test_two_attempts_of_one_size_within_a_second_run_their_own_code(repository: Repository) -> None:
    codes = [repository.apply(patch).code for patch in (BROKEN_PATCH, GOOD_PATCH)]

    assert codes == [1, 0]


def test_the_same_change_again_says_which_execution_made_it(repository: Repository) -> None:
    repository.apply(GOOD_PATCH)
    made_by = execution(repository)["execution_id"]

    result = repository.apply(GOOD_PATCH)

    assert result.code == 0
    assert f"already applied by {made_by}" in result.out
    assert len(repository.run("list", "--json").json["executions"]) == 1


def test_a_change_for_another_base_is_a_conflict_and_changes_nothing(repository: Repository) -> None:
    repository.write("calculator.py", "def add(a, b):\n    return sum((a, b))\n")
    before = repository.state()

    result = repository.apply(GOOD_PATCH)

    assert result.code == 7
    assert "calculator.py" in result.err
    assert repository.state() == before


HOOK = """\
--- /dev/null
+++ b/.git/hooks/pre-commit
@@ -0,0 +1 @@
+exit 0
"""
MAKEFILE = """\
--- /dev/null
+++ b/Makefile
@@ -0,0 +1 @@
+all:
"""


def test_what_the_gate_denies_is_recorded_and_not_written(repository: Repository) -> None:
    result = repository.apply(HOOK)

    assert result.code == 4
    assert not (repository.root / ".git/hooks/pre-commit").exists()
    record = execution(repository)
    assert (record["status"], record["verdict"], record["error_step"]) == ("failed", "deny", "validate")


def test_what_needs_a_person_waits_and_is_not_written(repository: Repository) -> None:
    result = repository.apply(MAKEFILE)

    assert result.code == 3
    assert not (repository.root / "Makefile").exists()
    record = execution(repository)
    assert (record["status"], record["verdict"]) == ("pending", "need_approval")
    assert len(repository.run("list", "--awaiting", "--json").json["executions"]) == 1


@pytest.mark.parametrize("path", ["../outside.py", "/etc/passwd-x", "a/../../b", "C:/x"])
def test_a_path_that_leaves_the_workspace_is_refused(repository: Repository, path: str) -> None:
    before = repository.state()

    result = repository.apply(f"--- /dev/null\n+++ {path}\n@@ -0,0 +1 @@\n+x\n")

    assert result.code == 2, result.err
    assert repository.state() == before
    assert not (repository.root.parent / "outside.py").exists()


def test_a_dry_run_shows_plan_and_decision_and_records_nothing(workspace: Repository) -> None:
    repository = workspace
    before = repository.state()

    result = repository.apply(GOOD_PATCH, "--dry-run", "--json")

    assert result.code == 0
    assert result.json["decision"]["verdict"] == "allow"
    assert result.json["plan"]["scope"] == ["calculator.py"]
    assert repository.state() == before
    assert repository.run("list", "--json").json["executions"] == []


def test_a_json_changeset_is_a_change_like_a_patch(repository: Repository) -> None:
    changeset = {
        "version": 1,
        "changes": [
            {"operation": "create", "path": "docs/notes.md", "content": "# Notes\n"},
            {"operation": "delete", "path": "test_calculator.py"},
        ],
    }

    result = repository.run(
        "run", "--changeset", "-", "--verify", "true", "--json", stdin=json.dumps(changeset)
    )

    assert result.code == 0, result.err
    assert result.json["execution"]["files_changed"] == 2
    assert (repository.root / "docs/notes.md").read_text() == "# Notes\n"
    assert not (repository.root / "test_calculator.py").exists()


def test_a_check_that_changes_other_files_fails_and_they_come_back(repository: Repository) -> None:
    untracked = repository.write("notes.txt", "mine\n")
    before = repository.state()
    check = "sh -c 'echo spoiled >> notes.txt; echo spoiled >> test_calculator.py; mkdir made; touch made/x'"

    result = repository.apply(GOOD_PATCH, verify=check)

    assert result.code == 1, result.err
    assert execution(repository)["error_code"] == "drift"
    assert untracked.read_text() == "mine\n"
    assert repository.state() == before
    drift = next(event for event in events(repository) if event["event"] == "drift")
    assert {change["path"] for change in drift["changed"]} == {"notes.txt", "test_calculator.py"}
    assert drift["created"] == ["made/x"]


def test_new_files_of_a_check_stay_when_it_passes(repository: Repository) -> None:
    result = repository.apply(GOOD_PATCH, verify="touch report.xml")

    assert result.code == 0, result.err
    assert (repository.root / "report.xml").exists()


def test_ignored_files_of_a_check_stay_when_it_fails(repository: Repository) -> None:
    repository.write(".gitignore", "out/\n")

    result = repository.apply(GOOD_PATCH, verify="sh -c 'mkdir -p out; touch out/log; exit 3'")

    assert result.code == 1
    assert (repository.root / "out/log").exists()


def test_a_file_somebody_edits_meanwhile_is_left_alone_and_named(repository: Repository) -> None:
    check = "sh -c 'echo \"# by hand\" >> calculator.py; exit 1'"

    result = repository.apply(BROKEN_PATCH, verify=check)

    # A check is not told from a person at the keyboard: bytes that are neither before nor after stay.
    assert result.code == 5, result.err
    assert (repository.root / "calculator.py").read_text().endswith("# by hand\n")
    record = execution(repository)
    assert (record["status"], record["error_step"]) == ("failed", "verify")
    assert "calculator.py" in record["error_message"]


def test_a_check_that_takes_too_long_is_stopped(repository: Repository) -> None:
    result = repository.apply(GOOD_PATCH, "--timeout", "0.5", verify="sleep 60")

    assert result.code == 1
    assert execution(repository)["error_code"] == "check_timed_out"


def test_a_command_that_is_not_there_fails_with_its_name(repository: Repository) -> None:
    result = repository.apply(GOOD_PATCH, verify="no-such-command-here")

    assert result.code == 1
    assert "no-such-command-here" in execution(repository)["error_message"]


def test_a_failing_check_says_which_variables_it_did_not_get(repository: Repository) -> None:
    repository.environ["DEPLOY_TARGET"] = "staging"

    assert repository.apply(GOOD_PATCH, verify="sh -c 'test -n \"$DEPLOY_TARGET\"'").code == 1
    output = next(event for event in events(repository) if event["event"] == "command_output")
    assert "DEPLOY_TARGET" in output["withheld"]
    # First of all that was withheld: the check speaks of it.
    assert "the check did not see DEPLOY_TARGET" in repository.run("logs", "@last").err
    assert repository.run("retry", "@last", "--env", "DEPLOY_TARGET").code == 0


def test_secrets_of_the_environment_reach_neither_log_nor_event(repository: Repository) -> None:
    repository.environ["SERVICE_TOKEN"] = "hunter2-hunter2"

    repository.apply(GOOD_PATCH, "--env", "SERVICE_TOKEN", verify="sh -c 'echo got $SERVICE_TOKEN; exit 1'")

    folder = Path(execution(repository)["artifact_path"])
    assert all(b"hunter2-hunter2" not in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert "got " in repository.run("logs", "@last").out


def test_an_executor_inside_a_check_may_look_and_not_write(repository: Repository) -> None:
    repository.write("inner.diff", BROKEN_PATCH)
    inner = f"{VERIFY.split()[0]} -m executor"
    check = f"sh -c '{inner} list --json > /dev/null && {inner} run --patch inner.diff --verify true; test $? = 7'"

    result = repository.apply(
        "--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+x = 1\n", "--env", "PYTHONPATH", verify=check
    )

    assert result.code == 0, repository.run("logs", "@last").out + result.err
    children = [
        r for r in repository.run("list", "--json").json["executions"] if r["trigger_kind"] == "child"
    ]
    assert [(r["status"], r["error_code"]) for r in children] == [("failed", "lock_held")]


def test_while_one_execution_works_another_is_told_who_holds_the_workspace(repository: Repository) -> None:
    patch = repository.write("p.diff", GOOD_PATCH)
    slow = repository.start("run", "--patch", str(patch), "--verify", "sh -c 'touch started; sleep 2'")
    _wait_for(repository.root / "started")

    busy = repository.apply("--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+x = 1\n", verify="true")
    patient = repository.apply(
        "--- /dev/null\n+++ b/m.py\n@@ -0,0 +1 @@\n+x = 1\n", "--wait", "60", verify="true"
    )

    assert slow.wait() == 0
    slow.communicate()
    assert busy.code == 7
    assert "in use by execution" in execution(repository, _id(busy))["error_message"]
    assert patient.code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_check_and_rolls_back(repository: Repository, number: int) -> None:
    before = repository.state()
    patch = repository.root.parent / "p.diff"
    patch.write_text(BROKEN_PATCH)
    started = repository.root.parent / "started"
    process = repository.start("run", "--patch", str(patch), "--verify", f"sh -c 'touch {started}; sleep 60'")
    _wait_for(started)

    process.send_signal(number)
    process.communicate(timeout=60)

    assert process.returncode == 130
    assert repository.state() == before
    record = execution(repository)
    assert (record["status"], record["error_code"]) == ("rolled_back", "interrupted")


def test_what_was_started_with_nohup_goes_on_when_the_terminal_is_closed(repository: Repository) -> None:
    """Signals that were ignored when the command started stay ignored, as for every other program."""
    started, go = (repository.root.parent / name for name in ("started", "go"))
    check = f"sh -c 'touch {started}; while [ ! -e {go} ]; do sleep 0.05; done'"
    (repository.root.parent / "p.diff").write_text(GOOD_PATCH)
    with repository.ignoring(signal.SIGHUP, signal.SIGINT):
        process = repository.start("run", "--patch", "../p.diff", "--verify", check)
    _wait_for(started)

    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    go.touch()
    process.communicate(timeout=60)

    assert process.returncode == 0
    assert execution(repository)["status"] == "completed"


def test_what_a_killed_process_left_is_undone_by_the_next_command(repository: Repository) -> None:
    before = repository.state()
    patch = repository.root.parent / "p.diff"
    patch.write_text(BROKEN_PATCH)
    started = repository.root.parent / "started"
    check = f"sh -c 'echo >> test_calculator.py; touch junk {started}; sleep 60'"
    process = repository.start("run", "--patch", str(patch), "--verify", check)
    _wait_for(started)
    process.kill()
    process.communicate()
    assert repository.state() != before

    result = repository.run("list", "--json")

    assert "recovered" in result.err
    assert repository.state() == before
    record = result.json["executions"][0]
    assert (record["status"], record["error_step"], record["error_code"]) == (
        "rolled_back",
        "verify",
        "cut_short",
    )
    assert [event["event"] for event in events(repository)][-2:] == ["execution_end", "recovered"]
    assert repository.apply(GOOD_PATCH).code == 0


def test_a_busy_database_rolls_the_workspace_back_and_recovery_finishes_the_record(
    repository: Repository,
) -> None:
    repository.run("init")
    before = repository.state()
    patch = repository.root.parent / "p.diff"
    patch.write_text(GOOD_PATCH)
    database = repository.root / ".executor/executor.db"
    # The check breaks the recording of its own end, as a full disk would.
    broken = (
        "CREATE TRIGGER no_room BEFORE UPDATE ON execution_steps BEGIN SELECT RAISE(ABORT, 'no room'); END"
    )
    program = f"import sqlite3; sqlite3.connect({str(database)!r}).execute({broken!r})"
    script = repository.root.parent / "break.py"
    script.write_text(program)

    process = repository.start("run", "--patch", str(patch), "--verify", f"{VERIFY.split()[0]} {script}")
    process.communicate(timeout=60)

    assert process.returncode != 0
    assert repository.state() == before
    with sqlite3.connect(database) as connection:
        connection.execute("DROP TRIGGER no_room")
    connection.close()
    record = repository.run("list", "--json").json["executions"][0]
    assert record["status"] == "rolled_back"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("run",), 2, "--patch"),
        (("run", "--patch", "missing.diff"), 2, "missing.diff cannot be read"),
        (("run", "--patch", "-", "--verify", "a | b"), 2, "sh -c"),
        (("run", "--patch", "-", "--parent", "nothing"), 6, "no execution 'nothing'"),
        (("run", "--patch", "-", "--correlation", "a\nb"), 2, "printable"),
        (("show", "nothing"), 6, "no execution 'nothing'"),
        (("retry",), 6, "@last-failed"),
        (("lineage", "@last"), 6, "@last"),
        (("chain", "nothing"), 6, "nothing"),
        (("list", "--limit", "0"), 2, "limit"),
        (("list", "--cursor", "x"), 2, "cursor"),
        (("list", "--status", "done"), 2, "completed"),
        (("list", "--since", "yesterday"), 2, "zone"),
        (("-C", "/nowhere/at/all", "list"), 6, "/nowhere/at/all"),
    ],
)
def test_every_mistake_gets_a_sentence_and_its_exit_code(
    workspace: Repository, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    result = workspace.run(*arguments, stdin=GOOD_PATCH)

    assert result.code == code, result.err
    assert sentence in result.err


@pytest.mark.parametrize(
    "command", [("list",), ("show", "@last"), ("stats",), ("lineage", "x"), ("recover",)]
)
def test_a_question_where_nothing_is_recorded_leaves_nothing_behind(
    repository: Repository, command: tuple[str, ...]
) -> None:
    result = repository.run(*command)

    assert result.code == 6
    assert "the first `executor run` begins" in result.err
    assert not (repository.root / ".executor").exists()


def test_an_execution_in_a_subdirectory_or_without_git_works_on_its_workspace(tmp_path: Path) -> None:
    plain = Repository(tmp_path / "plain")
    plain.write("a.txt", "one\n")
    plain.run("init")
    (plain.root / "sub").mkdir()

    patch = "--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-one\n+two\n"
    result = plain.run("run", "--patch", "-", "--verify", "false", stdin=patch, cwd=plain.root / "sub")

    assert result.code == 1, result.err
    assert (plain.root / "a.txt").read_text() == "one\n"
    assert not (plain.root / "sub/.executor").exists()


def test_a_linked_worktree_shares_the_record_and_not_the_files(repository: Repository) -> None:
    linked = repository.root.parent / "linked"
    repository.git("worktree", "add", "--quiet", str(linked))

    result = repository.run("run", "--patch", "-", "--verify", "true", stdin=GOOD_PATCH, cwd=linked)

    assert result.code == 0, result.err
    assert "b + a" in (linked / "calculator.py").read_text()
    assert "a + b" in (repository.root / "calculator.py").read_text()
    assert execution(repository)["status"] == "completed"
    assert not (linked / ".executor").exists()


def _id(result: Any) -> str:
    return str(result.out.split()[-1])


def _wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear (pid {os.getpid()})")


def test_colours_are_for_terminals_and_for_those_who_ask(workspace: Repository) -> None:
    workspace.apply(GOOD_PATCH)
    del workspace.environ["NO_COLOR"]

    assert "\x1b[" not in workspace.run("list").out
    assert "\x1b[" in workspace.run("--color", "always", "list").out
    assert "\x1b[" not in workspace.run("--color", "never", "list").out


def test_output_cut_short_by_its_reader_is_no_error(workspace: Repository) -> None:
    workspace.apply(GOOD_PATCH)

    process = workspace.start("events", "@last", "--json")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate()

    assert "Traceback" not in err
    assert "BrokenPipe" not in err


def test_what_a_rollback_overwrites_is_kept_beside_the_artifacts(repository: Repository) -> None:
    check = "sh -c 'echo by hand >> test_calculator.py; exit 1'"

    assert repository.apply(GOOD_PATCH, verify=check).code == 1

    rescued = list((Path(execution(repository)["artifact_path"]) / "rescued").iterdir())
    assert [path.read_text().endswith("by hand\n") for path in rescued] == [True]
    assert "by hand" not in (repository.root / "test_calculator.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "patch", "code"),
    [
        pytest.param((), "no diff at all\n", 2, id="no diff"),
        pytest.param((), GOOD_PATCH.replace("a + b", "a * b"), 7, id="made for another workspace"),
        pytest.param(("--verify", "'"), GOOD_PATCH, 2, id="no command"),
        pytest.param(("--parent", "nobody"), GOOD_PATCH, 6, id="no such parent"),
        pytest.param(("--transcript", "missing"), GOOD_PATCH, 2, id="no such transcript"),
        pytest.param(("--dry-run",), GOOD_PATCH, 0, id="only looked at"),
    ],
)
def test_what_is_not_recorded_makes_no_workspace(
    repository: Repository, arguments: tuple[str, ...], patch: str, code: int
) -> None:
    result = repository.run("run", "--patch", "-", *arguments, stdin=patch)

    assert code == result.code, result.err
    assert not (repository.root / ".executor").exists()


def test_a_commit_that_cannot_be_made_makes_no_workspace(repository: Repository) -> None:
    repository.write("calculator.py", "def add(a, b):\n    return a + b\n# edited\n")

    result = repository.apply(GOOD_PATCH, "--commit")

    assert 7 == result.code, result.err
    assert not (repository.root / ".executor").exists()
