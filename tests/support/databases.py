"""Databases of every schema version, and what has to stay the same in them."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from executor.migrations import MIGRATIONS
from executor.migrations.dialect import Connection, Layout
from executor.migrations.inspection import compare, layout_of_version, read_layout
from executor.migrations.ledger import rows

NEWEST = MIGRATIONS[-1].version

KEPT = Path(__file__).parent.parent / "assets" / "schema"
KEPT_VERSIONS = sorted(int(path.stem.removeprefix("version_")) for path in KEPT.glob("version_*.sql"))

# Tables of version 0 and of the user, in the kept databases, and the last id that was given to a step.
OLD_TABLES = ("executions", "execution_steps", "notes", "sqlite_sequence")

# Executions of a file that an upgrade switches to WAL before it writes.
ENOUGH_TO_BE_LARGE = 50_000

START = (
    "INSERT INTO executions (execution_id, plan_id, changeset_id, decision_id, checksum, verdict, status,"
    " started_at) VALUES (?, 'plan_1', 'cs_1', 'dec_1', 'abc', 'allow', 'completed', ?)"
)


def kept_sql(version: int) -> str:
    return (KEPT / f"version_{version}.sql").read_text("utf-8")


def in_memory(version: int) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(kept_sql(version))
    return connection


def kept_database(path: Path, version: int, *, wal: bool = False) -> Path:
    """A kept database as a file, with its rows, its view and its extra table."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if wal:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript("BEGIN;" + kept_sql(version) + "COMMIT;")
    return path


@cache
def newest_layout() -> Layout:
    return layout_of_version(NEWEST)


def assert_newest_schema(connection: sqlite3.Connection) -> None:
    """Everything of ours is there as the newest version has it; more may be."""
    assert [] == list(compare(newest_layout(), read_layout(connection)))


def fill(path: Path, count: int) -> Path:
    """Adds executions with steps, some values missing."""
    rows = [
        (
            f"exec_{n:06}",
            f"plan_{n % 97}",
            f"cs_{n % 89}",
            f"dec_{n}",
            f"{n:064x}",
            ("allow", "deny", "need_approval")[n % 3],
            ("completed", "failed", "rolled_back", "pending")[n % 4],
            (None, "low", "high")[n % 3],
            f'["src/größe_{n}.py"]',
            f"2024-01-01T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}.{n:06}Z",
            None if n % 7 == 0 else n / 3,
            None if n % 5 else f"Zeile 1\nline {n}\t\x01",
        )
        for n in range(count)
    ]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO executions (execution_id, plan_id, changeset_id, decision_id, checksum, verdict, status,"
            " risk_level, affected_paths, started_at, duration_seconds, error_message)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        connection.executemany(
            "INSERT INTO execution_steps (execution_id, step_num, step_name, status, started_at)"
            " VALUES (?, 1, 'apply', 'completed', ?)",
            [(row[0], row[9]) for row in rows[::10]],
        )
        connection.execute("COMMIT")
    return path


def columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]


def values_of(
    connection: sqlite3.Connection, columns: dict[str, list[str]] | None = None
) -> dict[str, tuple[int, str]]:
    """Table to number and digest of its rows: rowid, and type and exact bytes of each value.

    `columns` are those that count, by default all of each old table.
    """
    found = {}
    for table in columns or OLD_TABLES:
        counted = columns[table] if columns else columns_of(connection, table)
        digest, count = hashlib.sha256(), 0
        for row in _exact_rows(connection, table, counted):
            digest.update(repr(row).encode())
            count += 1
        found[table] = count, digest.hexdigest()
    return found


def old_columns(version: int = 0) -> dict[str, list[str]]:
    with closing(in_memory(version)) as connection:
        return {table: columns_of(connection, table) for table in OLD_TABLES}


def _exact_rows(connection: sqlite3.Connection, table: str, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    parts = ", ".join(f'typeof("{column}"), "{column}"' for column in columns)
    factory, connection.text_factory = connection.text_factory, bytes
    try:
        yield from connection.execute(f'SELECT rowid, {parts} FROM "{table}" ORDER BY rowid')
    finally:
        connection.text_factory = factory


def ledger_of(connection: Connection) -> list[tuple[Any, ...]]:
    """Version, description and time of application of each record, of either engine."""
    return rows(connection, "SELECT version, description, applied_at FROM schema_migrations ORDER BY version")


def bytes_below(directory: Path) -> dict[str, bytes]:
    """Every file below a directory with its content, the files SQLite puts beside a database included."""
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }
