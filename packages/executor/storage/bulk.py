"""Rows of whole tables, as they are, out of a database and into one: for copies and for archives.

Slower than the statements of the store, and the same for every table, whatever columns it has.
"""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Float, Integer, LargeBinary, Table

from executor.migrations.connection import connect as connect_file
from executor.migrations.connection import translating as translating_file
from executor.migrations.target import DatabaseTarget
from executor.models.text import clean_text
from executor.schema import executions

if TYPE_CHECKING:
    from executor.migrations.server import ServerConnection

Row = tuple[Any, ...]
Key = tuple[Any, ...]


@dataclass(slots=True)
class RowReader:
    """Makes of a row what every engine can hold, and counts what was not so."""

    table: Table
    workspace_id: str | None
    cleaned: int = 0
    converted: int = 0
    _readers: tuple[Callable[[Any], Any], ...] = field(default=())
    _workspace: int | None = None

    def __post_init__(self) -> None:
        self._readers = tuple(self._reader_of(column.type) for column in self.table.c)
        if self.table is executions and self.workspace_id is not None:
            self._workspace = list(self.table.c.keys()).index("workspace_id")

    def _reader_of(self, kind: object) -> Callable[[Any], Any]:
        if isinstance(kind, Integer):
            return partial(self._number, int)
        if isinstance(kind, Float):
            return partial(self._number, float)
        return self._bytes if isinstance(kind, LargeBinary) else self._text

    def read(self, row: Sequence[Any]) -> Row:
        values = [
            None if value is None else read(value) for read, value in zip(self._readers, row, strict=True)
        ]
        if self._workspace is not None and values[self._workspace] is None:
            values[self._workspace] = self.workspace_id
        return tuple(values)

    def _text(self, value: Any) -> str:
        text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
        clean = clean_text(text)
        if not isinstance(value, str | bytes):
            # SQLite keeps in a column what it is given.
            self.converted += 1
        elif clean != value:
            self.cleaned += 1
        return clean

    def _number(self, kind: type[int] | type[float], value: Any) -> int | float | None:
        if type(value) is kind:
            return value
        if isinstance(value, int):
            return kind(value)
        self.converted += 1
        try:
            return kind(value)
        except (TypeError, ValueError, OverflowError):
            return None

    def _bytes(self, value: Any) -> bytes:
        return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)


def key_names(table: Table) -> list[str]:
    return [column.name for column in table.primary_key.columns]


@cache
def _key_places(table: Table) -> tuple[int, ...]:
    names = list(table.c.keys())
    return tuple(names.index(name) for name in key_names(table))


def key_of(table: Table, row: Row) -> Key:
    return tuple([row[place] for place in _key_places(table)])


class Database(ABC):
    """One connection. Statements say `?` where a value goes."""

    @abstractmethod
    def query(self, sql: str, values: Sequence[Any] = ()) -> list[Row]: ...

    @abstractmethod
    def moment(self) -> Any:
        """A block whose questions all see the database at one moment."""

    @abstractmethod
    def transaction(self) -> Any:
        """A block whose writes happen together or not at all."""

    @abstractmethod
    def insert(self, table: Table, rows: list[Row], columns: Sequence[str] = ()) -> None:
        """Rows that are not there yet, of all columns or of those named."""

    @abstractmethod
    def hold(self) -> None:
        """From here to the end of the transaction nobody else numbers events, or keeps or drops contents."""

    @abstractmethod
    def run_many(self, sql: str, rows: list[Row]) -> None: ...

    @abstractmethod
    def one_of(self, column: str, kind: str, values: list[Any]) -> tuple[str, Any]:
        """A condition with one value in it: the column equals one of these."""

    @abstractmethod
    def settle(self) -> None:
        """The last part: the numbers that the engine gives, and its statistics."""

    def batch(self, table: Table, after: Key | None, limit: int) -> list[Row]:
        keys = ", ".join(key_names(table))
        condition = has_key(table)
        if after is not None:
            # SQLite sorts bytes behind all text, also behind the text of these bytes.
            marks = ["CAST(? AS TEXT)" if isinstance(value, bytes) else "?" for value in after]
            condition = f"({keys}) > ({', '.join(marks)})"
        sql = f"SELECT {_columns(table)} FROM {table.name} WHERE {condition} ORDER BY {keys} LIMIT ?"
        return self.query(sql, (*(after or ()), limit))

    def matching(self, table: Table, keys: set[Key]) -> list[Row]:
        """The rows with these keys, and perhaps some whose key only begins as one of them does."""
        first = key_names(table)[0]
        kind = "BIGINT" if isinstance(table.c[first].type, Integer) else "TEXT"
        condition, value = self.one_of(first, kind, sorted({key[0] for key in keys}))
        return self.query(f"SELECT {_columns(table)} FROM {table.name} WHERE {condition}", (value,))

    def count(self, table: Table, condition: str = "") -> int:
        where = f" WHERE {condition}" if condition else ""
        ((count,),) = self.query(f"SELECT count(*) FROM {table.name}{where}")
        return int(count)

    def replace(self, table: Table, rows: list[Row]) -> None:
        updated = ", ".join(f"{c} = excluded.{c}" for c in list(table.c.keys()) if c not in key_names(table))
        self.run_many(
            f"{_insertion(table)} ON CONFLICT ({', '.join(key_names(table))}) DO "
            + (f"UPDATE SET {updated}" if updated else "NOTHING"),
            rows,
        )

    def delete(self, table: Table, keys: set[Key]) -> None:
        condition = " AND ".join(f"{name} = ?" for name in key_names(table))
        self.run_many(f"DELETE FROM {table.name} WHERE {condition}", sorted(keys))

    def upgraded_at(self) -> dict[int, str]:
        """When each version of the schema was applied."""
        return dict(self.query("SELECT version, applied_at FROM schema_migrations"))

    def take_over(self, upgraded_at: dict[int, str]) -> None:
        with self.transaction():
            self.run_many(
                "UPDATE schema_migrations SET applied_at = ? WHERE version = ?",
                [(at, version) for version, at in upgraded_at.items()],
            )


def has_key(table: Table) -> str:
    return f"{key_names(table)[0]} IS NOT NULL"


def _columns(table: Table) -> str:
    return ", ".join(table.c.keys())


def _insertion(table: Table, columns: Sequence[str] = ()) -> str:
    names = columns or tuple(table.c.keys())
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


class _FileDatabase(Database):
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError as cause:
            if "Could not decode" not in str(cause):
                raise
        # Bytes that are no text: kept as bytes, so that whoever reads them can say so.
        self._connection.text_factory = _lenient
        try:
            return self._connection.execute(sql, values).fetchall()
        finally:
            self._connection.text_factory = str

    @contextmanager
    def moment(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            # A transaction sees from its first question on.
            self._connection.execute("SELECT 1 FROM schema_migrations LIMIT 1").fetchall()
            yield
        finally:
            self._connection.execute("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def insert(self, table: Table, rows: list[Row], columns: Sequence[str] = ()) -> None:
        self.run_many(_insertion(table, columns), rows)

    def hold(self) -> None:
        """There is one writer."""

    def run_many(self, sql: str, rows: list[Row]) -> None:
        self._connection.executemany(sql, rows)

    def one_of(self, column: str, kind: str, values: list[Any]) -> tuple[str, Any]:
        return f"{column} IN (SELECT value FROM json_each(?))", json.dumps(values)

    def settle(self) -> None:
        self._connection.execute("ANALYZE")


def _lenient(text: bytes) -> str | bytes:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text


class _ServerDatabase(Database):
    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        return self._connection.execute(sql.replace("?", "%s").encode(), values).fetchall()

    @contextmanager
    def moment(self) -> Iterator[None]:
        self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            self._unhurried()
            yield
        finally:
            if not self._connection.closed:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._connection.transaction():
            self._unhurried()
            yield

    def _unhurried(self) -> None:
        from executor.migrations.postgresql import UNHURRIED

        self._connection.execute(UNHURRIED.encode())

    def insert(self, table: Table, rows: list[Row], columns: Sequence[str] = ()) -> None:
        if not rows:
            return
        into = f"COPY {table.name} ({', '.join(columns) or _columns(table)}) FROM STDIN"
        with self._connection.cursor() as cursor, cursor.copy(into.encode()) as copy:
            for row in rows:
                copy.write_row(row)

    def hold(self) -> None:
        from executor.storage.postgresql import HOLD_CONTENTS, NUMBERING

        for statement in (HOLD_CONTENTS, NUMBERING):
            self._connection.execute(statement.encode())

    def run_many(self, sql: str, rows: list[Row]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(sql.replace("?", "%s").encode(), rows)

    def one_of(self, column: str, kind: str, values: list[Any]) -> tuple[str, Any]:
        # NUL is in no text there.
        return f"{column} = ANY(?::{kind}[])", [v for v in values if not isinstance(v, str) or "\0" not in v]

    def settle(self) -> None:
        with self.transaction():
            self.query(
                "SELECT setval(pg_get_serial_sequence('execution_steps', 'id'), max(id)) FROM execution_steps"
                " HAVING max(id) IS NOT NULL"
            )
            self._connection.execute("ANALYZE")


@contextmanager
def opened(target: DatabaseTarget) -> Iterator[Database]:
    if target.is_server:
        from executor.migrations.server import connect as connect_server
        from executor.migrations.server import translating as translating_server

        server = connect_server(target)
        try:
            with translating_server(str(target)):
                yield _ServerDatabase(server)
        finally:
            server.close()
        return
    file = connect_file(target, synchronous="FULL")
    try:
        with translating_file(str(target)):
            yield _FileDatabase(file)
    finally:
        file.close()
