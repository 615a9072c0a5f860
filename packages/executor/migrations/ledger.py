"""`schema_migrations`, the table that alone decides which versions a database has.

Everything here needs the driver only: it runs whenever a database is opened.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from executor.errors import DatabaseUnavailable, SchemaTooNew
from executor.migrations import layout

CREATE_LEDGER: Final = """\
CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY,
    description TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (datetime('now'))
)"""

_FOREIGN_LEDGER: Final = (
    "schema_migrations in this database belongs to another program; give Executor a database of its own"
)


def rows(connection: sqlite3.Connection, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Plain tuples, whatever rows the owner of the connection likes."""
    cursor = connection.cursor()
    cursor.row_factory = None
    try:
        return cursor.execute(sql, values).fetchall()
    finally:
        cursor.close()


def known_versions() -> list[int]:
    """The versions this executor can apply, in order."""
    from executor.migrations import MIGRATIONS

    return [migration.version for migration in MIGRATIONS]


def newest_version() -> int:
    return known_versions()[-1]


def get_current_version(connection: sqlite3.Connection) -> int:
    """The newest version recorded; 0 for a database without records, an empty one too."""
    if not has_ledger(connection):
        return 0
    ((version,),) = rows(connection, "SELECT max(version) FROM schema_migrations")
    if version is None:
        return 0
    if not isinstance(version, int):
        raise DatabaseUnavailable(_FOREIGN_LEDGER)
    return version


def has_ledger(connection: sqlite3.Connection) -> bool:
    """Raises DatabaseUnavailable when the table is there, but another program's."""
    columns = {
        column for (column,) in rows(connection, "SELECT name FROM pragma_table_info('schema_migrations')")
    }
    if columns and not columns.issuperset(("version", "description", "applied_at")):
        raise DatabaseUnavailable(_FOREIGN_LEDGER)
    return bool(columns)


def recorded_versions(connection: sqlite3.Connection) -> dict[int, tuple[str, str]]:
    """Version to description and time of application (UTC, `YYYY-MM-DD hh:mm:ss`)."""
    if not has_ledger(connection):
        return {}
    found = rows(
        connection, "SELECT version, description, applied_at FROM schema_migrations ORDER BY version"
    )
    return {version: (description, applied_at) for version, description, applied_at in found}


def record(connection: sqlite3.Connection, version: int, description: str) -> None:
    rows(
        connection,
        "INSERT INTO schema_migrations (version, description) VALUES (?, ?)",
        version,
        description,
    )


def forget(connection: sqlite3.Connection, version: int) -> None:
    rows(connection, "DELETE FROM schema_migrations WHERE version = ?", version)


def refuse_newer(connection: sqlite3.Connection, database: str) -> int:
    """The current version. Raises SchemaTooNew when it is above what this executor knows."""
    found, known = get_current_version(connection), newest_version()
    if found > known:
        raise SchemaTooNew(database, found, known)
    return found


def is_current(connection: sqlite3.Connection) -> bool:
    """Whether the newest version, and no newer one, is recorded and all its tables, columns and indexes exist.

    More columns, tables and views than ours do not matter. Costs one pass over the schema; objects that
    an older or another program wrote in other words cost a little more each.
    """
    found = dict(rows(connection, "SELECT name, sql FROM sqlite_master"))
    # An object made from the committed text reads like it; only the others need a closer look.
    reworded = [
        name
        for name, sql in layout.OBJECTS.items()
        if found.get(name) != sql and _unspaced(found.get(name)) != _unspaced(sql)
    ]
    if not found.keys() >= set(reworded) or not _hold_ours(connection, reworded):
        return False
    recorded = {version for (version,) in rows(connection, "SELECT version FROM schema_migrations")}
    return recorded.issuperset(known_versions()) and max(recorded) == newest_version()


def _unspaced(sql: str | None) -> str:
    """None of our definitions holds a text with a space in it."""
    return "".join((sql or "").split())


def _hold_ours(connection: sqlite3.Connection, names: list[str]) -> bool:
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
