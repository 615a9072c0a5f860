"""More than one attempt: `run --retries` and `retry --times`."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.command import GOOD_PATCH, Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.calculator(tmp_path / "repository")


def passes_at(number: int) -> str:
    """A check that fails until it has run so often."""
    return f"sh -c 'echo >> ../tries; test $(wc -l < ../tries) -ge {number}'"


def family(repository: Repository) -> list[tuple[str, str, int]]:
    """Status, trigger and attempt of each, oldest first, when each is the child of the one before."""
    records = repository.run("chain", "@last", "--json").json["executions"]
    parents = [record["parent_execution_id"] for record in records]
    assert [None, *(record["execution_id"] for record in records[:-1])] == parents
    return [(record["status"], record["trigger_kind"], record["attempt"]) for record in records]


def test_a_run_tries_again_until_its_check_passes(repository: Repository) -> None:
    result = repository.apply(GOOD_PATCH, "--retries", "5", "--backoff", "0.01", verify=passes_at(3))

    assert 0 == result.code, result.err
    assert [("rolled_back", "manual", 1), ("rolled_back", "retry", 2), ("completed", "retry", 3)] == family(
        repository
    )
    assert 2 == result.err.count("again in")
    assert "return b + a" in (repository.root / "calculator.py").read_text()
    refused = repository.run("retry", "@last", "--times", "3")
    assert (2, True) == (refused.code, "nothing to retry" in refused.err)


def test_attempts_end_when_they_are_used_up_and_a_retry_goes_on(repository: Repository) -> None:
    before = repository.state()

    assert 1 == repository.apply(GOOD_PATCH, "--retries", "1", verify=passes_at(5)).code
    assert before == repository.state()
    assert 1 == repository.run("retry", "--times", "2").code
    assert before == repository.state()
    assert 0 == repository.run("retry", "--times", "9").code

    assert [1, 2, 3, 4, 5] == [attempt for _, _, attempt in family(repository)]


def test_what_a_person_has_to_decide_is_not_tried_again(repository: Repository) -> None:
    result = repository.apply(GOOD_PATCH, "--retries", "3", "--no-verify", verify=None)

    assert 3 == result.code, result.err
    assert 1 == len(family(repository))


def test_a_signal_between_two_attempts_ends_them(repository: Repository) -> None:
    (repository.root.parent / "p.diff").write_text(GOOD_PATCH)
    process = repository.start(
        *("run", "--patch", "../p.diff", "--verify", "false", "--retries", "3", "--backoff", "600")
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("again in"):
            break

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert 130 == process.returncode, err
    assert [("rolled_back", "manual", 1)] == family(repository)
