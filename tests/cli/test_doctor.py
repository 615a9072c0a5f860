"""`executor doctor`: it says what is wrong and what to do, and touches nothing."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.command import GOOD_PATCH, Repository, Result
from support.postgres import PostgresDatabases, connected


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository.calculator(tmp_path / "repository")
    assert repository.apply(GOOD_PATCH).code == 0
    return repository


def findings(result: Result) -> dict[str, dict[str, Any]]:
    return {finding["code"]: finding for finding in result.json["findings"]}


def test_all_is_well(repository: Repository) -> None:
    result = repository.run("doctor", "--json")

    assert 0 == result.code, result.out
    found = result.json
    assert found["healthy"] is True
    assert [] == found["findings"]
    assert {"executor", "python", "git"} <= set(found["versions"])
    assert str(repository.root / ".executor") == found["state"]
    assert found["workspace_id"].startswith("ws_")
    assert "sqlite" == found["database"]["engine"]
    tables = {table["name"]: table["rows"] for table in found["database"]["tables"]}
    assert 1 == tables["executions"]
    assert found["schema"]["current"] == found["schema"]["newest"] > 0
    assert "everything is in order" in repository.run("doctor").out


def test_a_directory_without_records_stays_as_it_is(tmp_path: Path) -> None:
    result = Repository(tmp_path).run("doctor", "--json")

    assert (0, "no_state") == (result.code, result.json["findings"][0]["code"])
    assert [] == list(tmp_path.iterdir())


def test_a_damaged_database_is_named_with_its_remedy_and_left_alone(repository: Repository) -> None:
    database = repository.root / ".executor/executor.db"
    database.write_bytes(b"no database at all" * 100)
    before = database.read_bytes()

    result = repository.run("doctor", "--json")

    assert 1 == result.code
    found = findings(result)["database_damaged"]
    assert "wrong" == found["level"]
    assert "restore" in found["message"]
    assert before == database.read_bytes()
    assert "✗" in repository.run("doctor").out


def test_a_newer_database_and_a_missing_index(repository: Repository) -> None:
    database = repository.root / ".executor/executor.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DROP INDEX idx_executions_status")
    assert "missing_index" in findings(repository.run("doctor", "--json"))
    assert 0 == repository.run("doctor", "--quick").code

    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO schema_migrations(version, description) VALUES (9000, 'later')")
    result = repository.run("doctor", "--json")
    assert 1 == result.code
    assert "schema_too_new" in findings(result)


def test_a_broken_policy_and_a_misspelt_variable(repository: Repository) -> None:
    (repository.root / ".executor/policy.yaml").write_text("forbidden: nonsense\n")

    result = repository.run("doctor", "--json", environ={"EXECUTOR_DATABASE_ULR": "x"})

    assert 1 == result.code
    assert "policy.yaml" in findings(result)["invalid_policy"]["message"]
    assert "did you mean EXECUTOR_DATABASE_URL?" == findings(result)["unknown_variable"]["remedy"]


def test_payloads_are_counted_and_gc_is_suggested_when_they_are_large(repository: Repository) -> None:
    assert repository.apply(GOOD_PATCH).code == 0
    small = repository.run("doctor", "--json").json
    repository.run("gc", "--keep-count", "0")
    none = repository.run("doctor", "--json").json
    (folder,) = (repository.root / ".executor/executions").iterdir()
    with (folder / "steps" / "09-verify.log").open("wb") as log:
        log.truncate(2 << 30)

    large = repository.run("doctor", "--json")

    assert 0 == none["payload_bytes"] < small["payload_bytes"] < 10_000
    assert (2 << 30, [], []) == (large.json["payload_bytes"], small["findings"], none["findings"])
    assert (0, True) == (large.code, "executor gc" in findings(large)["payload_large"]["remedy"])
    assert "2.1 GB in artifact folders" in repository.run("doctor").out
    assert repository.run("doctor", "--quick", "--json").json["payload_bytes"] is None


def test_the_settings_of_the_workspace_are_named_and_a_broken_file_is_said(repository: Repository) -> None:
    """No command line is shown: there may be a secret in it."""
    config = repository.write(
        ".executor/config.toml",
        '[checks]\ntests = "pytest --token s3cret"\n[health.web]\ntcp = "h:1"\n[retention]\nkeep_days = 9\n',
    )

    result = repository.run("doctor", "--json")

    assert 0 == result.code, result.out
    assert [
        {"name": "checks", "value": "tests", "source": ".executor/config.toml"},
        {"name": "health", "value": "web", "source": ".executor/config.toml"},
        {"name": "retention", "value": "keep_days = 9", "source": ".executor/config.toml"},
    ] == result.json["settings"]
    assert "s3cret" not in result.out + repository.run("doctor").out

    config.write_text("[checks\n")
    broken = repository.run("doctor", "--json")
    assert (1, ["invalid_settings"]) == (broken.code, list(findings(broken)))
    assert "config.toml" in broken.json["findings"][0]["message"]


def test_what_a_killed_process_left_is_named_and_not_touched(repository: Repository) -> None:
    marks = repository.root / ".executor/running"
    marks.mkdir(exist_ok=True)
    mark = marks / "exec_dead"
    mark.write_text(
        json.dumps({"execution_id": "exec_dead", "workspace_id": "w", "root": str(repository.root), "pid": 1})
    )

    result = repository.run("doctor", "--json")

    assert 1 == result.code
    assert "exec_dead" in findings(result)["abandoned"]["message"]
    assert "executor recover" == findings(result)["abandoned"]["remedy"]
    assert mark.exists()


def test_without_git(repository: Repository, tmp_path: Path) -> None:
    """The programs of this Python are found, git is not."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "sh").symlink_to(shutil.which("sh") or "/bin/sh")

    result = repository.run("doctor", "--json", environ={"PATH": str(programs)})

    assert 1 == result.code
    assert "no_git" in findings(result)


def test_a_server_that_cannot_be_reached(repository: Repository) -> None:
    """Neither password nor options of the URL are shown."""
    url = "postgresql://ada:s3cret@127.0.0.1:1/ledger?connect_timeout=1"

    result = repository.run("doctor", "--json", environ={"EXECUTOR_DATABASE_URL": url})

    assert 1 == result.code
    assert ["database_unavailable"] == list(findings(result))
    assert "s3cret" not in result.out + result.err
    assert "postgresql://ada@127.0.0.1:1/ledger" in result.out


@pytest.mark.postgres
def test_a_server(tmp_path: Path, postgres: PostgresDatabases) -> None:
    url = postgres.current()
    repository = Repository(
        Repository.calculator(tmp_path / "repository").root, {"EXECUTOR_DATABASE_URL": url}
    )
    assert 0 == repository.apply(GOOD_PATCH).code

    result = repository.run("doctor", "--json", environ={"EXECUTOR_DATABASE_POOL_SIZE": "3"})

    assert 0 == result.code, result.out
    database = result.json["database"]
    assert "postgresql" == database["engine"]
    assert "UTF8" == database["settings"]["server_encoding"]
    assert all(table["bytes"] > 0 for table in database["tables"])
    settings = {setting["name"]: setting for setting in result.json["settings"]}
    assert ("3", "environment") == (
        settings["EXECUTOR_DATABASE_POOL_SIZE"]["value"],
        settings["EXECUTOR_DATABASE_POOL_SIZE"]["source"],
    )
    assert "default" == settings["EXECUTOR_DATABASE_LOCK_TIMEOUT"]["source"]

    with connected(url) as connection:
        (name,) = connection.execute("SELECT current_database()").fetchone() or ("",)
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    read_only = repository.run("doctor", "--json")
    assert (1, ["read_only"]) == (read_only.code, list(findings(read_only)))


@pytest.mark.postgres
def test_an_empty_database_of_a_server_is_no_damage(repository: Repository, empty_postgres_url: str) -> None:
    """One that was just made, as the documents say."""
    result = repository.run("doctor", "--json", environ={"EXECUTOR_DATABASE_URL": empty_postgres_url})

    assert 0 == result.code, result.out
    assert "executor db upgrade makes the tables" in findings(result)["empty_database"]["remedy"]
    assert "missing_table" not in findings(result)
    assert "public" == result.json["database"]["home"]


@pytest.mark.postgres
def test_a_search_path_that_leads_nowhere_is_named(repository: Repository, empty_postgres_url: str) -> None:
    url = f"{empty_postgres_url}?options=-csearch_path%3Dnowhere"

    result = repository.run("doctor", "--json", environ={"EXECUTOR_DATABASE_URL": url})

    assert 1 == result.code
    assert ["no_schema"] == [code for code in findings(result) if code != "no_state"]
    assert "nowhere" in findings(result)["no_schema"]["message"]


@pytest.mark.postgres
def test_a_user_who_may_only_read_is_named(repository: Repository, postgres_url: str) -> None:
    with connected(postgres_url) as connection:
        connection.execute("CREATE ROLE reader LOGIN")
        try:
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")

            result = repository.run(
                "doctor",
                "--json",
                environ={"EXECUTOR_DATABASE_URL": postgres_url.replace("executor@", "reader@")},
            )

            assert 1 == result.code
            assert "GRANT" in findings(result)["may_not_write"]["remedy"]
            assert not result.json["database"]["may_write"]
        finally:
            connection.execute("DROP OWNED BY reader")
            connection.execute("DROP ROLE reader")
