"""Upgrading: all pending steps in one transaction, each recorded with its step."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from executor.errors import InvalidInput, MigrationFailed, SchemaOutdated
from executor.migrations import layout
from executor.migrations.connection import (
    BUSY_TIMEOUT_SECONDS,
    Synchronous,
    closing_on_error,
    database_error,
    open_connection,
    switch_to_wal,
    translating,
)
from executor.migrations.ledger import (
    CREATE_LEDGER,
    get_current_version,
    is_current,
    newest_version,
    record,
    recorded_versions,
    refuse_newer,
    rows,
)
from executor.migrations.migration import Migration
from executor.migrations.session import exclusive, operations
from executor.migrations.target import DatabaseTarget

Database = str | os.PathLike[str] | DatabaseTarget | sqlite3.Connection

SCHEMA_TEXT: Final = Path(__file__).with_name("schema_sqlite.sql")


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What an upgrade did. `applied` are the versions recorded by it.

    `completed` says that no version was pending, but tables, columns or indexes of a recorded one were missing.
    """

    from_version: int
    to_version: int
    applied: tuple[int, ...] = ()
    completed: bool = False


def run_migrations(db: Database, target_version: int | None = None) -> int:
    """Brings a database to `target_version`, by default the newest, and says how many steps it applied.

    `db` is a path, a URL or an open connection outside a transaction; a missing file is made. Whatever a
    version at or below the target lacks is completed, also where the version is recorded. A database above
    the target stays there. Of several processes one migrates, and the others wait for it.
    Raises SchemaTooNew, MigrationFailed, DatabaseUnavailable, DatabaseDamaged, TryAgain; the database is as
    before then.
    """
    return len(upgrade(db, target_version).applied)


def upgrade(db: Database, target_version: int | None = None) -> Upgrade:
    """`run_migrations` with the whole account."""
    checked_target(target_version)
    with borrowed(db, create=True) as (connection, database):
        # An empty file has nothing to lose and is made faster in the mode it will have.
        if not isinstance(db, sqlite3.Connection) and not rows(connection, "PRAGMA page_count")[0][0]:
            switch_to_wal(connection, database)
        done = _upgrade(connection, database, target_version)
        if not isinstance(db, sqlite3.Connection):
            switch_to_wal(connection, database)
        return done


def open_current(
    db: str | os.PathLike[str] | DatabaseTarget,
    *,
    synchronous: Synchronous = "NORMAL",
    timeout: float = BUSY_TIMEOUT_SECONDS,
    migrate: bool = True,
) -> sqlite3.Connection:
    """Opens a connection as `connect` does, to a database that has the newest schema.

    An older or missing one is upgraded or made first; with `migrate=False` it raises SchemaOutdated.
    Raises what `connect` and `run_migrations` raise.
    """
    target = DatabaseTarget.parse(db)
    database = str(target)
    connection = open_connection(target, synchronous=synchronous, timeout=timeout, create=migrate)
    with closing_on_error(connection), translating(database):
        if not is_current(connection):
            if not migrate:
                raise SchemaOutdated(database, refuse_newer(connection, database), newest_version())
            if not rows(connection, "PRAGMA page_count")[0][0]:
                switch_to_wal(connection, database, timeout)
            _upgrade(connection, database, None)
        switch_to_wal(connection, database, timeout)
    return connection


def pending(db: Database) -> list[Migration]:
    """The steps an upgrade would apply, oldest first. Writes nothing. Raises SchemaTooNew."""
    with borrowed(db, read_only=True) as (connection, database):
        refuse_newer(connection, database)
        recorded = recorded_versions(connection)
        return [migration for migration in known_migrations() if migration.version not in recorded]


def known_migrations() -> Sequence[Migration]:
    from executor.migrations import MIGRATIONS

    return MIGRATIONS


def checked_target(version: int | None) -> int:
    newest = newest_version()
    if version is None:
        return newest
    if isinstance(version, bool) or not isinstance(version, int) or not 0 <= version <= newest:
        raise InvalidInput(f"schema version {version!r} is unknown; give one from 0 to {newest}")
    return version


@contextmanager
def borrowed(
    db: Database, *, create: bool = False, read_only: bool = False
) -> Iterator[tuple[sqlite3.Connection, str]]:
    """The caller's connection, or one of our own that is closed afterwards, and the database's name."""
    if isinstance(db, sqlite3.Connection):
        with translating("the database"):
            name = file_of(db) or ":memory:"
        with translating(name):
            yield db, name
        return
    target = DatabaseTarget.parse(db)
    connection = open_connection(target, synchronous="FULL", create=create, read_only=read_only)
    try:
        with translating(str(target)):
            yield connection, str(target)
    finally:
        connection.close()


def file_of(connection: sqlite3.Connection) -> str | None:
    """The file of a connection; None for a database in memory."""
    files = [file for _, name, file in rows(connection, "PRAGMA database_list") if name == "main"]
    return files[0] or None


def _upgrade(connection: sqlite3.Connection, database: str, target_version: int | None) -> Upgrade:
    target = checked_target(target_version)
    found = refuse_newer(connection, database)
    if target == newest_version() and is_current(connection):
        return Upgrade(found, found)
    with exclusive(connection, database):
        # Another process may have migrated while this one waited.
        found = refuse_newer(connection, database)
        if target == newest_version():
            if is_current(connection):
                return Upgrade(found, found)
            if target == layout.VERSION and not rows(connection, "SELECT 1 FROM sqlite_master LIMIT 1"):
                return _create(connection)
        before = _schema_cookie(connection)
        applied = _run_steps(connection, database, max(target, found))
        # Recording writes rows, completing a version changes the schema.
        completed = not applied and before != _schema_cookie(connection)
        return Upgrade(found, get_current_version(connection), tuple(applied), completed)


def _create(connection: sqlite3.Connection) -> Upgrade:
    """An empty database gets the committed schema at once; a test keeps it equal to what the steps make."""
    for statement in schema_statements(SCHEMA_TEXT.read_text("utf-8")):
        connection.execute(statement)
    for migration in known_migrations():
        record(connection, migration.version, migration.description)
    return Upgrade(0, layout.VERSION, tuple(migration.version for migration in known_migrations()))


def schema_statements(text: str) -> list[str]:
    """The statements of a committed schema text, which end with a semicolon and an empty line."""
    without_comments = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [part.strip() for part in without_comments.split(";\n") if part.strip()]


def _run_steps(connection: sqlite3.Connection, database: str, up_to: int) -> list[int]:
    from executor.migrations.steps import v0000_base

    connection.execute(CREATE_LEDGER)
    recorded = recorded_versions(connection)
    applied = []
    base = Migration(0, "the base tables", v0000_base.up, v0000_base.up)
    with operations(connection) as op:
        for migration in (base, *known_migrations()):
            if migration.version > up_to:
                break
            with failing_as(migration, database, "upgrade to"):
                migration.up(op)
                if migration.version and migration.version not in recorded:
                    record(connection, migration.version, migration.description)
                    applied.append(migration.version)
    return applied


@contextmanager
def failing_as(migration: Migration, database: str, action: str) -> Iterator[None]:
    """An error of a step becomes MigrationFailed, unless it says that the database cannot be used at all."""
    try:
        yield
    except Exception as cause:
        driver_error = getattr(cause, "orig", cause)
        if isinstance(driver_error, sqlite3.Error):
            error = database_error(driver_error, database)
            if error is not None:
                raise error from cause
        reason = str(driver_error) or type(driver_error).__name__
        raise MigrationFailed(database, migration.version, migration.description, reason, action) from cause


def _schema_cookie(connection: sqlite3.Connection) -> int:
    ((cookie,),) = rows(connection, "PRAGMA schema_version")
    return int(cookie)
