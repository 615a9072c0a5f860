"""Several processes that open one database at the same instant."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from executor.migrations import open_current
from support.databases import (
    NEWEST,
    kept_database,
    ledger_of,
)
from support.migrators import Migrators

PROCESSES, ROUNDS = 8, 20


@pytest.fixture(scope="module")
def migrators() -> Iterator[Migrators]:
    with Migrators() as started:
        yield started


@pytest.mark.parametrize(
    "start",
    ["fresh", "version 0", "version 0 in WAL mode", pytest.param("version 3", marks=pytest.mark.full)],
)
def test_eight_processes_open_a_database_at_the_same_instant(
    tmp_path: Path, migrators: Migrators, start: str
) -> None:
    """None of them fails, one migrates, and what each writes then is there; twenty rounds."""
    for number in range(ROUNDS):
        db = tmp_path / f"{number}.db"
        version = int(start.split()[1]) if start != "fresh" else 0
        if start != "fresh":
            kept_database(db, version, wal="WAL" in start)

        runners = migrators.race(db, PROCESSES)

        assert [None] * PROCESSES == [runner.error for runner in runners]
        assert [0] * (PROCESSES - 1) + [NEWEST - version] == sorted(runner.recorded for runner in runners)
        with closing(open_current(db)) as connection:
            written = "SELECT count(*) FROM executions WHERE run_id = 'race'"
            assert [(PROCESSES,)] == connection.execute(written).fetchall()
            assert NEWEST == len(ledger_of(connection))
            assert [("wal",)] == connection.execute("PRAGMA journal_mode").fetchall()
