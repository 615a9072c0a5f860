"""Processes that upgrade one PostgreSQL database at the same instant, or are killed while they do."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from executor.migrations import check, ensure_current
from support.databases import NEWEST, ledger_of
from support.migrators import Migrators
from support.postgres import PostgresDatabases, connected, old_columns, values_of, wait_until

PROCESSES = 8


@pytest.fixture(scope="module")
def migrators() -> Iterator[Migrators]:
    with Migrators() as started:
        yield started


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.full)])
@pytest.mark.parametrize("start", ["fresh", "version 0"])
def test_eight_processes_open_a_database_at_the_same_instant(
    postgres: PostgresDatabases, migrators: Migrators, start: str, rounds: int
) -> None:
    """None of them fails, one migrates, and what each writes then is there."""
    for _ in range(rounds):
        url = postgres.empty() if start == "fresh" else postgres.version_0(100, collated=True)

        runners = migrators.race(url, PROCESSES)

        assert [None] * PROCESSES == [runner.error for runner in runners]
        assert [0] * (PROCESSES - 1) + [NEWEST] == sorted(runner.recorded for runner in runners)
        with connected(url) as connection:
            written = connection.execute("SELECT count(*) FROM executions WHERE run_id = 'race'").fetchall()
            assert [(PROCESSES,)] == written
            assert NEWEST == len(ledger_of(connection))
        assert [] == check(url)
        postgres.drop(url)


@pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.full)])
@pytest.mark.parametrize("start", ["fresh", "version 0"])
def test_a_process_may_die_between_any_two_statements(
    postgres: PostgresDatabases, migrators: Migrators, start: str, every: int
) -> None:
    """Killed before the first, second, … statement until it gets through: the next upgrade goes on from there,
    and every old value is as it was. The short form tries some of the places."""
    columns = None
    statement, kills = 1, 0
    while True:
        url = postgres.empty() if start == "fresh" else postgres.version_0(20)
        if start != "fresh":
            values, columns = values_of(url), old_columns(url)
        killed = migrators.server_killed_at(url, statement)
        kills += killed

        ensure_current(url)

        assert [] == [found for found in check(url) if found.harmful]
        with connected(url) as connection:
            assert NEWEST == len(ledger_of(connection))
        if columns is not None:
            assert values == values_of(url, columns)
        postgres.drop(url)
        if not killed:
            break
        statement += every

    assert kills * every > 30, "a fresh database takes that many statements"


def test_a_process_may_die_while_the_server_builds_an_index(postgres: PostgresDatabases) -> None:
    """The server gives the work and the lock up by itself; the next upgrade drops and builds the index anew."""
    url = postgres.version_0(100, collated=True)
    values, columns = values_of(url), old_columns(url)
    program = "import sys; from executor.migrations import ensure_current; ensure_current(sys.argv[1])"
    with connected(url) as old, connected(url) as other:
        # The building waits for this snapshot to be given up.
        old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT count(*) FROM notes")
        with subprocess.Popen(
            [sys.executable, "-c", program, url],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ) as upgrading:
            wait_until(other, "SELECT EXISTS (SELECT FROM pg_stat_progress_create_index)")
            upgrading.kill()

        wait_until(other, "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')")
        old.execute("COMMIT")

    ensure_current(url)

    assert [] == check(url)
    assert values == values_of(url, columns)
