"""What a database holds, and how that differs from what its version should hold. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from executor.migrations import sqlite
from executor.migrations.dialect import (
    Column,
    Connection,
    Database,
    Difference,
    Index,
    Layout,
    dialect_of,
)
from executor.migrations.ledger import (
    known_versions,
    newest_version,
    recorded_versions,
    refuse_newer,
)
from executor.migrations.migration import Migration
from executor.migrations.runner import borrowed, known_migrations


@dataclass(frozen=True, slots=True)
class Applied:
    version: int
    description: str
    applied_at: str


@dataclass(frozen=True, slots=True)
class Status:
    """`database` is the file's path, or the URL without password.

    Times of application are UTC, `YYYY-MM-DD hh:mm:ss`.
    """

    database: str
    current: int
    newest: int
    applied: tuple[Applied, ...]
    pending: tuple[Migration, ...]


def status(db: Database) -> Status:
    """Raises SchemaTooNew, and DatabaseUnavailable when there is no file."""
    with borrowed(db, read_only=True) as (connection, database):
        current = refuse_newer(connection, database)
        recorded = recorded_versions(connection)
    return Status(
        database,
        current,
        newest_version(),
        tuple(Applied(version, *facts) for version, facts in recorded.items()),
        tuple(migration for migration in known_migrations() if migration.version not in recorded),
    )


def check(db: Database) -> list[Difference]:
    """Compares a database with what its version should hold, and lets SQLite check the file.

    Empty when all is well. What is missing is completed by the next upgrade. Reads the whole of a file, and of
    a PostgreSQL database only the catalogue.
    Raises SchemaTooNew and DatabaseDamaged when it cannot be read that far.
    """
    with borrowed(db, read_only=True) as (connection, database):
        version = refuse_newer(connection, database)
        recorded = recorded_versions(connection)
        dialect = dialect_of(connection)
        found = dialect.read_layout(connection)
        return [
            *_missing_records(version, recorded),
            *compare(dialect.layout_of_version(version), found),
            *dialect.damages(connection),
        ]


def layout_of_version(version: int) -> Layout:
    """What the steps up to this version make of an empty SQLite database."""
    return sqlite.layout_of_version(version)


def read_layout(connection: Connection) -> Layout:
    """All tables and indexes but the engine's own and the ledger; those of users too."""
    return dialect_of(connection).read_layout(connection)


def compare(expected: Layout, found: Layout) -> Iterator[Difference]:
    """What `found` has otherwise than `expected`, in our tables; those of users are their own."""
    for table, columns in expected.tables.items():
        if table not in found.tables:
            yield Difference("missing_table", table, f"the table {table} is missing")
            continue
        yield from _compare_columns(table, columns, found.tables[table])
    for name, index in expected.indexes.items():
        present = found.indexes.get(name)
        if present is None:
            yield Difference("missing_index", name, f"the index {name} is missing")
        elif present != index:
            message = f"the index {name} is on {_shown(present)}, not on {_shown(index)}"
            yield Difference("other_index", name, message)
    for key in sorted(expected.foreign_keys - found.foreign_keys):
        if key[0] in found.tables:
            message = f"{key[0]}.{key[1]} does not refer to {key[2]}.{key[3]} (on delete {key[4].lower()})"
            yield Difference("missing_foreign_key", f"{key[0]}.{key[1]}", message, harmful=False)


def _compare_columns(
    table: str, expected: dict[str, Column], found: dict[str, Column]
) -> Iterator[Difference]:
    for name, column in expected.items():
        full_name = f"{table}.{name}"
        if name not in found:
            yield Difference("missing_column", full_name, f"the column {full_name} is missing")
        elif found[name] != column:
            message = f"the column {full_name} is {_shown(found[name])}, not {_shown(column)}"
            yield Difference("other_column", full_name, message, harmful=False)
    for name in found.keys() - expected.keys():
        full_name = f"{table}.{name}"
        yield Difference("extra_column", full_name, f"the column {full_name} is not ours", harmful=False)


def _shown(thing: Column | Index) -> str:
    if isinstance(thing, Index):
        marks = " unique" * thing.unique + " partial" * thing.partial
        return f"{thing.table} ({', '.join(thing.columns)}){marks}"
    default = "" if thing.default is None else f" DEFAULT {thing.default}"
    key = f" (key part {thing.key_position})" if thing.key_position else ""
    return f"{thing.type}{' NOT NULL' * thing.not_null}{default}{key}"


def _missing_records(version: int, recorded: dict[int, tuple[str, str]]) -> Iterator[Difference]:
    for known in known_versions():
        if known < version and known not in recorded:
            message = f"version {version} is recorded, but version {known} is not"
            yield Difference("missing_version", str(known), message)
