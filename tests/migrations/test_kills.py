"""Processes that are killed while they upgrade."""

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from executor.migrations import is_current, open_current
from support.databases import (
    ENOUGH_TO_BE_LARGE,
    NEWEST,
    assert_newest_schema,
    fill,
    kept_database,
    ledger_of,
    old_columns,
    values_of,
)
from support.migrators import Migrators


@pytest.fixture(scope="module")
def migrators() -> Iterator[Migrators]:
    with Migrators() as started:
        yield started


@pytest.mark.parametrize(
    "start",
    ["fresh", "version 0", "version 0 in WAL mode", pytest.param("version 4", marks=pytest.mark.full)],
)
def test_a_process_may_die_between_any_two_statements(
    tmp_path: Path, migrators: Migrators, start: str
) -> None:
    """Killed before the first, second, … statement until it gets through: each time the file is as before or
    as after, and the next open succeeds and has every row."""
    original = tmp_path / "original.db"
    version = int(start.split()[1]) if start != "fresh" else 0
    if start != "fresh":
        kept_database(original, version, wal="WAL" in start)
        with closing(sqlite3.connect(original)) as connection:
            values = values_of(connection, old_columns(version))
    statement, befores, afters = 0, 0, 0
    while True:
        statement += 1
        db = tmp_path / f"{statement}.db"
        if start != "fresh":
            shutil.copyfile(original, db)
        if not migrators.killed_at(db, statement):
            break
        with closing(sqlite3.connect(db)) as connection:
            if is_current(connection):
                afters += 1
            else:
                befores += 1
                assert version == len(ledger_of(connection) if version else [])
        with closing(open_current(db)) as connection:
            assert is_current(connection)
            assert_newest_schema(connection)
            if start != "fresh":
                assert values == values_of(connection, old_columns(version))

    # Opening alone takes some statements; so does what follows the commit.
    assert befores > 20
    assert afters >= 2


@pytest.mark.parametrize(
    ("wal", "count"),
    [
        pytest.param(False, 5_000, id="rollback journal"),
        pytest.param(True, 5_000, id="WAL"),
        pytest.param(False, ENOUGH_TO_BE_LARGE, id="rollback journal, large", marks=pytest.mark.full),
    ],
)
def test_a_process_may_die_at_any_moment(tmp_path: Path, migrators: Migrators, wal: bool, count: int) -> None:
    """Killed at random moments inside the transaction of an upgrade: the next open finds the rows of before and
    completes."""
    original = fill(kept_database(tmp_path / "original.db", 0, wal=wal), count)
    with closing(sqlite3.connect(original)) as connection:
        values = values_of(connection)
    seconds = migrators.seconds_inside(Path(shutil.copyfile(original, tmp_path / "measured.db")))
    chance = random.Random(20)
    kills, inside = 0, 0
    # More than 20 only where the machine is so uneven that many come too late.
    while kills < 20 or (inside < 15 and kills < 200):
        db = tmp_path / f"{kills}.db"
        shutil.copyfile(original, db)
        was_inside = migrators.killed_after(db, chance.uniform(0, seconds * 0.8))
        kills += 1
        inside += was_inside
        with closing(open_current(db)) as connection:
            assert is_current(connection)
            assert NEWEST == len(ledger_of(connection))
            assert values == values_of(connection, old_columns())
            assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
        db.unlink()

    assert inside >= 15
