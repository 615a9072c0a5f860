"""Going back to an older schema version: a copy first, then the steps down in one transaction."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from executor.errors import DowngradeBlocked, MigrationFailed
from executor.migrations.backup import copy_beside
from executor.migrations.inspection import Layout, layout_of_version, read_layout
from executor.migrations.ledger import forget, newest_version, refuse_newer, rows
from executor.migrations.runner import Database, borrowed, checked_target, failing_as, known_migrations
from executor.migrations.session import exclusive, operations

# How SQLite names what refers to a column that is being dropped.
_NEEDED = re.compile(r"error in (view|trigger|index|table) (.+?)(?: after drop column)?: (.*)", re.DOTALL)


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
    """`copy` is the database as it was before; None for one in memory, or when nothing was to be done."""

    from_version: int
    to_version: int
    losses: tuple[Loss, ...] = ()
    copy: Path | None = None


def preview_rollback(db: Database, target_version: int = 0) -> Downgrade:
    """What `rollback_migration` would lose. Writes nothing."""
    checked_target(target_version)
    with borrowed(db, read_only=True) as (connection, database):
        found = refuse_newer(connection, database)
        target = min(found, target_version)
        return Downgrade(found, target, tuple(_losses(connection, target)) if target < found else ())


def rollback_migration(db: Database, target_version: int = 0) -> Downgrade:
    """Takes a database back to `target_version` and says what was lost and where the copy is.

    First writes a consistent copy beside the file, `<name>.version-<n>.db`. All rows stay, with their
    rowids and constraints, and so does everything of the user's: raises DowngradeBlocked in place of
    breaking a view, trigger, index or reference that needs what would go. A database at or below the target
    is left alone. Raises what `run_migrations` raises; the database is as before then.
    """
    checked_target(target_version)
    with borrowed(db) as (connection, database):
        found = refuse_newer(connection, database)
        if found <= target_version:
            return Downgrade(found, found)
        with exclusive(connection, database):
            found = refuse_newer(connection, database)
            losses = tuple(_losses(connection, target_version))
            # Before the first step: a large one would keep readers out. The lock keeps writers out.
            copy = copy_beside(connection, database, found)
            try:
                _run_down(connection, database, target_version)
            except BaseException:
                if copy is not None:
                    copy.unlink()
                raise
        return Downgrade(found, target_version, losses, copy)


def _losses(connection: sqlite3.Connection, target: int) -> Iterator[Loss]:
    ours, kept = layout_of_version(newest_version()), layout_of_version(target)
    found = read_layout(connection)
    for table, columns in ours.tables.items():
        if table not in found.tables:
            continue
        if table not in kept.tables:
            yield from _loss(connection, table, None, "true")
            continue
        for name in columns.keys() & found.tables[table].keys() - kept.tables[table].keys():
            default = columns[name].default or "NULL"
            yield from _loss(connection, table, name, f'"{name}" NOT NULL AND "{name}" IS NOT {default}')


def _loss(connection: sqlite3.Connection, table: str, column: str | None, condition: str) -> Iterator[Loss]:
    ((count,),) = rows(connection, f'SELECT count(*) FROM "{table}" WHERE {condition}')
    if count:
        yield Loss(table, column, count)


def _run_down(connection: sqlite3.Connection, database: str, target: int) -> None:
    before = _own_objects(connection, layout_of_version(newest_version()))
    with operations(connection) as op:
        # Also those that are not recorded: one may have been begun.
        for migration in reversed(known_migrations()):
            if migration.version > target:
                with _naming_what_blocks(database, target), failing_as(migration, database, "downgrade from"):
                    migration.down(op)
                    forget(connection, migration.version)
    blocking = list(_broken(connection, before))
    if blocking:
        raise DowngradeBlocked(database, target, blocking)


@contextmanager
def _naming_what_blocks(database: str, target: int) -> Iterator[None]:
    try:
        yield
    except MigrationFailed as cause:
        needed = _NEEDED.search(str(cause))
        if needed is None:
            raise
        raise DowngradeBlocked(database, target, [(f"{needed[1]} {needed[2]}", needed[3])]) from cause


def _own_objects(connection: sqlite3.Connection, ours: Layout) -> list[tuple[str, str]]:
    """Type and name of every object of the user's that works."""
    found = rows(connection, "SELECT type, name, tbl_name FROM sqlite_master WHERE sql IS NOT NULL")
    known = {*ours.tables, *ours.indexes, "schema_migrations", "sqlite_sequence"}
    return [
        (kind, name)
        for kind, name, table in found
        if name not in known and _fault(connection, kind, name, table) is None
    ]


def _broken(connection: sqlite3.Connection, before: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    tables = dict(rows(connection, "SELECT name, tbl_name FROM sqlite_master"))
    for kind, name in before:
        fault = _fault(connection, kind, name, tables[name]) if name in tables else "its table would go"
        if fault is not None:
            yield f"{kind} {name}", fault


def _fault(connection: sqlite3.Connection, kind: str, name: str, table: str) -> str | None:
    """Why an object cannot be used now.

    Asks with statements that concern no row. EXPLAIN would not do: a prepared one that is used again after
    a change of the schema reads freed memory.
    """
    if kind == "table":
        return _dangling_parent(connection, name)
    if kind == "view":
        statements = [f"SELECT * FROM {_quoted(name)} LIMIT 0"]
    elif kind == "trigger":
        quoted = _quoted(table)
        column = _quoted(rows(connection, "SELECT name FROM pragma_table_info(?) LIMIT 1", table)[0][0])
        statements = [
            f"INSERT INTO {quoted} ({column}) SELECT {column} FROM {quoted} WHERE false",
            f"UPDATE {quoted} SET {column} = {column} WHERE false",
            f"DELETE FROM {quoted} WHERE false",
        ]
    else:
        return None
    for statement in statements:
        try:
            rows(connection, statement)
        except sqlite3.OperationalError as cause:
            return str(cause)
    return None


def _dangling_parent(connection: sqlite3.Connection, table: str) -> str | None:
    missing = rows(
        connection,
        'SELECT "table" FROM pragma_foreign_key_list(?)'
        " WHERE \"table\" COLLATE NOCASE NOT IN (SELECT name FROM sqlite_master WHERE type = 'table') LIMIT 1",
        table,
    )
    return f"it refers to {missing[0][0]}" if missing else None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
