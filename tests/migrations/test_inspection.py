"""Looking at a database: status, check, backup."""

import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from executor.errors import DatabaseUnavailable, InvalidSettings
from executor.migrations import MIGRATIONS, backup, check, is_current, open_current, pending, status
from support.databases import KEPT_VERSIONS, NEWEST, START, bytes_below, columns_of, kept_database, values_of


@pytest.mark.parametrize("version", KEPT_VERSIONS)
def test_status_tells_what_has_run_and_what_is_pending(tmp_path: Path, version: int) -> None:
    """With descriptions and times, and without writing anything."""
    db = kept_database(tmp_path / "executor.db", version)
    before = bytes_below(tmp_path)

    found = status(db)

    assert (str(db), version, NEWEST) == (found.database, found.current, found.newest)
    assert [m.description for m in MIGRATIONS] == [
        *(applied.description for applied in found.applied),
        *(migration.description for migration in found.pending),
    ]
    assert [f"2025-05-0{n} 12:00:00" for n in range(1, version + 1)] == [a.applied_at for a in found.applied]
    assert list(found.pending) == pending(db)
    assert before == bytes_below(tmp_path)


@pytest.mark.parametrize("version", KEPT_VERSIONS)
def test_a_sound_database_of_any_version_has_no_harmful_difference(tmp_path: Path, version: int) -> None:
    """Each version is compared with what that version holds; the kept databases have one dangling step."""
    db = kept_database(tmp_path / "executor.db", version)
    before = bytes_below(tmp_path)

    found = check(db)

    assert [("rows of execution_steps that refer to rows of executions which do not exist: 1", False)] == [
        (difference.message, difference.harmful) for difference in found
    ]
    assert before == bytes_below(tmp_path)


@pytest.mark.parametrize(
    ("change", "kind", "name"),
    [
        ("DROP TABLE contents", "missing_table", "contents"),
        ("ALTER TABLE executions DROP COLUMN title", "missing_column", "executions.title"),
        ("ALTER TABLE plans ADD COLUMN mine TEXT", "extra_column", "plans.mine"),
        ("DROP INDEX idx_executions_plan_id", "missing_index", "idx_executions_plan_id"),
        (
            "DROP INDEX idx_executions_plan_id; CREATE UNIQUE INDEX idx_executions_plan_id ON executions (title)",
            "other_index",
            "idx_executions_plan_id",
        ),
        (
            "ALTER TABLE executions DROP COLUMN title; ALTER TABLE executions ADD COLUMN title BLOB DEFAULT 'x'",
            "other_column",
            "executions.title",
        ),
        (
            "DROP TABLE execution_steps; CREATE TABLE execution_steps AS SELECT 1 AS id",
            "missing_foreign_key",
            "execution_steps.execution_id",
        ),
        ("DELETE FROM schema_migrations WHERE version = 2", "missing_version", "2"),
    ],
)
def test_check_names_each_difference(tmp_path: Path, change: str, kind: str, name: str) -> None:
    """By kind and name, in a sentence for people."""
    open_current(tmp_path / "executor.db").close()
    with closing(sqlite3.connect(tmp_path / "executor.db")) as connection:
        connection.executescript(change)

    found = {
        (difference.kind, difference.name): difference.message
        for difference in check(tmp_path / "executor.db")
    }

    assert (kind, name) in found
    assert name.split(".")[-1] in found[kind, name]


def test_a_backup_is_one_complete_file(tmp_path: Path) -> None:
    """Everything committed is in it, what is still in the log of writes too; nobody else may read it."""
    db = kept_database(tmp_path / "executor.db", NEWEST, wal=True)
    with closing(open_current(db)) as connection:
        connection.execute(START, ("exec_late", "t"))
        values = values_of(connection)

        copy = backup(db, tmp_path / "copies.db")

    assert tmp_path / "copies.db" == copy
    assert {"executor.db", "copies.db"} == {path.name for path in tmp_path.iterdir()}
    assert 0o600 == stat.S_IMODE(copy.stat().st_mode)
    with closing(sqlite3.connect(f"{copy.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        assert values == values_of(connection)
        assert is_current(connection)
        assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    """Not a file, not a directory, not a link that leads nowhere."""
    db = kept_database(tmp_path / "executor.db", NEWEST)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = bytes_below(tmp_path)

    for name in ("file", "directory", "link", "executor.db"):
        with pytest.raises(InvalidSettings, match="exists already"):
            backup(db, tmp_path / name)

    assert before == bytes_below(tmp_path)
    with pytest.raises(DatabaseUnavailable, match="does not exist"):
        backup(db, tmp_path / "missing" / "copy.db")


def test_a_backup_of_a_database_in_use_is_as_of_one_moment(tmp_path: Path) -> None:
    """Somebody writes pairs of rows meanwhile: each copy holds whole pairs."""
    db = tmp_path / "executor.db"
    open_current(db).close()
    stop = threading.Event()

    def write() -> None:
        with closing(open_current(db)) as connection:
            number = 0
            while not stop.is_set():
                connection.execute("BEGIN IMMEDIATE")
                for half in "ab":
                    connection.execute(START, (f"exec_{number}_{half}", "t"))
                connection.execute("COMMIT")
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copies = [backup(db, tmp_path / f"copy_{number}.db") for number in range(5)]
    finally:
        stop.set()
        writer.join()

    for copy in copies:
        with closing(sqlite3.connect(copy)) as connection:
            assert "execution_id" in columns_of(connection, "executions")
            assert 0 == connection.execute("SELECT count(*) % 2 FROM executions").fetchone()[0]
