"""Going back to an older schema version: a copy first, then the steps down in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from executor.errors import DowngradeBlocked, MigrationFailed
from executor.migrations.backup import copy_beside, dump_command
from executor.migrations.dialect import MIGRATION_WAIT_SECONDS, Connection, Database, Dialect, dialect_of
from executor.migrations.ledger import forget, newest_version, refuse_newer, rows
from executor.migrations.runner import borrowed, checked_target, failing_as, known_migrations


@dataclass(frozen=True, slots=True)
class Loss:
    """Values that the older schema has no place for: `rows` rows of a table, or of one of its columns.

    Defaults do not count.
    """

    table: str
    column: str | None
    rows: int


@dataclass(frozen=True, slots=True)
class Downgrade:
    """`copy` is the database as it was before; None for one in memory, or when nothing was to be done.

    A server keeps no copy either: then `advice` says how to make one before going back.
    """

    from_version: int
    to_version: int
    losses: tuple[Loss, ...] = ()
    copy: Path | None = None
    advice: str = ""


def preview_rollback(db: Database, target_version: int = 0) -> Downgrade:
    """What `rollback_migration` would lose. Writes nothing."""
    checked_target(target_version)
    with borrowed(db, read_only=True) as (connection, database):
        found = refuse_newer(connection, database)
        target = min(found, target_version)
        if target == found:
            return Downgrade(found, found)
        losses = tuple(_losses(connection, target))
        return Downgrade(found, target, losses, advice=_advice(connection, database))


def rollback_migration(db: Database, target_version: int = 0) -> Downgrade:
    """Takes a database back to `target_version` and says what was lost and where the copy is.

    First writes a consistent copy beside the file, `<name>.version-<n>.db`; a database of a server is to be
    dumped before, which `preview_rollback` says. All rows stay, with their
    rowids and constraints, and so does everything of the user's: raises DowngradeBlocked in place of
    breaking a view, trigger, index or reference that needs what would go. A database at or below the target
    is left alone. Raises what `run_migrations` raises; the database is as before then.
    """
    checked_target(target_version)
    with borrowed(db) as (connection, database):
        found = refuse_newer(connection, database)
        if found <= target_version:
            return Downgrade(found, found)
        with dialect_of(connection).exclusive(connection, database, MIGRATION_WAIT_SECONDS):
            found = refuse_newer(connection, database)
            losses = tuple(_losses(connection, target_version))
            # Before the first step: a large one would keep readers out. The lock keeps writers out.
            copy = copy_beside(connection, found)
            try:
                _run_down(connection, database, target_version)
            except BaseException:
                if copy is not None:
                    copy.unlink()
                raise
        return Downgrade(found, target_version, losses, copy, _advice(connection, database))


def _advice(connection: Connection, database: str) -> str:
    if isinstance(connection, sqlite3.Connection):
        return ""
    return f"going back makes no copy of {database}; dump it first: {dump_command(database, 'executor.dump')}"


def _losses(connection: Connection, target: int) -> Iterator[Loss]:
    dialect = dialect_of(connection)
    ours, kept = dialect.layout_of_version(newest_version()), dialect.layout_of_version(target)
    found = dialect.read_layout(connection)
    for table, columns in ours.tables.items():
        if table not in found.tables:
            continue
        if table not in kept.tables:
            yield from _loss(connection, table, None, "true")
            continue
        for name in columns.keys() & found.tables[table].keys() - kept.tables[table].keys():
            default = columns[name].default
            differs = "" if default is None else f' AND "{name}" <> {default}'
            yield from _loss(connection, table, name, f'"{name}" IS NOT NULL{differs}')


def _loss(connection: Connection, table: str, column: str | None, condition: str) -> Iterator[Loss]:
    ((count,),) = rows(connection, f'SELECT count(*) FROM "{table}" WHERE {condition}')
    if count:
        yield Loss(table, column, count)


def _run_down(connection: Connection, database: str, target: int) -> None:
    dialect = dialect_of(connection)
    before = dialect.own_objects(connection, dialect.layout_of_version(newest_version()))
    with dialect.operations(connection) as op:
        # Also those that are not recorded: one may have been begun.
        for migration in reversed(known_migrations()):
            if migration.version > target:
                with (
                    _naming_what_blocks(dialect, database, target),
                    failing_as(migration, database, "downgrade from", connection),
                ):
                    migration.down(op)
                    forget(connection, migration.version)
    blocking = list(dialect.broken(connection, before))
    if blocking:
        raise DowngradeBlocked(database, target, blocking)


@contextmanager
def _naming_what_blocks(dialect: Dialect, database: str, target: int) -> Iterator[None]:
    try:
        yield
    except MigrationFailed as cause:
        step_error = cause.__cause__ or cause
        blocking = dialect.blocked_by(getattr(step_error, "orig", None) or step_error)
        if blocking is None:
            raise
        raise DowngradeBlocked(database, target, [blocking]) from cause
