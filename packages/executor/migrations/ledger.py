"""`schema_migrations`, the table that alone decides which versions a database has.

Everything here needs the driver only: it runs whenever a database is opened.
"""

from __future__ import annotations

from typing import Any, Final

from executor.errors import DatabaseUnavailable, SchemaTooNew
from executor.migrations.dialect import Connection, dialect_of

_FOREIGN_LEDGER: Final = (
    "schema_migrations in this database belongs to another program; give Executor a database of its own"
)


def rows(connection: Connection, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Plain tuples, whatever rows the owner of the connection likes. `?` stands for each value."""
    return dialect_of(connection).rows(connection, sql, *values)


def known_versions() -> list[int]:
    """The versions this executor can apply, in order."""
    from executor.migrations import MIGRATIONS

    return [migration.version for migration in MIGRATIONS]


def newest_version() -> int:
    return known_versions()[-1]


def get_current_version(connection: Connection) -> int:
    """The newest version recorded; 0 for a database without records, an empty one too."""
    if not has_ledger(connection):
        return 0
    ((version,),) = rows(connection, "SELECT max(version) FROM schema_migrations")
    if version is None:
        return 0
    if not isinstance(version, int):
        raise DatabaseUnavailable(_FOREIGN_LEDGER)
    return version


def has_ledger(connection: Connection) -> bool:
    """Raises DatabaseUnavailable when the table is there, but another program's."""
    columns = dialect_of(connection).columns_of(connection, "schema_migrations")
    if columns and not {*columns}.issuperset(("version", "description", "applied_at")):
        raise DatabaseUnavailable(_FOREIGN_LEDGER)
    return bool(columns)


def recorded_versions(connection: Connection) -> dict[int, tuple[str, str]]:
    """Version to description and time of application (UTC, `YYYY-MM-DD hh:mm:ss`)."""
    if not has_ledger(connection):
        return {}
    found = rows(
        connection, "SELECT version, description, applied_at FROM schema_migrations ORDER BY version"
    )
    return {version: (description, applied_at) for version, description, applied_at in found}


def record(connection: Connection, version: int, description: str) -> None:
    rows(
        connection,
        "INSERT INTO schema_migrations (version, description) VALUES (?, ?)",
        version,
        description,
    )


def forget(connection: Connection, version: int) -> None:
    rows(connection, "DELETE FROM schema_migrations WHERE version = ?", version)


def refuse_newer(connection: Connection, database: str) -> int:
    """The current version. Raises SchemaTooNew when it is above what this executor knows."""
    found, known = get_current_version(connection), newest_version()
    if found > known:
        raise SchemaTooNew(database, found, known)
    return found


def is_current(connection: Connection) -> bool:
    """Whether the newest version, and no newer one, is recorded and all its tables, columns and indexes exist.

    More columns, tables and views than ours do not matter.
    """
    if not dialect_of(connection).holds_ours(connection):
        return False
    recorded = {version for (version,) in rows(connection, "SELECT version FROM schema_migrations")}
    return recorded.issuperset(known_versions()) and max(recorded) == newest_version()
