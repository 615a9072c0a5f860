"""`executor retry ID --rerun`, as a user types it."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from support.command import BROKEN_PATCH, CALCULATOR, VERIFY, Repository

SECRET = "correct-horse-battery"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.calculator(tmp_path / "repository")


def test_a_command_that_failed_is_run_again_in_the_workspace_as_it_is_now(repository: Repository) -> None:
    """With the checks, the time-outs and the reason it had; plain `retry` has nothing to apply and says so."""
    script = "cat wanted.txt && sed -i 's/a + b/b + a/' calculator.py"
    ran = repository.run(
        *("run", "--verify", VERIFY, "--why", "Order", "--timeout", "77", "--capture-timeout", "55"),
        *("--json", "--", "sh", "-c", script),
    )
    failed = ran.json["execution"]
    assert (1, "capture") == (ran.code, failed["error_step"])
    plain = repository.run("retry", "@last")
    assert (2, True) == (plain.code, "--rerun" in plain.err)

    repository.write("wanted.txt", "now it is there\n")
    again = repository.run("retry", "@last", "--rerun", "--json")

    assert 0 == again.code, again.err
    record = again.json["execution"]
    assert ("completed", "retry", 2) == (record["status"], record["trigger_kind"], record["attempt"])
    assert failed["execution_id"] == record["parent_execution_id"]
    assert ["calculator.py"] == record["affected_paths"]
    assert "return b + a" in (repository.root / "calculator.py").read_text()
    shown = repository.run("show", record["execution_id"], "--json").json
    plan = shown["plan"]
    assert (record["plan_id"], "Order", failed["title"]) == (plan["plan_id"], plan["why"], plan["title"])
    assert [(VERIFY, 77.0)] == [(check["name"], check["timeout_seconds"]) for check in plan["verification"]]
    assert (["sh", "-c", script], 55.0) == (plan["command"]["argv"], plan["command"]["timeout_seconds"])
    artifact = repository.root / ".executor/executions" / record["execution_id"] / "plan.json"
    assert plan == json.loads(artifact.read_text())


def test_a_retry_applies_what_was_made_and_a_rerun_makes_it_again(repository: Repository) -> None:
    script = "cat ../word >> calculator.py"
    word = repository.write("../word", "# first\n")
    absolute = script.replace("../word", str(word.resolve()))
    assert 1 == repository.run("run", "--verify", "false", "--", "sh", "-c", absolute).code
    word.write_text("# second\n")

    assert 1 == repository.run("retry", "@last").code
    assert 1 == repository.run("retry", "@last", "--rerun", "--times", "2").code

    added = [
        [line for line in repository.run("diff", row["execution_id"]).out.splitlines() if "# " in line]
        for row in repository.run("chain", "@last", "--json").json["executions"]
    ]
    assert [["+# first"], ["+# first"], ["+# second"], ["+# second"]] == added
    assert CALCULATOR == (repository.root / "calculator.py").read_text()


def test_a_command_line_that_held_a_secret_is_kept_without_it_and_not_run_again(
    repository: Repository,
) -> None:
    """What is kept would be another command."""
    environ = {"DEPLOY_TOKEN": SECRET}
    ran = repository.run("run", "--json", "--", "false", f"--token={SECRET}", environ=environ)

    refused = repository.run("retry", "@last", "--rerun", environ=environ)

    execution_id = ran.json["execution"]["execution_id"]
    assert 2 == refused.code
    assert f"executor run --parent {execution_id} --trigger retry -- COMMAND" in refused.err
    files = [path for path in (repository.root / ".executor").rglob("*") if path.is_file()]
    assert [] == [str(path) for path in files if SECRET.encode() in path.read_bytes()]
    plan = repository.run("show", "@last", "--json").json["plan"]
    assert ["false", "--token=[redacted]"] == plan["command"]["argv"]


def test_only_a_failed_command_can_be_run_again(repository: Repository) -> None:
    assert 0 == repository.run("run", "--", "true").code
    completed = repository.run("retry", "@last", "--rerun")
    assert 1 == repository.apply(BROKEN_PATCH).code
    patched = repository.run("retry", "@last", "--rerun")

    assert (2, True) == (completed.code, "nothing to retry" in completed.err)
    assert (2, True) == (patched.code, "not made by a command" in patched.err)
    assert 2 == len(repository.run("list", "--json").json["executions"])


def test_a_command_whose_process_was_killed_is_run_again(repository: Repository) -> None:
    """What it takes is on the disk before the command starts."""
    started = repository.root.parent / "started"
    script = f"echo >> calculator.py; test -e {started} || {{ touch {started}; exec sleep 60; }}"
    process = repository.start("run", "--verify", VERIFY, "--", "sh", "-c", script)
    deadline = time.monotonic() + 60
    while not started.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)

    again = repository.run("retry", "--rerun", "--json")

    assert 0 == again.code, again.err
    assert ["calculator.py"] == again.json["execution"]["affected_paths"]
