"""`executor logs`: what the commands of an execution printed, wherever it is kept."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def running(repository: Repository, check: str, until: bytes) -> Iterator[subprocess.Popen[str]]:
    """An execution whose check has printed `until`; killed at the end of the block if it still runs."""
    with repository.start("run", "--patch", "-", "--verify", check) as process:
        assert process.stdin is not None
        process.stdin.write(GOOD_PATCH)
        process.stdin.close()
        executions = repository.root / ".executor" / "executions"
        while not any(until in log.read_bytes() for log in executions.glob(f"*/{LOG}")):
            assert process.poll() is None
            time.sleep(0.01)
        try:
            yield process
        finally:
            process.kill()


def test_what_a_killed_check_had_printed_is_kept(repository: Repository) -> None:
    """The next command puts the workspace in order and the log into the database."""
    with running(repository, "sh -c 'echo so far; sleep 60'", b"so far"):
        pass

    assert repository.run("recover").code == 0

    shutil.rmtree(folder(repository))
    assert "so far" == text_of(repository)


def test_a_log_is_followed_until_its_execution_has_ended(repository: Repository, tmp_path: Path) -> None:
    """What is there, then what comes, each once; nothing in it reaches the terminal as a command."""
    check = (
        r"""sh -c 'printf "first\nbefore\n"; while [ ! -e ../go ]; do sleep 0.02; done; printf "\033last"'"""
    )
    with (
        running(repository, check, b"before") as process,
        repository.start("logs", "@last", "--follow", "--tail", "1") as following,
    ):
        assert following.stdout is not None
        begun = following.stdout.readline()
        (tmp_path / "go").touch()
        rest, told = following.communicate(timeout=60)
        process.wait()

    assert ("before\n", "\\x1blast\n", 0) == (begun, rest, following.returncode), told
    assert "completed" in told
    again = repository.run("logs", "@last", "--follow", "--step", "4")
    assert ("first\nbefore\n\\x1blast\n", 0) == (again.out, again.code)
    assert 2 == repository.run("logs", "@last", "--follow", "--json").code


def test_ctrl_c_ends_following_and_nothing_else(repository: Repository, tmp_path: Path) -> None:
    check = "sh -c 'echo first; while [ ! -e ../go ]; do sleep 0.02; done'"
    with (
        running(repository, check, b"first") as process,
        repository.start("logs", "@last", "--follow") as following,
    ):
        assert following.stdout is not None
        assert "first\n" == following.stdout.readline()
        following.send_signal(signal.SIGINT)
        following.communicate(timeout=60)
        (tmp_path / "go").touch()
        process.wait()

    assert (130, 0) == (following.returncode, process.returncode)


def test_a_log_that_is_nowhere_is_named(repository: Repository) -> None:
    """As of an execution that an earlier version recorded, whose folder is gone."""
    assert repository.apply(GOOD_PATCH).code == 0
    assert repository.run("db", "downgrade", "--to", "8", "--yes").code == 0
    shutil.rmtree(folder(repository))

    result = repository.run("logs", "@last")

    assert (0, "") == (result.code, result.out)
    assert "step 4 verify is neither here nor in the database" in result.err
    assert [None] == [log["text"] for log in repository.run("logs", "@last", "--json").json["logs"]]
