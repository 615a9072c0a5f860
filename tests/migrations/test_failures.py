"""Upgrades that fail: the database is as it was."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.operations import Operations
from sqlalchemy import Column, Text

from executor.errors import DatabaseUnavailable, InvalidInput, MigrationFailed, TryAgain
from executor.migrations import MIGRATIONS, Migration, connect, is_current, open_current, run_migrations
from executor.migrations.inspection import read_layout
from executor.migrations.sqlite import exclusive
from support.databases import (
    ENOUGH_TO_BE_LARGE,
    NEWEST,
    START,
    bytes_below,
    fill,
    in_memory,
    kept_database,
    values_of,
)


def fail_late(op: Operations) -> None:
    op.add_column("executions", Column("half", Text))
    op.execute("DELETE FROM executions")
    op.execute("UPDATE schema_migrations SET applied_at = 'never'")
    raise RuntimeError("out of ideas")


def fail_in_sql(op: Operations) -> None:
    op.execute("DELETE FROM executions")
    op.execute("INSERT INTO nowhere VALUES (1)")


@pytest.mark.parametrize(
    ("up", "reason"), [(fail_late, "out of ideas"), (fail_in_sql, "no such table: nowhere")]
)
@pytest.mark.parametrize("version", [0, 2, NEWEST])
@pytest.mark.parametrize("wal", [False, True], ids=["rollback journal", "WAL"])
def test_a_step_that_raises_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, up: object, reason: str, version: int, wal: bool
) -> None:
    """All steps before it are undone too; the error names the step and the reason; the file is the same, byte
    by byte."""
    broken = Migration(NEWEST + 1, "never works", up, up)  # type: ignore[arg-type]
    monkeypatch.setattr("executor.migrations.MIGRATIONS", (*MIGRATIONS, broken))
    db = kept_database(tmp_path / "executor.db", version, wal=wal)
    before = bytes_below(tmp_path)

    for door in (run_migrations, open_current):
        with pytest.raises(
            MigrationFailed, match=rf"version {NEWEST + 1} \(never works\) .*{reason}"
        ) as failure:
            door(db)
        assert (str(db), NEWEST + 1) == (failure.value.database, failure.value.version)
        assert before == bytes_below(tmp_path)


@pytest.mark.parametrize("door", [run_migrations, open_current])
def test_a_large_file_has_its_old_content_and_journal_mode_after_a_step_that_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, door: Callable[[Path], object]
) -> None:
    """It is in WAL mode while it is upgraded; nothing of that is left, not even a file beside it."""
    broken = Migration(NEWEST + 1, "never works", fail_late, fail_late)
    monkeypatch.setattr("executor.migrations.MIGRATIONS", (*MIGRATIONS, broken))
    db = fill(kept_database(tmp_path / "executor.db", 0), ENOUGH_TO_BE_LARGE)
    with closing(sqlite3.connect(db)) as connection:
        before, values = read_layout(connection), values_of(connection)

    with pytest.raises(MigrationFailed):
        door(db)

    assert ["executor.db"] == [path.name for path in tmp_path.iterdir()]
    with closing(sqlite3.connect(db)) as connection:
        assert ("delete",) == connection.execute("PRAGMA journal_mode").fetchone()
        assert before == read_layout(connection)
        assert values == values_of(connection)


def test_a_large_file_that_somebody_has_open_keeps_its_content_when_a_step_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot leave WAL mode then; the reader has its answer as before."""
    broken = Migration(NEWEST + 1, "never works", fail_late, fail_late)
    monkeypatch.setattr("executor.migrations.MIGRATIONS", (*MIGRATIONS, broken))
    db = fill(kept_database(tmp_path / "executor.db", 0), ENOUGH_TO_BE_LARGE)
    with closing(sqlite3.connect(db)) as reader:
        before, values = read_layout(reader), values_of(reader)

        with pytest.raises(MigrationFailed):
            run_migrations(db)

        assert before == read_layout(reader)
        assert values == values_of(reader)


def test_a_step_in_the_middle_that_raises_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor on a connection of the caller's, which can be used again at once."""
    broken = Migration(3, "never works", fail_late, fail_late)
    with closing(in_memory(1)) as connection:
        before, values = read_layout(connection), values_of(connection)
        with monkeypatch.context() as patch:
            patch.setattr("executor.migrations.MIGRATIONS", (*MIGRATIONS[:2], broken, *MIGRATIONS[3:]))
            with pytest.raises(MigrationFailed):
                run_migrations(connection)

        assert not connection.in_transaction
        assert before == read_layout(connection)
        assert values == values_of(connection)
        assert NEWEST - 1 == run_migrations(connection)


def test_a_fresh_database_whose_making_fails_is_made_by_the_next_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing half made is left."""
    db = tmp_path / "executor.db"
    with monkeypatch.context() as patch:
        patch.setattr(
            "executor.migrations.MIGRATIONS", (*MIGRATIONS, Migration(NEWEST + 1, "no", fail_late, fail_late))
        )
        with pytest.raises(MigrationFailed):
            open_current(db)
    with closing(sqlite3.connect(db)) as connection:
        assert [] == connection.execute("SELECT * FROM sqlite_master").fetchall()

    with closing(open_current(db)) as connection:
        assert is_current(connection)


@pytest.mark.parametrize("version", [None, 0])
def test_a_full_disk_leaves_the_database_as_it_was(tmp_path: Path, version: int | None) -> None:
    """The error says that the disk is full; after making room the upgrade goes through."""
    db = tmp_path / "executor.db"
    if version is not None:
        kept_database(db, version)
    with closing(sqlite3.connect(db)) as connection:
        before = read_layout(connection)
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages + 8}")

        with pytest.raises(DatabaseUnavailable, match=r"executor.db: the disk is full; free some space"):
            run_migrations(connection)

        assert not connection.in_transaction
        assert before == read_layout(connection)
        connection.execute("PRAGMA max_page_count=100000")
        assert NEWEST == run_migrations(connection)


@pytest.mark.parametrize(
    ("in_the_way", "named"),
    [
        ("CREATE TABLE plans (day TEXT, meal TEXT)", "table plans .*plan_id.* rename it"),
        (
            "CREATE TABLE lunch (meal); CREATE INDEX idx_executions_run_id ON lunch (meal)",
            "idx_executions_run_id",
        ),
        ("CREATE VIEW workspaces AS SELECT 1 AS one", "workspaces"),
    ],
)
def test_a_users_table_with_a_name_of_ours_stops_the_upgrade(
    tmp_path: Path, in_the_way: str, named: str
) -> None:
    """It is not filled, extended or replaced; the error names it."""
    db = kept_database(tmp_path / "executor.db", 0)
    with closing(sqlite3.connect(db)) as connection:
        connection.executescript(in_the_way)
    before = bytes_below(tmp_path)

    with pytest.raises(MigrationFailed, match=named):
        run_migrations(db)

    assert before == bytes_below(tmp_path)


def test_a_connection_inside_a_transaction_is_refused(tmp_path: Path) -> None:
    """The caller's transaction is neither committed nor rolled back."""
    with closing(sqlite3.connect(kept_database(tmp_path / "executor.db", 0))) as connection:
        connection.execute(START, ("exec_1", "t"))

        with pytest.raises(InvalidInput, match="open transaction; commit or roll it back"):
            run_migrations(connection)

        assert connection.in_transaction
        connection.rollback()
        assert NEWEST == run_migrations(connection)


def test_an_upgrade_waits_for_a_writer_and_gives_up_in_the_end(tmp_path: Path) -> None:
    """Somebody who never commits makes it a TryAgain."""
    db = kept_database(tmp_path / "executor.db", 0, wal=True)
    with closing(sqlite3.connect(db, isolation_level=None)) as writer, closing(connect(db)) as other:
        writer.execute("BEGIN IMMEDIATE")

        with pytest.raises(TryAgain, match="busy"), exclusive(other, str(db), wait=0):
            pass
        assert not other.in_transaction
        assert (1,) == other.execute("PRAGMA foreign_keys").fetchone()
        assert (30_000,) == other.execute("PRAGMA busy_timeout").fetchone()


def test_a_writer_waits_for_the_whole_upgrade(tmp_path: Path) -> None:
    """A program that writes while a migration holds the database gets no error, only its turn."""
    db = tmp_path / "executor.db"
    open_current(db).close()
    asked, written = threading.Event(), threading.Event()

    def write() -> None:
        with closing(connect(db)) as connection:
            asked.set()
            connection.execute(START, ("exec_1", "t"))
            written.set()

    with closing(connect(db)) as migrating:
        writer = threading.Thread(target=write)
        with exclusive(migrating, str(db)):
            writer.start()
            assert asked.wait(30)
            assert not written.wait(0.2)
        writer.join()
        assert written.is_set()
        assert [("exec_1",)] == migrating.execute("SELECT execution_id FROM executions").fetchall()
