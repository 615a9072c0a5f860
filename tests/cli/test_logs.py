"""`executor logs`: what the commands of an execution printed, wherever it is kept."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest

from support.command import BROKEN_PATCH, GOOD_PATCH, Repository

LOG = "steps/04-verify.log"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.calculator(tmp_path / "repository")


def folder(repository: Repository) -> Path:
    (found,) = (repository.root / ".executor" / "executions").iterdir()
    return found


def text_of(repository: Repository, *arguments: str) -> str:
    (log,) = repository.run("logs", "@last", "--json", *arguments).json["logs"]
    assert isinstance(log["text"], str)
    return log["text"]


def test_logs_outlive_their_folder(repository: Repository) -> None:
    """Redacted as they were in it."""
    check = "python -c \"import os; print('word', os.environ['API_TOKEN']); raise SystemExit(1)\""
    secret = {"API_TOKEN": "s3cr3t-value-of-it"}
    process = repository.run(
        "run", "--patch", "-", "--verify", check, "--env", "API_TOKEN", stdin=GOOD_PATCH, environ=secret
    )
    assert process.code == 1, process.err
    before = text_of(repository)
    shutil.rmtree(folder(repository))

    assert before == text_of(repository)
    assert "word [redacted]" == before
    assert b"s3cr3t" not in (repository.root / ".executor" / "executor.db").read_bytes()


@pytest.mark.parametrize("left", [b"", b"half of wh"])
def test_a_log_that_was_cut_short_in_the_folder_is_read_from_the_database(
    repository: Repository, left: bytes
) -> None:
    assert repository.apply(BROKEN_PATCH).code == 1
    before = text_of(repository)
    (folder(repository) / LOG).write_bytes(left)

    assert before == text_of(repository)
    assert "AssertionError" in before


def test_what_a_killed_check_had_printed_is_kept(repository: Repository) -> None:
    """The next command puts the workspace in order and the log into the database."""
    process = repository.start("run", "--patch", "-", "--verify", "sh -c 'echo so far; sleep 60'")
    assert process.stdin is not None
    process.stdin.write(GOOD_PATCH)
    process.stdin.close()
    executions = repository.root / ".executor" / "executions"
    while not any(b"so far" in log.read_bytes() for log in executions.glob(f"*/{LOG}")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()

    assert repository.run("recover").code == 0

    shutil.rmtree(executions)
    assert "so far" == text_of(repository)


def test_a_log_that_is_nowhere_is_named(repository: Repository) -> None:
    """As of an execution that an earlier version recorded, whose folder is gone."""
    assert repository.apply(GOOD_PATCH).code == 0
    assert repository.run("db", "downgrade", "--to", "8", "--yes").code == 0
    shutil.rmtree(folder(repository))

    result = repository.run("logs", "@last")

    assert (0, "") == (result.code, result.out)
    assert "step 4 verify is neither here nor in the database" in result.err
    assert [None] == [log["text"] for log in repository.run("logs", "@last", "--json").json["logs"]]
