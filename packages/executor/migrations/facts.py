"""What there is to say of a database beside its schema: engine, sizes, settings. Writes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from executor.migrations import sqlite
from executor.migrations.dialect import Connection, Database, dialect_of
from executor.migrations.runner import borrowed

if TYPE_CHECKING:
    from executor.migrations.server import ServerConnection

_PRAGMAS: Final = ("journal_mode", "page_size", "freelist_count", "auto_vacuum", "encoding")
_SHOWN: Final = (
    *("server_encoding", "transaction_read_only", "synchronous_commit", "max_connections"),
    *("statement_timeout", "search_path"),
)

_MAY_WRITE: Final = """\
SELECT coalesce(bool_and(has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
    AND has_table_privilege(c.oid, 'DELETE')), TRUE)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relname = ANY(?)"""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """`bytes` counts indexes too; None where the engine does not say it."""

    name: str
    rows: int
    bytes: int | None


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """`engine` is `sqlite` or `postgresql`. `log_bytes` is SQLite's log of writes, else 0.

    `pooled`: a pooler stands between, also on the way that migrations take. `home` is the schema of a server in which
    our tables are or would be made, None where no schema of the search path exists. `may_write`: no right to
    write into one of our tables is missing.
    """

    database: str
    engine: str
    version: str
    driver: str
    bytes: int
    log_bytes: int
    pooled: bool
    settings: Mapping[str, str]
    tables: tuple[TableFacts, ...]
    home: str | None = None
    may_write: bool = True


@dataclass(frozen=True, slots=True)
class DatabaseSize:
    """What `DatabaseFacts` says of these, without a look at any table."""

    engine: str
    version: str
    bytes: int
    log_bytes: int


def size(db: Database) -> DatabaseSize:
    """Raises what opening a database raises; a missing file is not made."""
    with borrowed(db, read_only=True) as (connection, _):
        if isinstance(connection, sqlite3.Connection):
            return _size_of_file(connection)
        return _size_of_server(connection)


def facts(db: Database) -> DatabaseFacts:
    """Counts every row of our tables. Raises what opening a database raises; a missing file is not made."""
    with borrowed(db, read_only=True) as (connection, database):
        if isinstance(connection, sqlite3.Connection):
            return _of_file(connection, database)
        return _of_server(connection, database)


def _tables(connection: Connection) -> list[tuple[str, int]]:
    from executor.schema import metadata

    dialect = dialect_of(connection)
    found = [name for name in (*metadata.tables, "schema_migrations") if dialect.columns_of(connection, name)]
    return [(name, dialect.rows(connection, f"SELECT count(*) FROM {name}")[0][0]) for name in found]


def _of_file(connection: sqlite3.Connection, database: str) -> DatabaseFacts:
    settings = {name: str(sqlite.rows(connection, f"PRAGMA {name}")[0][0]) for name in _PRAGMAS}
    own = _size_of_file(connection)
    return DatabaseFacts(
        database,
        own.engine,
        own.version,
        "sqlite3",
        own.bytes,
        own.log_bytes,
        False,
        settings,
        tuple(TableFacts(name, rows, None) for name, rows in _tables(connection)),
    )


def _size_of_file(connection: sqlite3.Connection) -> DatabaseSize:
    file = sqlite.file_of(connection)
    return DatabaseSize("sqlite", sqlite3.sqlite_version, _size(file), _size(file and f"{file}-wal"))


def _size(file: str | None) -> int:
    try:
        return Path(file).stat().st_size if file else 0
    except FileNotFoundError:
        return 0


def _of_server(connection: ServerConnection, database: str) -> DatabaseFacts:
    from psycopg import __version__

    from executor.migrations.server import is_pooled
    from executor.schema import metadata

    def one(sql: str, *values: Any) -> Any:
        return dialect_of(connection).rows(connection, sql, *values)[0][0]

    own = _size_of_server(connection)
    return DatabaseFacts(
        database,
        own.engine,
        own.version,
        f"psycopg {__version__}",
        own.bytes,
        own.log_bytes,
        is_pooled(connection),
        {name: one("SELECT current_setting(?)", name) for name in _SHOWN},
        tuple(
            TableFacts(name, rows, one("SELECT pg_total_relation_size(to_regclass(?))", name))
            for name, rows in _tables(connection)
        ),
        home=one("SELECT current_schema()::text"),
        may_write=one(_MAY_WRITE, [*metadata.tables]),
    )


def _size_of_server(connection: ServerConnection) -> DatabaseSize:
    version = connection.info.parameter_status("server_version") or str(connection.info.server_version)
    rows = dialect_of(connection).rows(connection, "SELECT pg_database_size(current_database())")
    return DatabaseSize("postgresql", version, rows[0][0], 0)
