"""`executor doctor --validate`: it passes where all is well, says what is not, and leaves no file behind."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from executor.errors import InvalidSettings
from executor.validation import CHECKS, Check, CheckFailed, Validation, validate
from support.command import Repository

SCRIPT = Path(__file__).parents[2] / "scripts/prod_validation.py"
NAMES = [check.name for check in CHECKS]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository.calculator(tmp_path / "repository")
    assert repository.run("init").code == 0
    return repository


def test_a_sound_installation_passes_in_a_place_of_its_own(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert [f"✓ {name}" for name in NAMES] == [
        line[:2] + line[2:].split()[0] for line in done.stdout.splitlines()[:-1]
    ]
    assert "9 of 9 checks passed on sqlite" in done.stdout
    assert [] == list(tmp_path.iterdir())


def test_in_a_workspace_of_yours_every_file_is_as_before(repository: Repository) -> None:
    before, status = repository.state(), repository.git("status", "--porcelain")

    result = repository.run("doctor", "--validate", "--workspace", ".", "--json")

    assert 0 == result.code, result.out
    assert NAMES == [check["name"] for check in result.json["checks"] if check["passed"]]
    assert str(repository.root) == result.json["workspace"]
    assert (before, status) == (repository.state(), repository.git("status", "--porcelain"))
    # The records of it stay.
    assert 6 == repository.run("list", "--json").json["total"]


def test_a_policy_that_lets_nothing_through_fails_the_check_and_leaves_nothing_waiting(
    repository: Repository,
) -> None:
    repository.write(".executor/policy.yaml", "version: 1\nrequire_approval: ['*.txt']\n")

    result = repository.run("doctor", "--validate", "--workspace", ".", "--json")

    assert 1 == result.code, result.out
    failed = {check["name"]: check["detail"] for check in result.json["checks"] if not check["passed"]}
    assert "wants a person to approve" in failed["change"]
    assert [] == list(repository.root.glob("executor-release-check-*"))
    assert 0 == repository.run("list", "--awaiting", "--json").json["total"]


def test_what_keeps_it_from_starting_is_said_with_exit_2(tmp_path: Path) -> None:
    here = Repository(tmp_path)

    nowhere = here.run("doctor", "--validate", "--workspace", str(tmp_path / "missing"))
    unused = here.run("doctor", "--validate", "--workspace", ".")
    moved = here.run("doctor", "--validate", "--json", environ={"EXECUTOR_STATE_DIR": str(tmp_path / "s")})
    mixed = here.run("doctor", "--workspace", ".")

    assert [2, 2, 2, 2] == [result.code for result in (nowhere, unused, moved, mixed)]
    assert "could not start" in nowhere.err
    assert "executor init" in unused.err
    assert "EXECUTOR_STATE_DIR" in moved.json["error"]
    assert [] == list(tmp_path.iterdir())


def _drop_artifact(validation: Validation) -> str:
    (validation.runtime.artifacts(validation.record("change").execution_id).path / "plan.json").unlink()
    return ""


def _open_artifact(validation: Validation) -> str:
    validation.runtime.artifacts(validation.record("change").execution_id).events.chmod(0o644)
    return ""


def _touch_a_neighbour(validation: Validation) -> str:
    (validation.runtime.root / "README.md").write_text("changed")
    return ""


def _statement(sql: str) -> Callable[[Validation], str]:
    def run(validation: Validation) -> str:
        with closing(sqlite3.connect(validation.runtime.store.db_path)) as connection, connection:
            assert connection.execute(sql).rowcount > 0
        return ""

    return run


def _newer_schema(validation: Validation) -> str:
    """What no server of this version opens."""
    return _statement("INSERT INTO schema_migrations (version, description) VALUES (9999, 'later')")(
        validation
    )


def test_every_check_finds_what_it_is_there_for() -> None:
    sabotage = {
        "record": _statement(
            "DELETE FROM execution_steps WHERE step_name = 'verify' AND status = 'completed'"
        ),
        "artifacts": _drop_artifact,
        "lineage": _statement("UPDATE executions SET attempt = 1 WHERE trigger_kind = 'repair'"),
        "events": _statement("DELETE FROM execution_events WHERE seq = 3"),
        "server": _newer_schema,
        "undone": _touch_a_neighbour,
    }
    checks = [
        check
        for of in CHECKS
        for check in ([Check("sabotage", sabotage[of.name])] if of.name in sabotage else []) + [of]
    ]

    report = validate(None, environ=os.environ, checks=tuple(checks))

    assert list(sabotage) == [result.name for result in report.results if not result.passed]


def test_an_artifact_that_others_may_read_is_found() -> None:
    change, _, artifacts, *_ = CHECKS

    report = validate(None, environ=os.environ, checks=(change, Check("sabotage", _open_artifact), artifacts))

    assert [True, True, False] == [result.passed for result in report.results]
    assert "readable by others" in report.results[-1].detail


def test_a_check_of_ones_own_counts_and_a_file_left_by_it_goes() -> None:
    places = []

    def leaves(validation: Validation) -> str:
        places.append(validation.file)
        validation.file.write_text("left")
        raise CheckFailed("as meant")

    seen: list[str] = []
    report = validate(
        None,
        environ=os.environ,
        checks=(Check("mine", leaves),),
        observer=lambda result: seen.append(result.name),
    )

    assert (False, ["mine"], "as meant") == (report.passed, seen, report.results[0].detail)
    assert not places[0].exists()


def test_git_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidSettings, match="git"):
        validate(None, environ=os.environ)


@pytest.mark.postgres
def test_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    result = Repository(tmp_path).run("doctor", "--validate", environ={"EXECUTOR_DATABASE_URL": postgres_url})

    assert 0 == result.code, result.out + result.err
    assert "9 of 9 checks passed on postgresql" in result.out


def test_a_policy_that_forbids_the_change_is_named_once(repository: Repository) -> None:
    repository.write(".executor/policy.yaml", 'version: 1\nforbid: ["executor-release-check-*"]\n')

    result = repository.run("doctor", "--validate", "--workspace", ".", "--json")

    assert 1 == result.code, result.out
    details = {check["name"]: check["detail"] for check in result.json["checks"] if not check["passed"]}
    assert "touches paths the policy forbids" in details.pop("change")
    assert details
    assert [] == [detail for detail in details.values() if "an earlier check failed" not in detail]
