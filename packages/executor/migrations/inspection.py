"""What a database holds, and how that differs from what its version should hold. Writes nothing."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from executor.migrations.ledger import (
    known_versions,
    newest_version,
    recorded_versions,
    refuse_newer,
    rows,
)
from executor.migrations.migration import Migration
from executor.migrations.runner import Database, borrowed, known_migrations, run_migrations


@dataclass(frozen=True, slots=True)
class Column:
    type: str
    not_null: bool
    default: str | None
    key_position: int


@dataclass(frozen=True, slots=True)
class Index:
    """`columns` are the indexed parts in order, a descending one followed by DESC."""

    table: str
    columns: tuple[str, ...]
    unique: bool
    partial: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """Tables with their columns, foreign keys as (table, column, parent, parent column, on delete)."""

    tables: dict[str, dict[str, Column]]
    indexes: dict[str, Index]
    foreign_keys: frozenset[tuple[str, ...]] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as the version has it. `kind` is stable and safe to match on.

    A difference that is not `harmful` (an own column, a step of a deleted execution) needs no repair.
    """

    kind: str
    name: str
    message: str
    harmful: bool = True


@dataclass(frozen=True, slots=True)
class Applied:
    version: int
    description: str
    applied_at: str


@dataclass(frozen=True, slots=True)
class Status:
    """`database` is the file's path. Times of application are UTC, `YYYY-MM-DD hh:mm:ss`."""

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

    Empty when all is well. What is missing is completed by the next upgrade. Reads the whole file.
    Raises SchemaTooNew and DatabaseDamaged when it cannot be read that far.
    """
    with borrowed(db, read_only=True) as (connection, database):
        version = refuse_newer(connection, database)
        recorded = recorded_versions(connection)
        found = read_layout(connection)
        return [
            *_missing_records(version, recorded),
            *compare(layout_of_version(version), found),
            *_damages(connection),
        ]


def layout_of_version(version: int) -> Layout:
    """What the steps up to this version make of an empty database."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        run_migrations(connection, version)
        return read_layout(connection)
    finally:
        connection.close()


def read_layout(connection: sqlite3.Connection) -> Layout:
    """All tables and indexes but SQLite's own and the ledger; those of users too."""
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


def integrity_faults(connection: sqlite3.Connection) -> list[str]:
    """What SQLite finds wrong with the file; empty when it is sound. Reads all of it."""
    messages = [message for (message,) in rows(connection, "PRAGMA integrity_check")]
    if messages == ["ok"]:
        return []
    lines = "\n".join(messages).splitlines()
    return [line for line in lines if not line.startswith("***")]


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


def _damages(connection: sqlite3.Connection) -> Iterator[Difference]:
    for message in integrity_faults(connection):
        yield Difference("damaged", "integrity_check", message)
    orphans = Counter((table, parent) for table, _, parent, _ in rows(connection, "PRAGMA foreign_key_check"))
    for (table, parent), count in sorted(orphans.items()):
        message = f"rows of {table} that refer to rows of {parent} which do not exist: {count}"
        # Old programs did not check references, and reading tolerates it.
        yield Difference("dangling_reference", table, message, harmful=False)
