"""Upgrading: the pending steps, each recorded with what it did.

On SQLite all of them are one transaction. On PostgreSQL too, as long as no index is to be built on a table
with rows: then what came before is committed, the index built while others read and write, and the version
recorded when it is complete.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from executor.errors import ExecutorError, InvalidInput, MigrationFailed, SchemaOutdated
from executor.migrations import layout, server
from executor.migrations.connection import (
    BUSY_TIMEOUT_SECONDS,
    Synchronous,
    closing_on_error,
    letting_readers_in,
    open_connection,
    switch_to_wal,
    translating,
)
from executor.migrations.dialect import (
    MIGRATION_WAIT_SECONDS,
    Connection,
    Database,
    Transaction,
    dialect_of,
    is_connection,
)
from executor.migrations.ledger import (
    get_current_version,
    is_current,
    newest_version,
    record,
    recorded_versions,
    refuse_newer,
    rows,
)
from executor.migrations.migration import Migration
from executor.migrations.target import DatabaseTarget


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
    before then, or on PostgreSQL as after the last version that is recorded, and the next call goes on.
    """
    return len(upgrade(db, target_version).applied)


def upgrade(db: Database, target_version: int | None = None) -> Upgrade:
    """`run_migrations` with the whole account."""
    checked_target(target_version)
    with borrowed(db, create=True) as (connection, database):
        if connection is db or not isinstance(connection, sqlite3.Connection):
            return _upgrade(connection, database, target_version)
        # An empty file has nothing to lose and is made faster in the mode it will have.
        if not rows(connection, "PRAGMA page_count")[0][0]:
            switch_to_wal(connection, database)
        with letting_readers_in(connection, database):
            done = _upgrade(connection, database, target_version)
        switch_to_wal(connection, database)
        return done


def ensure_current(db: Database, *, migrate: bool = True) -> None:
    """Returns when the database has the newest schema; with `migrate=False` raises SchemaOutdated if not.

    Raises what `run_migrations` raises.
    """
    with borrowed(db, create=migrate) as (connection, database):
        if is_current(connection):
            return
        if not migrate:
            raise SchemaOutdated(database, refuse_newer(connection, database), newest_version())
    upgrade(db)


def open_current(
    db: str | os.PathLike[str] | DatabaseTarget,
    *,
    synchronous: Synchronous = "NORMAL",
    timeout: float = BUSY_TIMEOUT_SECONDS,
    migrate: bool = True,
) -> sqlite3.Connection:
    """Opens a SQLite connection as `connect` does, to a database that has the newest schema.

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
            with letting_readers_in(connection, database):
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
) -> Iterator[tuple[Connection, str]]:
    """The caller's connection, or one of our own that is closed afterwards, and the database's name."""
    if is_connection(db):
        dialect = dialect_of(db)
        name = dialect.name_of(db)
        with dialect.translating(name):
            yield db, name  # type: ignore[misc]  # a connection, as `dialect_of` found
        return
    target = DatabaseTarget.parse(db)  # type: ignore[arg-type]
    connection: Connection
    if target.is_server:
        connection = server.connect(target, direct=True)
    else:
        connection = open_connection(target, synchronous="FULL", create=create, read_only=read_only)
    try:
        with dialect_of(connection).translating(str(target)):
            yield connection, str(target)
    finally:
        connection.close()


def _upgrade(connection: Connection, database: str, target_version: int | None) -> Upgrade:
    target = checked_target(target_version)
    found = refuse_newer(connection, database)
    if target == newest_version() and is_current(connection):
        return Upgrade(found, found)
    dialect = dialect_of(connection)
    if not dialect.is_empty(connection):
        # It takes longer than the steps; nobody should have to wait for it behind a lock.
        _import_what_steps_need()
    with dialect.exclusive(connection, database, MIGRATION_WAIT_SECONDS) as transaction:
        # Another process may have migrated while this one waited.
        found = refuse_newer(connection, database)
        if target == newest_version():
            if is_current(connection):
                return Upgrade(found, found)
            if target == layout.VERSION and dialect.is_empty(connection):
                return _create(connection)
        before = dialect.fingerprint(connection)
        applied = _run_steps(connection, database, max(target, found), transaction)
        # Recording writes rows, completing a version changes the schema.
        completed = not applied and before != dialect.fingerprint(connection)
        return Upgrade(found, get_current_version(connection), tuple(applied), completed)


def _import_what_steps_need() -> None:
    from executor.migrations import operations  # noqa: F401 - for later
    from executor.migrations.steps import v0000_base  # noqa: F401


def _create(connection: Connection) -> Upgrade:
    """An empty database gets the committed schema at once; a test keeps it equal to what the steps make."""
    for statement in schema_statements(dialect_of(connection).SCHEMA_TEXT.read_text("utf-8")):
        rows(connection, statement)
    for migration in known_migrations():
        record(connection, migration.version, migration.description)
    return Upgrade(0, layout.VERSION, tuple(migration.version for migration in known_migrations()))


def schema_statements(text: str) -> list[str]:
    """The statements of a committed schema text, which end with a semicolon and an empty line."""
    without_comments = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [part.strip() for part in without_comments.split(";\n") if part.strip()]


def _run_steps(connection: Connection, database: str, up_to: int, transaction: Transaction) -> list[int]:
    from executor.migrations.operations import has_deferred
    from executor.migrations.steps import v0000_base

    dialect = dialect_of(connection)
    rows(connection, dialect.CREATE_LEDGER)
    recorded = recorded_versions(connection)
    applied: list[int] = []
    kept: int | None = None
    base = Migration(0, "the base tables", v0000_base.up, v0000_base.up)
    with dialect.operations(connection) as op:
        for migration in (base, *known_migrations()):
            if migration.version > up_to:
                break
            with failing_as(migration, database, "upgrade to", connection, kept):
                migration.up(op)
                if has_deferred(op):
                    # What a step finds done it leaves alone; so it may run again to do the rest.
                    with transaction.outside() as op_outside:
                        migration.up(op_outside)
                    kept = get_current_version(connection)
                if migration.version and migration.version not in recorded:
                    record(connection, migration.version, migration.description)
                    applied.append(migration.version)
    return applied


@contextmanager
def failing_as(
    migration: Migration, database: str, action: str, connection: Connection, kept: int | None = None
) -> Iterator[None]:
    """An error of a step becomes MigrationFailed, unless it says that the database cannot be used at all.

    `kept` is the version that stays because it has been committed already.
    """
    try:
        yield
    except ExecutorError:
        raise
    except Exception as cause:
        driver_error = getattr(cause, "orig", None) or cause
        error = dialect_of(connection).error_of(driver_error, database)
        if error is not None:
            raise error from cause
        reason = str(driver_error) or type(driver_error).__name__
        raise MigrationFailed(
            database, migration.version, migration.description, reason, action, kept
        ) from cause
