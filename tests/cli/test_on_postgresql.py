"""The command on a PostgreSQL that several workspaces share."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support.api import client, sign_in
from support.command import BROKEN_PATCH, GOOD_PATCH, Repository
from support.postgres import connected, name_in

pytestmark = pytest.mark.postgres

QUICKLY = {"EXECUTOR_DATABASE_LOCK_TIMEOUT": "0.2", "EXECUTOR_DATABASE_RETRY_TIMEOUT": "0.3"}


@pytest.fixture
def ada(tmp_path: Path, postgres_url: str) -> Repository:
    return shared(tmp_path / "ada", postgres_url, "ada")


@pytest.fixture
def bob(tmp_path: Path, postgres_url: str) -> Repository:
    return shared(tmp_path / "bob", postgres_url, "bob")


@pytest.fixture
def behind(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    with connected(postgres_url) as connection:
        yield connection


def shared(root: Path, url: str, user: str) -> Repository:
    repository = Repository.calculator(root)
    return Repository(
        repository.root, {"EXECUTOR_DATABASE_URL": url, "LOGNAME": user, "USER": user, "LNAME": user}
    )


def listed(repository: Repository, *arguments: str) -> list[dict[str, Any]]:
    executions: list[dict[str, Any]] = repository.run("list", "--json", *arguments).json["executions"]
    return executions


def test_the_demo_runs_with_one_environment_variable(tmp_path: Path, empty_postgres_url: str) -> None:
    """From an empty database; nothing is recorded anywhere else."""
    (tmp_path / "here").mkdir()
    repository = Repository(tmp_path / "here", {"EXECUTOR_DATABASE_URL": empty_postgres_url})

    result = repository.run("demo", "--no-serve", "--directory", str(tmp_path / "ledger"))

    assert result.code == 0, result.err
    assert "7 executions, each as told." in result.out
    assert not list(tmp_path.rglob("*.db"))
    with connected(empty_postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM executions").fetchall() == [(7,)]


def test_a_change_fails_is_retried_and_told_about(ada: Repository) -> None:
    before = ada.state()
    assert ada.apply(BROKEN_PATCH).code == 1
    assert before == ada.state()

    assert ada.run("retry", "@last").code == 1
    assert ada.run("recover").code == 0
    assert ada.apply(GOOD_PATCH).code == 0

    good, retried, broken = listed(ada)
    assert (broken["execution_id"], "retry", 2) == (
        retried["parent_execution_id"],
        retried["trigger_kind"],
        retried["attempt"],
    )
    assert "completed" == good["status"]
    lineage = ada.run("lineage", broken["execution_id"], "--json").json
    assert [retried["execution_id"]] == [e["execution_id"] for e in lineage["descendants"]]
    shown = ada.run("show", "@last", "--json").json
    assert good["execution_id"] == shown["execution"]["execution_id"]
    assert "calculator.py" in ada.run("diff", "@last").out
    assert 2 == len(ada.run("chain", broken["execution_id"], "--json").json["executions"])
    assert ada.run("stats").code == 0
    assert ada.run("db", "status").code == 0
    assert ada.run("db", "check").code == 0


def test_workspaces_that_share_a_database_do_not_see_each_other(ada: Repository, bob: Repository) -> None:
    """Two users, and a job of one of them that a CI runs on a schedule in a checkout of its own."""
    job = shared(bob.root.parent / "job", ada.environ["EXECUTOR_DATABASE_URL"], "runner")
    schedule = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "schedule", "GITHUB_RUN_ID": "17"}
    assert ada.apply(GOOD_PATCH).code == 0
    assert bob.apply(BROKEN_PATCH).code == 1
    process = job.run("run", "--patch", "-", "--verify", "true", stdin=GOOD_PATCH, environ=schedule)
    assert process.code == 0, process.err

    (adas,), (bobs,), (jobs,) = listed(ada), listed(bob), listed(job)

    assert ("ada", "manual", "completed") == (adas["actor"], adas["trigger_kind"], adas["status"])
    assert ("bob", "manual", "rolled_back") == (bobs["actor"], bobs["trigger_kind"], bobs["status"])
    assert ("ci:github", "scheduled", "17") == (jobs["actor"], jobs["trigger_kind"], jobs["run_id"])
    for repository, own in ((ada, adas), (bob, bobs), (job, jobs)):
        shown = repository.run("show", "@last", "--json").json["execution"]
        assert own["execution_id"] == shown["execution_id"]
        assert 1 == repository.run("stats", "--json").json["total"]
    assert ada.run("show", "@last-failed").code == 6
    assert 3 == len(listed(ada, "--all-workspaces"))
    # From anywhere, what has been named is shown.
    assert bobs["execution_id"] in ada.run("show", bobs["execution_id"]).out


def test_another_workspaces_execution_is_not_retried_here(ada: Repository, bob: Repository) -> None:
    """The refusal names the host and the path where it can be; nothing is recorded."""
    assert bob.apply(BROKEN_PATCH).code == 1
    (failed,) = listed(bob)
    before = ada.state()

    result = ada.run("retry", failed["execution_id"])

    assert result.code == 7
    assert socket.gethostname() in result.err
    assert str(bob.root) in result.err
    assert before == ada.state()
    assert 1 == len(listed(ada, "--all-workspaces"))


def test_recovery_touches_only_its_own_workspace(ada: Repository, bob: Repository) -> None:
    """An execution of another workspace that looks abandoned is somebody else's to put in order."""
    assert bob.apply(GOOD_PATCH).code == 0
    with connected(bob.environ["EXECUTOR_DATABASE_URL"]) as connection:
        connection.execute("UPDATE executions SET status = 'applying', ended_at = NULL")

    assert [] == ada.run("recover", "--json").json["recovered"]

    assert ["applying"] == [e["status"] for e in listed(ada, "--all-workspaces")]


def test_a_read_only_server_is_unavailable_for_changes_only(
    ada: Repository, behind: psycopg.Connection[Any]
) -> None:
    assert ada.apply(GOOD_PATCH).code == 0
    name = name_in(ada.environ["EXECUTOR_DATABASE_URL"])
    behind.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    before = ada.state()

    refused = ada.apply(BROKEN_PATCH.replace("a + b", "b + a"))

    assert (refused.code, "read-only" in refused.err) == (69, True)
    assert 1 == len(listed(ada))
    assert before == ada.state()


def test_a_full_disk_of_the_server_is_unavailable(ada: Repository, behind: psycopg.Connection[Any]) -> None:
    ada.run("list")
    behind.execute(
        """CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"""
    )
    behind.execute(
        "CREATE TRIGGER full_disk BEFORE INSERT ON executions FOR EACH ROW EXECUTE FUNCTION full_disk()"
    )
    before = ada.state()

    result = ada.apply(GOOD_PATCH)

    assert (result.code, "disk of the server is full" in result.err) == (69, True)
    assert before == ada.state()


def test_a_server_that_is_busy_for_too_long_means_try_again(
    ada: Repository, behind: psycopg.Connection[Any]
) -> None:
    assert ada.apply(GOOD_PATCH).code == 0
    with behind.transaction():
        behind.execute("LOCK TABLE executions IN SHARE MODE")
        result = ada.run("run", "--patch", "-", stdin=BROKEN_PATCH.replace("a + b", "b + a"), environ=QUICKLY)

    assert (result.code, "busy" in result.err) == (75, True)


def test_connections_that_keep_breaking_mean_try_again(
    ada: Repository, behind: psycopg.Connection[Any]
) -> None:
    """Each write loses its connection before it is over. Nothing is applied, and the next call finds all in order."""
    ada.run("list")
    behind.execute(
        """CREATE FUNCTION hang_up() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"""
    )
    behind.execute(
        "CREATE TRIGGER hang_up BEFORE INSERT ON executions FOR EACH ROW EXECUTE FUNCTION hang_up()"
    )
    before = ada.state()

    result = ada.run("run", "--patch", "-", stdin=GOOD_PATCH, environ=QUICKLY)

    assert 75 == result.code, result.err
    assert before == ada.state()
    behind.execute("DROP FUNCTION hang_up CASCADE")
    assert [] == listed(ada)
    assert 0 == ada.apply(GOOD_PATCH).code


def test_a_server_that_is_away_is_named_without_its_password(ada: Repository) -> None:
    away = {"EXECUTOR_DATABASE_URL": "postgresql://ada:hunter2secret@127.0.0.1:1/executor"}

    for command in (["list"], ["show", "@last"], ["run", "--patch", "-"], ["db", "status"]):
        result = ada.run(*command, stdin=GOOD_PATCH, environ=away)

        assert (result.code, "127.0.0.1:1/executor" in result.err) == (69, True), command
        assert "hunter2secret" not in result.err + result.out


def test_another_host_reads_all_of_an_execution(ada: Repository, bob: Repository) -> None:
    """Everything about it but its folder is in the database: through the command and over HTTP alike."""
    assert ada.apply(BROKEN_PATCH).code == 1
    (failed,) = listed(ada)
    execution_id = failed["execution_id"]
    printed = ada.run("logs", execution_id, "--json").json["logs"]
    told = ada.run("show", execution_id, "--json").json
    assert "AssertionError" in printed[0]["text"]
    # Its host is away.
    ada.root.rename(ada.root.with_name("away"))

    shown = bob.run("show", execution_id, "--json").json

    assert ["steps/04-verify.log"] == shown["artifacts"]
    assert {**told, "artifacts": None} == {**shown, "artifacts": None}
    assert printed == bob.run("logs", execution_id, "--json").json["logs"]
    assert "-    return a + b" in bob.run("diff", execution_id).out
    assert bob.run("events", execution_id, "--json").json["events"]
    with client(bob.root, environ=bob.environ) as api:
        sign_in(api)
        at = f"/executions/{execution_id}"
        (log,) = api.get(f"{at}/artifacts").json()["artifacts"]
        served = api.get(f"{at}/artifacts/{log['name']}")
        again = api.get(f"{at}/artifacts/{log['name']}", headers={"If-None-Match": served.headers["etag"]})
        last = api.get(f"{at}/artifacts/{log['name']}", params={"tail": 1})
    assert printed[0]["text"] == served.text.rstrip("\n")
    assert (log["size"], 304) == (len(served.content), again.status_code)
    assert served.text.splitlines()[-1] == last.text.rstrip("\n")


def test_a_workspace_moves_to_a_server_and_back(tmp_path: Path, postgres_url: str) -> None:
    repository = Repository.calculator(tmp_path / "repository")
    assert repository.apply(BROKEN_PATCH).code == 1
    assert repository.run("retry", "@last").code == 1
    told = repository.run("lineage", "@last", "--json").json
    server = {"EXECUTOR_DATABASE_URL": postgres_url}

    there = repository.run("db", "copy", "--to", postgres_url)

    assert there.code == 0, there.err
    assert "checksums compared" in there.out
    assert "executions" in there.err
    assert told == repository.run("lineage", "@last", "--json", environ=server).json
    assert repository.run("run", "--patch", "-", stdin=GOOD_PATCH, environ=server).code in (0, 3)
    back = repository.run("db", "copy", "--to", f"sqlite:///{tmp_path / 'back.db'}", "--json", environ=server)
    assert 3 == next(t["rows"] for t in back.json["tables"] if t["name"] == "executions")
    # The server has gone on since: nothing is written over it.
    refused = repository.run("db", "copy", "--to", postgres_url)
    assert (refused.code, "does not have" in refused.err) == (7, True)
