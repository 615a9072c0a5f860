"""`executor run -- COMMAND`, as a user types it."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from support.command import CALCULATOR, VERIFY, Repository

FORMATTED = "def add(a, b):\n    return a - -b\n"
WAITS = "touch started; exec sleep 60"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.calculator(tmp_path / "repository")


def traces(repository: Repository) -> tuple[str, ...]:
    """What a repository has for others to notice."""
    return (
        repository.git("worktree", "list"),
        repository.git("for-each-ref"),
        repository.git("stash", "list"),
        repository.git("count-objects", "-v"),
        (repository.root / ".git/index").read_bytes().hex(),
        (repository.root / ".git/config").read_text(),
    )


def scratches(repository: Repository) -> list[Path]:
    return list((repository.root / ".executor").glob("scratch/*"))


def test_a_formatter_over_a_repository_is_verified_and_applied(repository: Repository) -> None:
    """Every file a formatter rewrites is a change; those it leaves alone are not."""
    repository.write("ugly.py", "x = {  'a':1 }\n")
    ran = repository.run("run", "--verify", VERIFY, "--json", "--", "ruff", "format", "--no-cache", ".")
    assert ran.code == 0, ran.err
    assert ran.json["execution"]["affected_paths"] == ["ugly.py"]
    assert (repository.root / "ugly.py").read_text() == 'x = {"a": 1}\n'
    assert (repository.root / "calculator.py").read_text() == CALCULATOR


def test_a_code_generator_makes_updates_and_deletes_files(repository: Repository) -> None:
    """New folders, binary bytes, executable files and deletions come as the command left them."""
    repository.write("old.py", "1\n")
    program = (
        "import os, pathlib; p = pathlib.Path('made/deep'); p.mkdir(parents=True);"
        "(p / 'bytes').write_bytes(bytes(range(256)) * 4000); (p / 'run.sh').write_text('#!/bin/sh\\n');"
        "(p / 'run.sh').chmod(0o755); os.remove('old.py')"
    )
    ran = repository.run("run", "--verify", VERIFY, "--json", "--", sys.executable, "-c", program)
    assert ran.code == 0, ran.err
    assert ran.json["execution"]["files_changed"] == 3
    assert (repository.root / "made/deep/bytes").read_bytes() == bytes(range(256)) * 4000
    assert os.access(repository.root / "made/deep/run.sh", os.X_OK)
    assert not (repository.root / "old.py").exists()


def test_a_pipeline_with_sed_that_breaks_the_tests_changes_nothing(repository: Repository) -> None:
    """The change is applied, fails its check and is put back; the log of the command is kept."""
    before = repository.state()
    pipeline = "grep -l return *.py | xargs sed -i 's/a + b/a - b/' && echo edited"
    ran = repository.run("run", "--verify", VERIFY, "--json", "--", "sh", "-c", pipeline)
    assert ran.code == 1
    assert ran.json["execution"]["status"] == "rolled_back"
    assert repository.state() == before
    shown = repository.run("show", "@last", "--json").json
    steps = [step["step_name"] for step in shown["steps"]]
    assert steps[:2] == ["capture", "validate"]
    log = repository.root / ".executor/executions" / ran.json["execution"]["execution_id"]
    assert (log / "steps/01-capture.log").read_text() == "edited\n"


def test_a_command_that_fails_leaves_out_no_artifact(repository: Repository) -> None:
    """There is no change, and so nothing that was decided about it."""
    result = repository.run("run", "--", "false")

    assert 1 == result.code
    shown = repository.run("show", "@last")
    assert "incomplete" not in shown.out + shown.err


def test_a_command_that_fails_can_be_run_again_and_has_no_diff(repository: Repository) -> None:
    repository.run("run", "--", "false")
    shown = repository.run("show", "@last")

    assert "retry" in shown.err
    assert "--rerun" in shown.err
    assert "executor diff" not in shown.err


def test_uncommitted_work_is_there_and_the_repository_notices_nothing(repository: Repository) -> None:
    """Refs, index, stash, worktrees and objects are as before, though the command commits, tags and stashes."""
    repository.write(".gitignore", "node_modules/\n*.log\n")
    repository.write("node_modules/tool.js", "1\n")
    repository.write("calculator.py", CALCULATOR + "# mine\n")
    repository.git("add", "calculator.py")
    repository.write("untracked.txt", "mine\n")
    before, status = traces(repository), repository.git("status", "--short")
    script = (
        "test $(git status --short | wc -l) = 3 && git diff --cached --quiet -- test_calculator.py && "
        "cat untracked.txt node_modules/tool.js && echo more >> untracked.txt && echo no > no.log && "
        "git add -A && git -c user.name=a -c user.email=a@b commit -qm work && git tag v1 && git branch side"
    )
    ran = repository.run("run", "--no-verify", "--json", "--", "sh", "-c", script)
    assert ran.code == 0, ran.err
    assert ran.json["execution"]["affected_paths"] == ["untracked.txt"]
    assert traces(repository) == before
    assert repository.git("status", "--short") == status
    assert (repository.root / "untracked.txt").read_text() == "mine\nmore\n"
    assert not (repository.root / "no.log").exists()
    assert scratches(repository) == []


def test_a_workspace_without_git_works(tmp_path: Path) -> None:
    """It is copied as it is."""
    plain = Repository(tmp_path / "plain")
    plain.write("sub/a.txt", "a\n")
    ran = plain.run("run", "--no-verify", "--", "sh", "-c", "echo b > sub/b.txt; rm sub/a.txt")
    assert ran.code == 0, ran.err
    assert list(plain.state()) == ["sub", "sub/b.txt"]


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ("echo x > calculator.py; exit 3", "failed", "capture_failed"),
        ("ln -s /etc/hostname link", "failed", "unsafe_path"),
        ("mkfifo pipe", "failed", "unsafe_path"),
        ("git init -q inner", "failed", "unsafe_path"),
        ("printf x > 'a\\b'", "failed", "unsafe_path"),
        ("truncate -s 11M large", "failed", "invalid_change"),
        ("echo '{}' > .executor/policy.yaml", "failed", "unsafe_path"),
        ("true", "completed", None),
        ("touch calculator.py", "completed", None),
    ],
)
def test_what_cannot_be_taken_is_recorded_and_changes_nothing(
    repository: Repository, script: str, status: str, code: str | None
) -> None:
    """The reason stands in the record, with the step `capture`."""
    before = repository.state()
    ran = repository.run("run", "--no-verify", "--json", "--", "sh", "-c", script)
    execution = ran.json["execution"]
    assert (execution["status"], execution["error_code"]) == (status, code)
    assert execution["error_step"] == ("capture" if code else None)
    assert execution["files_changed"] == 0
    assert repository.state() == before
    assert scratches(repository) == []


def test_an_edit_of_the_same_file_meanwhile_is_not_overwritten(repository: Repository) -> None:
    """The change was made for what was copied."""
    own = f"echo mine > {repository.root}/calculator.py; echo theirs > calculator.py"
    ran = repository.run("run", "--no-verify", "--json", "--", "sh", "-c", own)
    assert ran.json["execution"]["error_code"] == "base_changed"
    assert (repository.root / "calculator.py").read_text() == "mine\n"


def test_a_nested_execution_is_a_child_and_changes_the_copy_alone(repository: Repository) -> None:
    """It is in the outer store, under a workspace of its own; elsewhere the variables do not hold."""
    other = Repository.calculator(repository.root.parent / "other")
    me = f"{sys.executable} -m executor"
    inner = f"{me} run --no-verify -- sh -c 'echo inner > inner.txt'"
    elsewhere = f"cd {other.root} && {me} run --no-verify -- sh -c 'echo else > else.txt'"
    ran = repository.run("run", "--no-verify", "--json", "--", "sh", "-c", f"{inner} && ({elsewhere})")
    assert ran.code == 0, ran.err
    outer = ran.json["execution"]
    assert outer["affected_paths"] == ["inner.txt"]
    family = repository.run("lineage", outer["execution_id"], "--json").json
    (child,) = family["descendants"]
    assert (child["trigger_kind"], child["workspace_id"]) == ("child", f"scratch:{outer['execution_id']}")
    listed = repository.run("list", "--json").json["executions"]
    assert [row["execution_id"] for row in listed] == [outer["execution_id"]]
    (alone,) = other.run("list", "--json").json["executions"]
    assert alone["parent_execution_id"] is None


def test_time_runs_out(repository: Repository) -> None:
    """The command is stopped and nothing is applied."""
    ran = repository.run("run", "--json", "--capture-timeout", "0.5", "--", "sh", "-c", WAITS)
    assert (ran.code, ran.json["execution"]["error_code"]) == (1, "capture_timed_out")
    assert scratches(repository) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_or_killed_while_it_captures(repository: Repository, number: signal.Signals) -> None:
    """The scratch copy is gone at the latest after the next start, and the record says what happened."""
    process = repository.start("run", "--no-verify", "--", "sh", "-c", WAITS)
    deadline = time.monotonic() + 60
    while not list((repository.root / ".executor").glob("scratch/*/*/started")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    process.communicate(timeout=60)
    (execution,) = repository.run("list", "--json").json["executions"]
    code = "interrupted" if number == signal.SIGINT else "cut_short"
    assert (execution["status"], execution["error_step"]) == ("failed", "capture")
    assert execution["error_code"] == code
    assert scratches(repository) == []
    assert repository.run("run", "--no-verify", "--", "sh", "-c", "echo x > x.txt").code == 0


def test_the_output_is_shown_while_it_runs_but_cannot_steer_the_terminal(repository: Repository) -> None:
    """Redacted and made visible; nothing of it with `--json`."""
    script = r"printf 'one\n\033[2Jtwo s3cret-value\n'"
    environ = {"API_TOKEN": "s3cret-value"}
    ran = repository.run("run", "--", "sh", "-c", script, environ=environ)
    assert "one\n" in ran.err
    assert "two" in ran.err
    assert "\033" not in ran.err
    assert "s3cret-value" not in ran.err
    quiet = repository.run("run", "--json", "--", "sh", "-c", script, environ=environ)
    assert "two" not in quiet.err


def test_the_folders_that_are_linked_are_named_in_the_settings(repository: Repository) -> None:
    """A mistake is told before anything runs."""
    repository.write(".gitignore", "stuff/\n")
    repository.write("stuff/a", "1\n")
    settings = repository.write(".executor/config.toml", '[capture]\nlink = ["stuff"]\n')
    assert repository.run("run", "--", "cat", "stuff/a").code == 0
    settings.write_text("[capture]\nlink = 3\n")
    refused = repository.run("run", "--", "touch", "x")
    assert refused.code == 2
    assert "[capture]" in refused.err


@pytest.mark.parametrize("arguments", [("--dry-run",), ("--patch", "x"), ("--verify", "true", "--no-verify")])
def test_contradictions_are_refused(repository: Repository, arguments: tuple[str, ...]) -> None:
    assert repository.run("run", *arguments, "--", "true").code == 2


def test_what_a_command_changed_is_tried_again_and_a_failed_command_is_not(repository: Repository) -> None:
    flaky = "sh -c 'test -e ../there || { touch ../there; exit 1; }'"

    again = repository.run(
        "run", "--retries", "2", "--verify", flaky, "--", "sh", "-c", "echo >> calculator.py"
    )
    failed = repository.run("run", "--retries", "2", "--", "false")

    assert (0, 1) == (again.code, failed.code)
    last, completed, first = repository.run("list", "--json").json["executions"]
    assert ("capture", "retry", 2) == (last["error_step"], completed["trigger_kind"], completed["attempt"])
    assert completed["parent_execution_id"] == first["execution_id"]


def test_a_captured_command_is_stopped_from_another_terminal(repository: Repository) -> None:
    before = repository.state()
    started = repository.root.parent / "started"
    process = repository.start("run", "--", "sh", "-c", f"echo >> calculator.py; touch {started}; sleep 60")
    deadline = time.monotonic() + 30
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.05)

    assert 0 == repository.run("cancel", "@last").code
    process.communicate(timeout=30)

    assert 130 == process.returncode
    assert before == repository.state()
    (record,) = repository.run("list", "--json").json["executions"]
    assert ("failed", "capture", "interrupted") == (
        record["status"],
        record["error_step"],
        record["error_code"],
    )
    assert [] == scratches(repository)
