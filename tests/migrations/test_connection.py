"""Opening: the settings of a connection, and what happens with files that cannot be used."""

import os
import random
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from executor.errors import (
    DatabaseDamaged,
    DatabaseUnavailable,
    ExecutorError,
    SchemaOutdated,
    SchemaTooNew,
    TryAgain,
)
from executor.migrations import (
    backup,
    check,
    connect,
    is_current,
    open_current,
    pending,
    preview_rollback,
    rollback_migration,
    run_migrations,
    status,
)
from executor.migrations.connection import database_error
from executor.schema import get_db_connection, init_executor_db
from support.databases import NEWEST, START, bytes_below, fill, kept_database

# Everything that takes a path, each of which has to leave a bad file alone.
DOORS: list[Callable[[Path], object]] = [
    connect,
    open_current,
    run_migrations,
    init_executor_db,
    get_db_connection,
    rollback_migration,
    preview_rollback,
    pending,
    status,
    check,
    lambda db: backup(db, db.with_name("copy.db")),
    lambda db: connect(db, read_only=True),
]


def refused(directory: Path, db: Path, error: type[ExecutorError], said: str) -> None:
    """Every door raises the error with these words, and every file stays as it is, none is added."""
    before = bytes_below(directory)
    for door in DOORS:
        with pytest.raises(error, match=said) as refusal:
            door(db)
        assert str(db) in str(refusal.value)
        assert before == bytes_below(directory)


def test_a_connection_is_configured(tmp_path: Path) -> None:
    """WAL, foreign keys, a long wait for locks, no transactions behind the caller's back."""
    with closing(connect(tmp_path / "executor.db")) as connection:
        settings = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
        }

        assert settings == {
            "journal_mode": "wal",
            "foreign_keys": 1,
            "busy_timeout": 30_000,
            "synchronous": 1,
        }
        assert connection.isolation_level is None
    with closing(connect(tmp_path / "executor.db", synchronous="FULL", timeout=2)) as connection:
        assert (2,) == connection.execute("PRAGMA synchronous").fetchone()
        assert (2000,) == connection.execute("PRAGMA busy_timeout").fetchone()


def test_a_new_database_is_for_its_owner_only(tmp_path: Path) -> None:
    """Changesets are in it: the file and those beside it have mode 0600, whatever the umask. The mode of a
    file that is there stays."""
    db = tmp_path / "executor.db"
    with closing(open_current(db)) as connection:
        connection.execute(START, ("exec_1", "t"))

        assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        assert 3 == len(list(tmp_path.iterdir()))
    db.chmod(0o640)
    open_current(db).close()
    assert 0o640 == stat.S_IMODE(db.stat().st_mode)


def test_a_connection_may_wander_between_threads(tmp_path: Path) -> None:
    """A kept connection is used by whichever thread has it."""
    found: list[bool] = []
    with closing(open_current(tmp_path / "executor.db")) as connection:
        thread = threading.Thread(target=lambda: found.append(is_current(connection)))
        thread.start()
        thread.join()

    assert [True] == found


def test_strange_file_names_are_taken_as_they_are(tmp_path: Path) -> None:
    """Percent signs, question marks, hashes, spaces and bytes that are no UTF-8 are part of the name."""
    names = ["a%20b?c#d e.db", "größe.db", os.fsdecode(b"\xff\xfe.db")]
    for name in names:
        open_current(tmp_path / name).close()

    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())


def test_reading_only_changes_nothing(tmp_path: Path) -> None:
    """A read-only connection sees a database in either journal mode and cannot write."""
    for wal in (False, True):
        db = kept_database(tmp_path / f"{wal}.db", NEWEST, wal=wal)
        before = bytes_below(tmp_path)
        with closing(connect(db, read_only=True)) as connection:
            assert is_current(connection)
            with pytest.raises(sqlite3.OperationalError) as failure:
                connection.execute(START, ("exec_1", "t"))
            assert isinstance(database_error(failure.value, str(db)), DatabaseUnavailable)
        assert before[db.name] == db.read_bytes()


@pytest.mark.parametrize("wal", [False, True], ids=["rollback journal", "WAL"])
def test_a_newer_database_is_refused_untouched(tmp_path: Path, wal: bool) -> None:
    """The error names both versions and the command that helps."""
    db = kept_database(tmp_path / "executor.db", NEWEST, wal=wal)
    with closing(sqlite3.connect(db)) as connection:
        connection.execute(
            "INSERT INTO schema_migrations (version, description) VALUES (99, 'from the future')"
        )
        connection.commit()
    before = db.read_bytes()

    for door in (open_current, run_migrations, init_executor_db, rollback_migration, pending, status, check):
        with pytest.raises(
            SchemaTooNew, match=rf"version 99, .* up to {NEWEST}; .*pip install -U"
        ) as refusal:
            door(db)
        assert (str(db), 99, NEWEST) == (refusal.value.database, refusal.value.found, refusal.value.known)
        assert {"executor.db": before} == bytes_below(tmp_path)


@pytest.mark.parametrize("wal", [False, True], ids=["rollback journal", "WAL"])
@pytest.mark.parametrize(
    "keep",
    [1, 50, 100, 511, 512, 4096, 5000, 8192, 20480, -4096, -1],
)
def test_a_truncated_file_is_refused_untouched(tmp_path: Path, wal: bool, keep: int) -> None:
    """Wherever a file was cut, the error says so and names the remedy."""
    db = fill(kept_database(tmp_path / "executor.db", NEWEST, wal=wal), 100)
    content = db.read_bytes()
    db.write_bytes(content[:keep])

    refused(tmp_path, db, DatabaseDamaged, "truncated|damaged.*restore a copy")


def test_an_emptied_file_with_a_log_of_writes_is_refused_untouched(tmp_path: Path) -> None:
    """SQLite itself would throw the log away, and with it what can still be rescued."""
    db = tmp_path / "executor.db"
    with closing(open_current(db)) as connection:
        connection.execute(START, ("exec_1", "t"))
        log = db.with_name("executor.db-wal").read_bytes()
    db.write_bytes(b"")
    db.with_name("executor.db-wal").write_bytes(log)

    refused(tmp_path, db, DatabaseDamaged, "truncated.*restore a copy")


@pytest.mark.parametrize(
    "content", [b"hello\n", b"hello world " * 1000, b"\x00" * 8192, random.Random(1).randbytes(65536)]
)
def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path, content: bytes) -> None:
    """Any other file stays as it is."""
    db = tmp_path / "notes.txt"
    db.write_bytes(content)

    refused(tmp_path, db, DatabaseDamaged, "truncated|no database.*restore a copy or move|restore a copy")


def test_a_page_that_is_damaged_is_found_by_the_check(tmp_path: Path) -> None:
    """Garbage in the middle of an otherwise sound file is a difference; such a file is not copied."""
    db = fill(kept_database(tmp_path / "executor.db", NEWEST), 2000)
    content = bytearray(db.read_bytes())
    middle = len(content) // 8192 * 4096
    content[middle + 100 : middle + 1000] = bytes(900)
    db.write_bytes(content)

    assert "damaged" in {difference.kind for difference in check(db)}
    with pytest.raises(DatabaseDamaged, match=r"is damaged .* restore an earlier copy"):
        backup(db, tmp_path / "copy.db")
    assert {"executor.db": bytes(content)} == bytes_below(tmp_path)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """A directory in place of the file: the error says to name a file in it."""
    (tmp_path / "state").mkdir()

    refused(tmp_path, tmp_path / "state", DatabaseUnavailable, "is a directory; name a file in it")


def test_a_pipe_or_socket_is_refused_at_once(tmp_path: Path) -> None:
    """Opening one could wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    os.mknod(tmp_path / "socket", stat.S_IFSOCK | 0o600)
    for name in ("pipe", "socket"):
        refused(tmp_path, tmp_path / name, DatabaseUnavailable, "no regular file")


def test_a_missing_directory_is_not_made(tmp_path: Path) -> None:
    """Neither is the file: whoever names a place makes it."""
    db = tmp_path / "missing" / "executor.db"
    for door in (connect, open_current, run_migrations):
        with pytest.raises(DatabaseUnavailable, match=r"directory .*missing does not exist; make it"):
            door(db)

    assert [] == list(tmp_path.iterdir())


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    """A file where a directory should be."""
    (tmp_path / "file").write_text("x")

    refused(tmp_path, tmp_path / "file" / "executor.db", DatabaseUnavailable, "Not a directory")


def test_doors_that_only_look_make_no_file(tmp_path: Path) -> None:
    """Reading, listing, checking, copying and going back need a database that is there."""
    for door in (
        lambda db: connect(db, read_only=True),
        lambda db: open_current(db, migrate=False),
        *(pending, status, check, preview_rollback, rollback_migration),
        lambda db: backup(db, tmp_path / "copy.db"),
    ):
        with pytest.raises(DatabaseUnavailable, match=r"no database .*executor init"):
            door(tmp_path / "executor.db")

    assert [] == list(tmp_path.iterdir())


def test_an_old_database_may_be_opened_without_leave_to_upgrade(tmp_path: Path) -> None:
    """`migrate=False` tells which command upgrades, and writes nothing."""
    db = kept_database(tmp_path / "executor.db", 2)
    before = bytes_below(tmp_path)

    with pytest.raises(SchemaOutdated, match=f"version 2, .* needs {NEWEST}; run `executor db upgrade`"):
        open_current(db, migrate=False)

    assert before == bytes_below(tmp_path)


def test_the_tables_of_another_program_are_not_taken_for_ours(tmp_path: Path) -> None:
    """A `schema_migrations` of another shape, or with names for versions, belongs to someone else."""
    for number, columns in enumerate(
        ("version TEXT", "version TEXT, description TEXT, applied_at TEXT", "name TEXT, batch INTEGER")
    ):
        db = tmp_path / f"{number}.db"
        with closing(sqlite3.connect(db)) as connection:
            connection.execute(f"CREATE TABLE schema_migrations ({columns})")
            values = ", ".join("'20240101_first'" for _ in columns.split(","))
            connection.execute(f"INSERT INTO schema_migrations VALUES ({values})")
            connection.commit()
        before = db.read_bytes()

        with pytest.raises(DatabaseUnavailable, match="another program"):
            open_current(db)

        assert before == db.read_bytes()


def test_waiting_for_the_switch_to_wal_ends(tmp_path: Path) -> None:
    """While somebody reads an old file the journal mode cannot change; the wait for that is the time-out."""
    db = kept_database(tmp_path / "executor.db", NEWEST)
    with closing(sqlite3.connect(db, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM executions").fetchone()

        with pytest.raises(TryAgain, match="busy"):
            connect(db, timeout=0.05)
        reader.execute("COMMIT")
        connect(db).close()
