"""SQLite's answers to what migrations ask: see `executor.migrations.dialect`."""

from __future__ import annotations

import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from executor.errors import ExecutorError, InvalidInput, TryAgain
from executor.migrations import layout
from executor.migrations.connection import BUSY_TIMEOUT_SECONDS, database_error
from executor.migrations.connection import translating as translating
from executor.migrations.dialect import MIGRATION_WAIT_SECONDS, Column, Difference, Index, Layout

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from alembic.operations import Operations
    from sqlalchemy import Column as DeclaredColumn

SCHEMA_TEXT: Final = Path(__file__).with_name("schema_sqlite.sql")

CREATE_LEDGER: Final = """\
CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY,
    description TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (datetime('now'))
)"""

# How SQLite names what refers to a column that is being dropped.
_NEEDED: Final = re.compile(
    r"error in (view|trigger|index|table) (.+?)(?: after drop column)?: (.*)", re.DOTALL
)


def rows(connection: sqlite3.Connection, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.row_factory = None
    try:
        return cursor.execute(sql, values).fetchall()
    finally:
        cursor.close()


def name_of(connection: sqlite3.Connection) -> str:
    with translating("the database"):
        return file_of(connection) or ":memory:"


def file_of(connection: sqlite3.Connection) -> str | None:
    """The file of a connection; None for a database in memory."""
    files = [file for _, name, file in rows(connection, "PRAGMA database_list") if name == "main"]
    return files[0] or None


def error_of(cause: BaseException, database: str) -> ExecutorError | None:
    return database_error(cause, database) if isinstance(cause, sqlite3.Error) else None


# What is there.


def is_empty(connection: sqlite3.Connection) -> bool:
    return not rows(connection, "SELECT 1 FROM sqlite_master LIMIT 1")


def columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    return [name for (name,) in rows(connection, "SELECT name FROM pragma_table_info(?)", table)]


def table_of_index(connection: sqlite3.Connection, name: str) -> str | None:
    owners = rows(connection, "SELECT tbl_name FROM sqlite_master WHERE type = 'index' AND name = ?", name)
    return owners[0][0] if owners else None


def columns_of_index(connection: sqlite3.Connection, name: str) -> tuple[str, ...]:
    found = rows(connection, "SELECT name FROM pragma_index_info(?) ORDER BY seqno", name)
    return tuple(column for (column,) in found)


def holds_ours(connection: sqlite3.Connection) -> bool:
    """Costs one pass over the schema; objects that an older or another program wrote in other words cost a
    little more each.
    """
    found = dict(rows(connection, "SELECT name, sql FROM sqlite_master"))
    # An object made from the committed text reads like it; only the others need a closer look.
    reworded = [
        name
        for name, sql in layout.OBJECTS.items()
        if found.get(name) != sql and _unspaced(found.get(name)) != _unspaced(sql)
    ]
    return found.keys() >= set(reworded) and _fit(connection, reworded)


def _unspaced(sql: str | None) -> str:
    """None of our definitions holds a text with a space in it."""
    return "".join((sql or "").split())


def _fit(connection: sqlite3.Connection, names: list[str]) -> bool:
    """Whether these tables have our columns and these indexes are on exactly ours."""
    columns: dict[tuple[str, str], list[str]] = {}
    for kind in ("table", "index"):
        asked = [name for name in names if (name in layout.TABLES) == (kind == "table")]
        sql = (
            f"SELECT m.name, m.tbl_name, c.name FROM sqlite_master AS m, pragma_{kind}_info(m.name) AS c"
            f" WHERE m.type = '{kind}' AND m.name IN ({', '.join('?' * len(asked))})"
        )
        for name, table, column in rows(connection, sql, *asked) if asked else ():
            columns.setdefault((name, table), []).append(column)
    for name in names:
        if name in layout.TABLES:
            fits = set(columns.get((name, name), ())).issuperset(layout.TABLES[name])
        else:
            table, indexed = layout.INDEXES[name]
            fits = tuple(columns.get((name, table), ())) == indexed
        if not fits:
            return False
    return True


def fingerprint(connection: sqlite3.Connection) -> object:
    return rows(connection, "PRAGMA schema_version")


def read_layout(connection: sqlite3.Connection) -> Layout:
    columns = rows(
        connection,
        """SELECT m.name, c.name, upper(c.type), c."notnull", c.dflt_value, c.pk
        FROM sqlite_master AS m, pragma_table_info(m.name) AS c
        WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite^_%' ESCAPE '^' AND m.name <> 'schema_migrations'
        ORDER BY m.name, c.cid""",
    )
    tables: dict[str, dict[str, Column]] = {}
    for table, name, kind, not_null, default, key_position in columns:
        tables.setdefault(table, {})[name] = Column(kind, bool(not_null), default, key_position)
    parts = rows(
        connection,
        """SELECT l.name, m.name, l."unique", l.partial, coalesce(c.name, '(expression)'), c."desc"
        FROM sqlite_master AS m, pragma_index_list(m.name) AS l, pragma_index_xinfo(l.name) AS c
        WHERE m.type = 'table' AND m.name <> 'schema_migrations' AND l.origin = 'c' AND c.key
        ORDER BY l.name, c.seqno""",
    )
    indexes: dict[str, Index] = {}
    for name, table, unique, partial, column, descending in parts:
        before = indexes[name].columns if name in indexes else ()
        part = f"{column} DESC" if descending else column
        indexes[name] = Index(table, (*before, part), bool(unique), bool(partial))
    keys = rows(
        connection,
        """SELECT m.name, k."from", k."table", k."to", k.on_delete
        FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS k WHERE m.type = 'table'""",
    )
    return Layout(tables, indexes, frozenset(tuple(map(str, key)) for key in keys))


def layout_of_version(version: int) -> Layout:
    from executor.migrations.runner import run_migrations

    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        run_migrations(connection, version)
        return read_layout(connection)
    finally:
        connection.close()


def damages(connection: sqlite3.Connection) -> Iterator[Difference]:
    for message in integrity_faults(connection):
        yield Difference("damaged", "integrity_check", message)
    orphans = Counter((table, parent) for table, _, parent, _ in rows(connection, "PRAGMA foreign_key_check"))
    for (table, parent), count in sorted(orphans.items()):
        message = f"rows of {table} that refer to rows of {parent} which do not exist: {count}"
        # Old programs did not check references, and reading tolerates it.
        yield Difference("dangling_reference", table, message, harmful=False)


def integrity_faults(connection: sqlite3.Connection) -> list[str]:
    """What SQLite finds wrong with the file; empty when it is sound. Reads all of it."""
    messages = [message for (message,) in rows(connection, "PRAGMA integrity_check")]
    if messages == ["ok"]:
        return []
    lines = "\n".join(messages).splitlines()
    return [line for line in lines if not line.startswith("***")]


# Being changed.


class _Whole:
    """All of a migration is one transaction."""

    def outside(self) -> AbstractContextManager[Operations]:
        raise AssertionError("no step of SQLite leaves its transaction")


@contextmanager
def exclusive(
    connection: sqlite3.Connection, database: str, wait: float = MIGRATION_WAIT_SECONDS
) -> Iterator[_Whole]:
    """Everything in the block is committed together or not at all. No one else writes meanwhile.

    The connection's settings are the owner's again afterwards.
    """
    if _has_transaction(connection):
        raise InvalidInput(
            f"{database}: the connection has an open transaction; commit or roll it back first"
        )
    with _settings_for_migrating(connection), translating(database):
        _begin(connection, database, wait)
        try:
            yield _Whole()
            connection.execute("COMMIT")
        except BaseException:
            # A full disk makes SQLite roll back by itself.
            if _has_transaction(connection):
                connection.execute("ROLLBACK")
            raise


def _has_transaction(connection: sqlite3.Connection) -> bool:
    return connection.in_transaction


@contextmanager
def _settings_for_migrating(connection: sqlite3.Connection) -> Iterator[None]:
    owners = connection.isolation_level, connection.row_factory, connection.text_factory
    # Else the driver commits before DDL, and a failure leaves half a migration.
    connection.isolation_level = None
    connection.row_factory, connection.text_factory = None, str
    ((timeout,),) = rows(connection, "PRAGMA busy_timeout")
    ((foreign_keys,),) = rows(connection, "PRAGMA foreign_keys")
    # Dropping a table would delete its rows one by one, and with them what refers to them.
    connection.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA foreign_keys={foreign_keys}")
        connection.execute(f"PRAGMA busy_timeout={timeout}")
        connection.isolation_level, connection.row_factory, connection.text_factory = owners


def _begin(connection: sqlite3.Connection, database: str, wait: float) -> None:
    # The driver's own waiting cannot be interrupted, so it waits in slices.
    connection.execute("PRAGMA busy_timeout=1000")
    deadline = time.monotonic() + wait
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as cause:
            error = database_error(cause, database)
            if not isinstance(error, TryAgain) or time.monotonic() >= deadline:
                raise
        else:
            break
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_SECONDS * 1000:.0f}")


@contextmanager
def operations(connection: sqlite3.Connection) -> Iterator[Operations]:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    engine = create_engine("sqlite://", creator=lambda: _Borrowed(connection), poolclass=NullPool)
    with engine.connect() as bind:
        yield Operations(MigrationContext.configure(bind, opts={"executor_connection": connection}))


def adapt_columns(connection: sqlite3.Connection, table: str, columns: Sequence[DeclaredColumn[Any]]) -> None:
    """All text sorts by bytes already."""


def must_defer_index(connection: sqlite3.Connection, table: str) -> bool:
    return False


def index_options(connection: sqlite3.Connection) -> dict[str, Any]:
    return {}


class _Borrowed:
    """What SQLAlchemy sees of a connection it does not own: it runs statements and ends nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def cursor(self) -> sqlite3.Cursor:
        return self._connection.cursor()

    def create_function(self, *args: Any, **options: Any) -> None:
        """The owner's functions stay as they are."""

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...


# The user's own objects.


def own_objects(connection: sqlite3.Connection, ours: Layout) -> list[tuple[str, str]]:
    found = rows(connection, "SELECT type, name, tbl_name FROM sqlite_master WHERE sql IS NOT NULL")
    known = {*ours.tables, *ours.indexes, "schema_migrations", "sqlite_sequence"}
    return [
        (kind, name)
        for kind, name, table in found
        if name not in known and _fault(connection, kind, name, table) is None
    ]


def broken(connection: sqlite3.Connection, before: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    tables = dict(rows(connection, "SELECT name, tbl_name FROM sqlite_master"))
    for kind, name in before:
        fault = _fault(connection, kind, name, tables[name]) if name in tables else "its table would go"
        if fault is not None:
            yield f"{kind} {name}", fault


def blocked_by(error: BaseException) -> tuple[str, str] | None:
    needed = _NEEDED.search(str(error))
    return (f"{needed[1]} {needed[2]}", needed[3]) if needed else None


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
