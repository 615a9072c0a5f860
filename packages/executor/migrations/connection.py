"""The one way to open a SQLite database, and what its errors mean.

A connection is opened in two parts, because a file that must not be used may not be changed either:
`open_connection` reads at most, `switch_to_wal` is the first write. `connect` does both.

The file is never opened with Python's own `open`: closing any descriptor of a file drops every lock the
process holds on it, also those of SQLite connections that are in use.
"""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from executor.errors import DatabaseDamaged, DatabaseUnavailable, ExecutorError, InvalidSettings, TryAgain
from executor.migrations.ledger import refuse_newer
from executor.migrations.target import DatabaseTarget

Synchronous = Literal["NORMAL", "FULL"]

BUSY_TIMEOUT_SECONDS: Final = 30.0

# Bytes of a file that are written in moments.
_SMALL_FILE: Final = 16 * 2**20
# How long an upgrade waits for a large file to be its own for a moment.
_SWITCH_SECONDS: Final = 2.0

# DROP COLUMN and RETURNING came with this version.
_OLDEST_SQLITE: Final = (3, 35, 0)

_RESTORE: Final = "restore a copy (`executor db backup` makes them) or move the file away and start anew"
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})


def connect(
    db: str | os.PathLike[str] | DatabaseTarget,
    *,
    synchronous: Synchronous = "NORMAL",
    timeout: float = BUSY_TIMEOUT_SECONDS,
    read_only: bool = False,
) -> sqlite3.Connection:
    """Opens a configured connection in autocommit mode; the caller begins and ends transactions.

    Makes the file (mode 0600) when it is missing, unless `read_only`. Creates no tables and upgrades
    nothing: that is `open_current`. Any thread may use the connection, one at a time.
    `timeout` is how many seconds a statement waits for the locks of others. Raises DatabaseUnavailable,
    DatabaseDamaged, SchemaTooNew or TryAgain, and has not changed the file then.
    """
    target = DatabaseTarget.parse(db)
    connection = open_connection(target, synchronous=synchronous, timeout=timeout, read_only=read_only)
    if not read_only:
        with closing_on_error(connection):
            switch_to_wal(connection, str(target), timeout)
    return connection


def open_connection(
    target: DatabaseTarget,
    *,
    synchronous: Synchronous = "NORMAL",
    timeout: float = BUSY_TIMEOUT_SECONDS,
    read_only: bool = False,
    create: bool = True,
) -> sqlite3.Connection:
    """Like `connect`, but leaves the journal mode, and with it every byte of the file, alone.

    `create=False` refuses a missing file.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise DatabaseUnavailable(
            f"this Python uses SQLite {sqlite3.sqlite_version}; Executor needs 3.35 or newer, "
            "which comes with a newer Python or operating system"
        )
    path = target.path
    if target.is_server:
        raise InvalidSettings(f"{target} is no SQLite database")
    if path is None:
        return _configured(_driver_connection(":memory:", timeout), ":memory:", synchronous)
    is_new = _examine(path, must_exist=read_only or not create, for_writing=not read_only)
    if read_only:
        return _opened_for_reading(path, timeout, synchronous)
    return _opened(path, "rwc" if is_new else "rw", timeout, synchronous)


def _opened_for_reading(path: Path, timeout: float, synchronous: Synchronous) -> sqlite3.Connection:
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        # A reader that may write takes away the files it made beside the database when it is the last.
        connection = _opened(path, "rw", timeout, synchronous)
        connection.execute("PRAGMA query_only=ON")
        return connection
    try:
        return _opened(path, "ro", timeout, synchronous)
    except DatabaseUnavailable:
        # Without leave to write beside the file a reader cannot share memory with writers. When there is
        # no log of writes either, the file alone is the whole database, and nobody here can change it.
        if _size(_beside(path, "-wal")):
            raise
        return _opened(path, "ro&immutable=1", timeout, synchronous)


def _opened(path: Path, mode: str, timeout: float, synchronous: Synchronous) -> sqlite3.Connection:
    try:
        connection = _driver_connection(f"{path.as_uri()}?mode={mode}", timeout)
    except sqlite3.Error as cause:
        raise _cannot_open(path, cause) from cause
    with closing_on_error(connection):
        if mode == "rwc":
            # Changesets and kept contents are in it: for the owner only. SQLite gives the files it makes
            # beside it the same mode.
            with _file_errors(path):
                path.chmod(0o600)
        return _configured(connection, str(path), synchronous)


def _driver_connection(database: str, timeout: float) -> sqlite3.Connection:
    return sqlite3.connect(
        database,
        timeout=timeout,
        # The driver begins no transactions of its own: it would commit before DDL, and a kill in
        # between would leave half a migration.
        isolation_level=None,
        # Connections are kept and handed from thread to thread, one at a time.
        check_same_thread=False,
        # Statements are few and fixed; all of them stay prepared.
        cached_statements=256,
        uri=database != ":memory:",
    )


def _configured(
    connection: sqlite3.Connection, database: str, synchronous: Synchronous
) -> sqlite3.Connection:
    with closing_on_error(connection), translating(database):
        # Off by default for old programs' sake; deleting an execution deletes its steps.
        connection.execute("PRAGMA foreign_keys=ON")
        # NORMAL: a loss of power can take the last commits, never more; FULL: no acknowledged commit.
        connection.execute(f"PRAGMA synchronous={'FULL' if synchronous == 'FULL' else 'NORMAL'}")
        # KiB of pages a connection may keep: a family of 10,000 with its places in the indexes, and what a
        # large transaction changes before pages are written ahead of the commit, and read again.
        connection.execute("PRAGMA cache_size=-65536")
        # Bytes the log of writes may keep after it was copied back; one large import would keep its size.
        connection.execute("PRAGMA journal_size_limit=67108864")
        # The first statement that reads the file: tells now whether it is a database.
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").close()
    return connection


def switch_to_wal(
    connection: sqlite3.Connection, database: str, timeout: float = BUSY_TIMEOUT_SECONDS
) -> None:
    """Write-ahead logging: readers and a writer do not wait for each other. The file remembers it.

    Does nothing when the file is in that mode already. Raises SchemaTooNew in place of changing the file
    of a newer executor.
    """
    with translating(database):
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode in ("wal", "memory"):
            return
        refuse_newer(connection, database)
    deadline = time.monotonic() + timeout
    while True:
        # The switch needs the file alone for a moment and, unlike other statements, does not wait for it.
        try:
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as cause:
            error = database_error(cause, database)
            if error is None:
                raise
            if not isinstance(error, TryAgain) or time.monotonic() >= deadline:
                raise error from cause
        else:
            if mode == "wal":
                return
            raise DatabaseUnavailable(
                f"{database} is on a file system without shared memory; put it on a local disk"
            )
        time.sleep(random.uniform(0.001, 0.020))


@contextmanager
def letting_readers_in(connection: sqlite3.Connection, database: str) -> Iterator[None]:
    """Switches a large file to WAL before the block writes it, and back when the block fails.

    In the mode of a rollback journal readers wait from the moment on at which what is written does not fit into
    the cache. A small file fits, and so is left alone and stays equal in every byte when the block fails; of a
    large one the content stays. Somebody who has a large file open keeps it from being switched back: it stays
    in WAL mode then, as it does after a kill, and holds the same.
    """
    ((mode,),) = connection.execute("PRAGMA journal_mode").fetchall()
    ((size,),) = connection.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    if mode in ("wal", "memory") or size < _SMALL_FILE:
        yield
        return
    # Who reads for long keeps it from being switched, and others wait behind: so not for long, and then the upgrade
    # goes on in the mode the file has.
    ((timeout,),) = connection.execute("PRAGMA busy_timeout").fetchall()
    connection.execute(f"PRAGMA busy_timeout={_SWITCH_SECONDS * 1000:.0f}").close()
    with suppress(TryAgain):
        switch_to_wal(connection, database, _SWITCH_SECONDS)
    connection.execute(f"PRAGMA busy_timeout={timeout}").close()
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute(f"PRAGMA journal_mode={mode}").fetchall()
        raise


def database_error(cause: sqlite3.Error, database: str) -> ExecutorError | None:
    """What an error of the driver means for the caller, to be raised `from cause`.

    None for an error in the statement or its values, which is no property of the database.
    """
    code = getattr(cause, "sqlite_errorcode", None)
    if code is None:
        return None
    primary = code & 0xFF
    if primary in _BUSY:
        return TryAgain(f"{database} is busy; try again")
    if primary in _DAMAGED:
        return DatabaseDamaged(f"{database} is damaged or no database ({cause}); {_RESTORE}")
    if code == sqlite3.SQLITE_READONLY_DBMOVED:
        return DatabaseUnavailable(f"{database} was moved or deleted while it was open; open it again")
    reason = {
        sqlite3.SQLITE_FULL: "the disk is full; free some space",
        sqlite3.SQLITE_READONLY: "it is read-only; make the file and its directory writable",
        sqlite3.SQLITE_PERM: "permission denied; make the file and its directory writable",
        sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that its directory exists and is writable",
        sqlite3.SQLITE_IOERR: f"reading or writing failed ({cause}); check the disk and its free space",
        sqlite3.SQLITE_NOMEM: "memory is used up",
    }.get(primary)
    return None if reason is None else DatabaseUnavailable(f"{database}: {reason}")


@contextmanager
def translating(database: str) -> Iterator[None]:
    """Errors of the driver leave the block as `database_error` says; the others as they are."""
    try:
        yield
    except sqlite3.Error as cause:
        error = database_error(cause, database)
        if error is None:
            raise
        raise error from cause


@contextmanager
def closing_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _examine(path: Path, *, must_exist: bool, for_writing: bool) -> bool:
    """Whether the file is still to be made. Raises what can be known without opening it."""
    log_size = _size(_beside(path, "-wal"))
    with _file_errors(path):
        try:
            found = path.stat()
        except FileNotFoundError:
            _examine_missing(path, must_exist)
            return True
    if stat.S_ISDIR(found.st_mode):
        raise DatabaseUnavailable(f"{path} is a directory; name a file in it, such as {path / 'executor.db'}")
    if not stat.S_ISREG(found.st_mode):
        raise DatabaseUnavailable(f"{path} is no regular file; name another")
    if not os.access(path, os.R_OK):
        raise DatabaseUnavailable(f"{path}: permission denied; make it readable and writable (chmod u+rw)")
    if for_writing and not os.access(path, os.W_OK):
        raise DatabaseUnavailable(f"{path} is read-only; make it writable (chmod u+w)")
    if (found.st_size == 0 and log_size) or _is_torn(path, found.st_size):
        raise DatabaseDamaged(f"{path} has been truncated; {_RESTORE}")
    return False


def _examine_missing(path: Path, must_exist: bool) -> None:
    if must_exist:
        raise DatabaseUnavailable(f"there is no database {path}; `executor init` makes one")
    if not path.parent.exists():
        raise DatabaseUnavailable(f"the directory {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise DatabaseUnavailable(
            f"{path} cannot be made: permission denied; make the directory {path.parent} writable"
        )


def _is_torn(path: Path, size: int) -> bool:
    """Whether the file ends within a page. SQLite itself would read the rest as zeros.

    A writer that is at work or died has a journal; without one the size is looked at again, since the
    journal of a writer may have gone between two looks.
    """
    for _ in range(5):
        if size % 512 == 0 or any(_size(_beside(path, end)) for end in ("-wal", "-journal")):
            return False
        time.sleep(0.01)
        size = _size(path)
    return True


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _size(path: Path) -> int:
    """0 for a file that is missing or out of reach."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _cannot_open(path: Path, cause: sqlite3.Error) -> ExecutorError:
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return DatabaseUnavailable(f"{path} cannot be opened; make the directory {path.parent} writable")
    return database_error(cause, str(path)) or DatabaseUnavailable(f"{path} cannot be opened: {cause}")


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as cause:
        raise DatabaseUnavailable(f"{path} cannot be used: {cause.strerror or cause}") from cause
