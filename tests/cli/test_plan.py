"""`executor plan`, and checks that nobody named."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from executor.cli.application import Application
from support.command import BROKEN_PATCH, GOOD_PATCH, Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.calculator(tmp_path / "repository")


def test_plan_shows_checks_risk_and_verdict_and_changes_nothing(repository: Repository) -> None:
    before = repository.state()

    result = repository.run("plan", "--patch", "-", stdin=GOOD_PATCH)

    assert result.code == 0, result.err
    assert "verify: pytest -q  (there are tests such as test_calculator.py)" in result.out
    assert "gate: allow by the policy built-in" in result.out
    assert repository.state() == before
    # Not even the place where executions are recorded has been made.
    assert not (repository.root / ".executor").exists()
    plan = repository.run("plan", "--patch", "-", "--json", stdin=GOOD_PATCH).json
    assert plan["plan"]["verification"][0]["name"] == "pytest -q"
    assert plan["decision"]["verdict"] == "allow"


def test_a_run_without_named_checks_is_verified_by_the_tests_it_touches(repository: Repository) -> None:
    before = repository.state()

    broken = repository.run("run", "--patch", "-", stdin=BROKEN_PATCH)

    assert broken.code == 1, broken.err
    assert "verify with pytest -q: there are tests such as test_calculator.py" in broken.err
    assert repository.state() == before
    assert repository.run("run", "--patch", "-", stdin=GOOD_PATCH).code == 0


def test_no_verify_says_that_none_is_wanted_and_a_person_decides(repository: Repository) -> None:
    result = repository.run("run", "--patch", "-", "--no-verify", stdin=GOOD_PATCH)

    assert result.code == 3
    assert "nothing verifies it" in result.err
    both = repository.run("run", "--patch", "-", "--no-verify", "--verify", "true", stdin=GOOD_PATCH)
    assert both.code == 2


def test_checks_the_policy_requires_are_added(repository: Repository) -> None:
    repository.write(
        ".executor/policy.yaml",
        "version: 1\nrequire_checks: [{paths: [/calculator.py], checks: [python -m unittest -q]}]\n",
    )

    result = repository.apply(BROKEN_PATCH, verify="true")
    assert (result.code, "python -m unittest -q exited with 1" in result.err) == (1, True), result.err
    skipped = repository.run("run", "--patch", "-", "--no-verify", stdin=GOOD_PATCH)
    assert (skipped.code, "lacks checks the policy requires" in skipped.err) == (3, True), skipped.err


def test_an_agent_is_judged_as_one_whatever_it_says_it_is(repository: Repository) -> None:
    repository.write(".executor/policy.yaml", "version: 1\ntriggers: {agent: {forbid: [/calculator.py]}}\n")
    agent = {"CLAUDECODE": "1"}

    for arguments in ([], ["--trigger", "manual"]):
        result = repository.run("run", "--patch", "-", *arguments, stdin=GOOD_PATCH, environ=agent)
        assert result.code == 4, result.err
    assert repository.apply(GOOD_PATCH).code == 0


def test_a_retry_is_judged_as_what_it_repeats(repository: Repository) -> None:
    agent = {"CLAUDECODE": "1"}
    assert repository.run("run", "--patch", "-", stdin=BROKEN_PATCH, environ=agent).code == 1
    repository.write(".executor/policy.yaml", "version: 1\ntriggers: {agent: {outcome: deny}}\n")

    assert repository.run("retry", "@last-failed").code == 4


def test_files_of_one_name_are_told_apart_in_the_title(repository: Repository) -> None:
    patch = "".join(f"--- /dev/null\n+++ b/{d}/notes.md\n@@ -0,0 +1 @@\n+x\n" for d in ("one", "two"))

    plan = repository.run("plan", "--patch", "-", "--json", stdin=patch).json["plan"]

    assert "Add one/notes.md and two/notes.md" == plan["title"]


@pytest.mark.parametrize("problem", ["no directory", "no room"])
def test_without_a_place_for_temporary_files_the_workspace_is_made_as_ever(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    class Full:
        def __init__(self, **_: object) -> None:
            if problem == "no directory":
                raise FileNotFoundError("no usable temporary directory")

        def __enter__(self) -> str:
            # Where a directory is wanted, a file stands.
            return str(repository.root / "calculator.py")

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(tempfile, "TemporaryDirectory", Full)

    with Application(start=repository.root, color="never").trial_runtime() as trial:
        assert trial is None


def test_a_program_that_would_verify_code_and_is_missing_is_named(
    repository: Repository, tmp_path: Path
) -> None:
    repository.write("go.mod", "module example.invalid/x\n")
    patch = "--- /dev/null\n+++ b/main.go\n@@ -0,0 +1 @@\n+package main\n"
    environ = {"PATH": str(tmp_path)}

    result = repository.run("plan", "--patch", "-", stdin=patch, environ=environ)

    assert 0 == result.code, result.err
    assert "high: a program that would verify it is not there (go: there is go.mod)" in result.out
    assert "verify: nothing" in result.out
