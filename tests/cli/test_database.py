"""`executor db …`: what the database holds, how it is upgraded, checked, copied and taken back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from executor.migrations import MIGRATIONS
from support.command import GOOD_PATCH, Repository, Result
from support.postgres import PostgresDatabases

NEWEST = MIGRATIONS[-1].version


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository.calculator(tmp_path / "repository")
    assert repository.apply(GOOD_PATCH).code == 0
    return repository


def database(repository: Repository) -> Path:
    return repository.root / ".executor/executor.db"


def test_status_names_every_version(repository: Repository) -> None:
    status = repository.run("db", "status", "--json").json

    assert (status["current"], status["newest"]) == (NEWEST, NEWEST)
    assert [entry["schema_version"] for entry in status["applied"]] == [m.version for m in MIGRATIONS]
    assert status["pending"] == []


def test_an_upgrade_of_the_newest_does_nothing(repository: Repository) -> None:
    result = repository.run("db", "upgrade")

    assert result.code == 0
    assert "nothing to do" in result.out


def test_a_downgrade_first_says_what_is_lost_then_keeps_a_copy(repository: Repository) -> None:
    preview = repository.run("db", "downgrade", "--to", "0", "--json").json
    assert preview["done"] is False
    lost = {(loss["table"], loss["column"]): loss["rows"] for loss in preview["losses"]}
    assert lost[("executions", "correlation_id")] == 1
    assert lost[("execution_events", None)] == len(repository.run("events", "@last", "--json").json["events"])

    done = repository.run("db", "downgrade", "--to", "0", "--yes", "--json").json

    assert done["to_version"] == 0
    assert Path(done["copy"]).exists()
    with closing(sqlite3.connect(database(repository))) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(executions)")]
    assert "correlation_id" not in columns
    assert len(repository.run("list", "--json").json["executions"]) == 1
    assert repository.run("db", "status", "--json").json["current"] == NEWEST


def test_check_finds_a_missing_index_and_an_upgrade_brings_it_back(repository: Repository) -> None:
    assert repository.run("db", "check").code == 0
    with closing(sqlite3.connect(database(repository))) as connection:
        connection.execute("DROP INDEX idx_executions_correlation_id")

    found = repository.run("db", "check", "--json")

    assert found.code == 1
    assert "idx_executions_correlation_id" in found.out
    assert repository.run("db", "upgrade").code == 0
    assert repository.run("db", "check").code == 0


def test_a_backup_is_a_whole_database_and_overwrites_nothing(repository: Repository) -> None:
    copy = repository.root.parent / "copy.db"

    assert repository.run("db", "backup", str(copy)).code == 0
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM executions").fetchone() == (1,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    again = repository.run("db", "backup", str(copy))
    assert again.code == 2
    assert "not overwritten" in again.err


def test_a_file_that_is_no_database_is_named_and_left_alone(repository: Repository) -> None:
    for file in database(repository).parent.glob("executor.db*"):
        file.unlink()
    database(repository).write_bytes(b"this is no database, whatever its name says\n" * 100)
    before = database(repository).read_bytes()

    for command in (("list",), ("db", "status"), ("db", "check"), ("db", "upgrade")):
        result = repository.run(*command)
        assert result.code == 69, (command, result.err)
        assert str(database(repository)) in result.err
    assert database(repository).read_bytes() == before


def test_a_workspace_without_database_says_how_to_make_one(tmp_path: Path) -> None:
    empty = Repository(tmp_path)

    result = empty.run("db", "status")

    assert result.code == 2
    assert "executor init" in result.err


def test_a_database_of_a_server_is_managed_by_its_url(tmp_path: Path, postgres: PostgresDatabases) -> None:
    """Status, upgrade, check and downgrade work; what needs a file names the command that does it instead; no
    password is shown."""
    url = postgres.version_0(5, collated=True).replace("executor@", "executor:hunter2@")
    environ = {"EXECUTOR_DATABASE_URL": url}
    anywhere = Repository(tmp_path)

    def run(*arguments: str) -> Result:
        result = anywhere.run("db", *arguments, environ=environ)
        assert "hunter2" not in result.out + result.err
        return result

    assert (0, NEWEST) == (
        run("status", "--json").json["current"],
        run("upgrade", "--json").json["to_version"],
    )
    assert url.replace(":hunter2", "") in run("status").out
    assert "the database is in order" in run("check").out
    preview = run("downgrade", "--to", "1")
    assert (0, True) == (preview.code, "pg_dump" in preview.err)
    done = run("downgrade", "--to", "1", "--yes", "--json").json
    assert (NEWEST, 1, None) == (done["from_version"], done["to_version"], done["copy"])
    refused = run("backup", str(tmp_path / "copy.db"))
    assert (2, True) == (refused.code, "pg_dump" in refused.err)


def test_a_server_that_cannot_be_reached_is_exit_69(tmp_path: Path) -> None:
    result = Repository(tmp_path).run(
        "db", "status", environ={"EXECUTOR_DATABASE_URL": "postgresql://ann:hunter2@127.0.0.1:1/work"}
    )

    assert (69, False) == (result.code, "hunter2" in result.err)
    assert "check that the server runs" in result.err
