"""Stopping what runs: from another terminal, by a signal, by two."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from support.command import GOOD_PATCH, Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.calculator(tmp_path / "repository")


def begin(repository: Repository, check: str = "sleep 60", *arguments: str) -> subprocess.Popen[str]:
    """An execution whose check has begun."""
    started = repository.root.parent / "started"
    (repository.root.parent / "p.diff").write_text(GOOD_PATCH)
    process = repository.start(
        "run", "--patch", "../p.diff", "--verify", f"sh -c 'touch {started}; {check}'", *arguments
    )
    wait_for(started)
    return process


def wait_for(path: Path) -> None:
    for _ in range(1200):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def execution(repository: Repository) -> dict[str, Any]:
    record = repository.run("show", "@last", "--json").json["execution"]
    assert isinstance(record, dict)
    return record


def test_what_runs_is_stopped_from_another_terminal(repository: Repository) -> None:
    before = repository.state()
    process = begin(repository)

    result = repository.run("cancel", "@last", "--reason", "wrong branch")

    process.communicate(timeout=60)
    assert 0 == result.code, result.err
    assert 130 == process.returncode
    assert before == repository.state()
    record = execution(repository)
    assert ("rolled_back", "verify", "interrupted") == tuple(
        record[name] for name in ("status", "error_step", "error_code")
    )
    assert record["error_message"].endswith(": wrong branch")
    assert record["error_message"].startswith("cancelled by ")
    assert [] == list((repository.root / ".executor/cancelling").iterdir())
    again = repository.run("cancel", "@last")
    assert (2, True) == (again.code, "it has ended" in again.err)


def test_what_waits_for_the_workspace_is_cancelled_before_it_changes_anything(repository: Repository) -> None:
    go = repository.root.parent / "go"
    holder = begin(repository, f"while [ ! -e {go} ]; do sleep 0.05; done")
    held = execution(repository)["execution_id"]
    repository.write("../other.diff", "--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+x = 1\n")
    waiting = repository.start("run", "--patch", "../other.diff", "--verify", "true", "--wait", "60")
    for _ in range(600):
        if execution(repository)["execution_id"] != held:
            break
        time.sleep(0.05)

    late = repository.run("cancel", "@last", "--timeout", "0")
    go.touch()
    waiting.communicate(timeout=60)
    holder.communicate(timeout=60)

    assert 75 == late.code, late.err
    assert (130, 0) == (waiting.returncode, holder.returncode)
    assert not (repository.root / "n.py").exists()
    record = execution(repository)
    assert ("cancelled", "interrupted") == (record["status"], record["error_code"])


def test_a_request_for_a_dead_process_finds_it_in_order(repository: Repository) -> None:
    before = repository.state()
    process = begin(repository)
    process.kill()
    process.communicate()

    result = repository.run("cancel", "@last")

    assert (2, True) == (result.code, "it has ended" in result.err)
    assert before == repository.state()
    assert "rolled_back" == execution(repository)["status"]


def test_a_second_signal_kills_and_the_next_start_puts_everything_right(repository: Repository) -> None:
    """The check ignores the polite end, so that the second signal meets an execution that is being stopped."""
    before = repository.state()
    process = begin(repository, 'trap "" TERM; while :; do sleep 0.1; done')
    assert process.stderr is not None

    process.send_signal(signal.SIGINT)
    for line in process.stderr:
        if line.startswith("stopping:"):
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    assert -signal.SIGINT == process.returncode
    assert "rolled_back" == execution(repository)["status"]
    assert before == repository.state()
    assert 0 == repository.apply(GOOD_PATCH, verify="true").code


def test_a_change_of_a_file_that_is_being_changed_waits_for_the_other(repository: Repository) -> None:
    process = begin(repository, "sleep 2; false")
    at_once = repository.run("run", "--patch", "-", "--verify", "true", stdin=GOOD_PATCH)

    result = repository.run("run", "--patch", "-", "--verify", "true", "--wait", "60", stdin=GOOD_PATCH)

    process.communicate(timeout=60)
    assert (7, 1) == (at_once.code, process.returncode), at_once.err
    assert "is in use by execution" in at_once.err, at_once.err
    assert 0 == result.code, result.err
    assert "return b + a" in (repository.root / "calculator.py").read_text()
