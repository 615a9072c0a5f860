"""A database copied into another, of either engine, while the first one is in use.

The source is read as it is at one moment. Rows go over in batches, each a transaction of its own, so a copy
that was interrupted has lost nothing: the next one finds what is there already and goes on. At the end both
are counted and summed up, and have to be equal.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Float, Integer, LargeBinary, Table

from executor.errors import CopyRefused, InvalidSettings
from executor.migrations.connection import connect as connect_file
from executor.migrations.connection import translating as translating_file
from executor.migrations.runner import ensure_current
from executor.migrations.target import DatabaseTarget
from executor.models.text import clean_text
from executor.schema import execution_events, execution_steps, executions, metadata
from executor.storage.location import read_workspace_id

if TYPE_CHECKING:
    from executor.migrations.server import ServerConnection

Row = tuple[Any, ...]
Key = tuple[Any, ...]

_ROWS_AT_A_TIME: Final = 2_000
# Rows that hold whole files may have megabytes each.
_FILES_AT_A_TIME: Final = 8

# What has happened is never taken back: rows of these that only the target has are somebody's record.
_HISTORY: Final = (executions, execution_events)


@dataclass(frozen=True, slots=True)
class TableCopy:
    """One table, copied: how many rows it has, and how many of these had to be written.

    `left_out` are rows that no newer database takes: executions without an id, steps without an execution.
    """

    name: str
    rows: int
    written: int
    left_out: int
    checksum: str


@dataclass(frozen=True, slots=True)
class CopyReport:
    """`cleaned` counts texts that held what PostgreSQL cannot: NUL, now U+2400, or half of a surrogate
    pair or bytes that are no text, now escaped. `converted` counts numbers that stood in a column of another
    type.
    """

    source: str
    target: str
    tables: tuple[TableCopy, ...]
    cleaned: int
    converted: int

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    @property
    def written(self) -> int:
        return sum(table.written for table in self.tables)

    @property
    def left_out(self) -> int:
        return sum(table.left_out for table in self.tables)


# Called with the table, the rows done and the rows there are.
Progress = Callable[[str, int, int], None]


def copy_database(
    source: str | DatabaseTarget, target: str | DatabaseTarget, *, progress: Progress = lambda *_: None
) -> CopyReport:
    """Copies everything of ours from one database into another that is empty, or holds an earlier copy.

    The target gets the newest schema first; the source has to have it. Tables and columns of the user's are
    not copied. Rows without a workspace get the one that the file of the source belongs to.

    Raises CopyRefused when the target holds executions or events that the source does not have, or is not
    equal to it in the end; SchemaOutdated for a source of an older version; what opening a database raises.
    """
    origin, goal = DatabaseTarget.parse(source), DatabaseTarget.parse(target)
    if (origin.path, origin.url) == (goal.path, goal.url):
        raise InvalidSettings(f"{goal} cannot be copied onto itself; name another database")
    ensure_current(origin, migrate=False)
    ensure_current(goal)
    with _opened(origin) as reading, _opened(goal) as writing, reading.moment():
        return _Copy(reading, writing, _workspace_of(origin), progress).run(str(origin), str(goal))


def _workspace_of(target: DatabaseTarget) -> str | None:
    return None if target.path is None else read_workspace_id(target.path.parent, {})


class _Copy:
    def __init__(
        self, source: _Database, target: _Database, workspace_id: str | None, progress: Progress
    ) -> None:
        self._source, self._target, self._progress = source, target, progress
        self._readers = {t.name: _Reader(t, workspace_id) for t in metadata.sorted_tables}

    def run(self, source: str, target: str) -> CopyReport:
        self._refuse_foreign(target)
        copied = [self._copy(table) for table in metadata.sorted_tables]
        self._target.take_over(self._source.upgraded_at())
        self._target.settle()
        with self._target.moment():
            for table, done in zip(metadata.sorted_tables, copied, strict=True):
                self._compare(table, done, target)
        tables = tuple(
            TableCopy(table.name, done.rows, done.written, done.left_out, done.checksum)
            for table, done in zip(metadata.sorted_tables, copied, strict=True)
        )
        cleaned, converted = (
            sum(getattr(reader, name) for reader in self._readers.values())
            for name in ("cleaned", "converted")
        )
        return CopyReport(source, target, tables, cleaned, converted)

    def _refuse_foreign(self, target: str) -> None:
        """Raises CopyRefused when the target has a history of its own."""
        for table in _HISTORY:
            for keys in _batched_keys(self._target, table):
                unknown = keys - {_key_of(table, row) for row in self._source.matching(table, keys)}
                if unknown and unknown - self._cleaned_keys(table):
                    name = min(map(repr, unknown))
                    raise CopyRefused(
                        f"{target} holds {table.name.replace('_', ' ')} that the source does not have ({name}); "
                        "copy into an empty database"
                    )

    def _cleaned_keys(self, table: Table) -> set[Key]:
        """All keys of the source as they are in the target: what was cleaned is not found by looking it up."""
        reader = _Reader(table, None)
        return {_key_of(table, reader.read(row)) for rows in _batches(self._source, table) for row in rows}

    def _copy(self, table: Table) -> _Sum:
        reader, done = self._readers[table.name], _Sum()
        total = self._source.count(table)
        was_empty = not self._target.count(table)
        self._progress(table.name, 0, total)
        seen = 0
        for found in _batches(self._source, table):
            rows = [reader.read(row) for row in found]
            seen += len(rows)
            if table is execution_steps:
                rows = self._with_execution(rows)
            done.left_out += len(found) - len(rows)
            done.add(rows)
            done.written += self._write(table, rows, was_empty)
            self._progress(table.name, seen, total)
        keyed = self._source.count(table, _has_key(table))
        if seen != keyed:
            raise CopyRefused(f"of {keyed:,} rows of {table.name} only {seen:,} could be read")
        done.left_out += total - keyed
        if not was_empty and table not in _HISTORY:
            self._remove_gone(table)
        return done

    def _with_execution(self, steps: list[Row]) -> list[Row]:
        """Old programs deleted executions and left their steps, which PostgreSQL does not take."""
        place = list(execution_steps.c.keys()).index("execution_id")
        wanted = {(step[place],) for step in steps}
        there = {_key_of(executions, row) for row in self._target.matching(executions, wanted)}
        return [step for step in steps if (step[place],) in there]

    def _write(self, table: Table, rows: list[Row], was_empty: bool) -> int:
        """How many rows were missing in the target or had changed since they were copied."""
        keys = {_key_of(table, row) for row in rows}
        if len(keys) < len(rows):
            raise CopyRefused(f"two rows of {table.name} have the same key once their text is cleaned")
        there: dict[Key, Row] = {}
        if not was_empty:
            plain = _Reader(table, None)
            found = map(plain.read, self._target.matching(table, keys))
            there = {key: row for row in found if (key := _key_of(table, row)) in keys}
        missing = [row for row in rows if _key_of(table, row) not in there]
        changed = [row for row in rows if there.get(_key_of(table, row), row) != row]
        if changed and table is execution_events:
            raise CopyRefused(
                f"event {_key_of(table, changed[0])!r} of the target is another than the source's; "
                "copy into an empty database"
            )
        if missing or changed:
            with self._target.transaction():
                self._target.insert(table, missing)
                self._target.replace(table, changed)
        return len(missing) + len(changed)

    def _remove_gone(self, table: Table) -> None:
        for keys in _batched_keys(self._target, table):
            gone = keys - {_key_of(table, row) for row in self._source.matching(table, keys)}
            if gone:
                gone -= self._cleaned_keys(table)
            if gone:
                with self._target.transaction():
                    self._target.delete(table, gone)

    def _compare(self, table: Table, expected: _Sum, target: str) -> None:
        reader, found = _Reader(table, None), _Sum()
        for rows in _batches(self._target, table):
            found.add([reader.read(row) for row in rows])
        if (expected.rows, expected.checksum) != (found.rows, found.checksum):
            raise CopyRefused(
                f"{target}: {table.name} has {found.rows:,} rows with the checksum {found.checksum[:12]}, the source "
                f"{expected.rows:,} with {expected.checksum[:12]}; is somebody writing into the copy? "
                "Copy again when nobody does"
            )


@dataclass(slots=True)
class _Sum:
    """Rows counted and summed up, in whatever order they come."""

    rows: int = 0
    written: int = 0
    left_out: int = 0
    total: int = 0

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            digest = hashlib.blake2b(repr(row).encode(), digest_size=16).digest()
            self.total = (self.total + int.from_bytes(digest, "big")) % (1 << 128)
            self.rows += 1

    @property
    def checksum(self) -> str:
        return f"{self.total:032x}"


@dataclass(slots=True)
class _Reader:
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


def _keys(table: Table) -> list[str]:
    return [column.name for column in table.primary_key.columns]


@cache
def _key_places(table: Table) -> tuple[int, ...]:
    names = list(table.c.keys())
    return tuple(names.index(name) for name in _keys(table))


def _key_of(table: Table, row: Row) -> Key:
    return tuple([row[place] for place in _key_places(table)])


def _batches(database: _Database, table: Table) -> Iterator[list[Row]]:
    """All rows that have a key, in the order of their keys."""
    files = any(isinstance(column.type, LargeBinary) for column in table.c)
    limit = _FILES_AT_A_TIME if files else _ROWS_AT_A_TIME
    last: Key | None = None
    while rows := database.batch(table, last, limit):
        yield rows
        last = _key_of(table, rows[-1])


def _batched_keys(database: _Database, table: Table) -> Iterator[set[Key]]:
    for rows in _batches(database, table):
        yield {_key_of(table, row) for row in rows}


class _Database(ABC):
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
    def insert(self, table: Table, rows: list[Row]) -> None: ...

    @abstractmethod
    def run_many(self, sql: str, rows: list[Row]) -> None: ...

    @abstractmethod
    def one_of(self, column: str, kind: str, values: list[Any]) -> tuple[str, Any]:
        """A condition with one value in it: the column equals one of these."""

    @abstractmethod
    def settle(self) -> None:
        """The last part: the numbers that the engine gives, and its statistics."""

    def batch(self, table: Table, after: Key | None, limit: int) -> list[Row]:
        keys = ", ".join(_keys(table))
        condition = _has_key(table)
        if after is not None:
            # SQLite sorts bytes behind all text, also behind the text of these bytes.
            marks = ["CAST(? AS TEXT)" if isinstance(value, bytes) else "?" for value in after]
            condition = f"({keys}) > ({', '.join(marks)})"
        sql = f"SELECT {_columns(table)} FROM {table.name} WHERE {condition} ORDER BY {keys} LIMIT ?"
        return self.query(sql, (*(after or ()), limit))

    def matching(self, table: Table, keys: set[Key]) -> list[Row]:
        """The rows with these keys, and perhaps some whose key only begins as one of them does."""
        first = _keys(table)[0]
        kind = "BIGINT" if isinstance(table.c[first].type, Integer) else "TEXT"
        condition, value = self.one_of(first, kind, sorted({key[0] for key in keys}))
        return self.query(f"SELECT {_columns(table)} FROM {table.name} WHERE {condition}", (value,))

    def count(self, table: Table, condition: str = "") -> int:
        where = f" WHERE {condition}" if condition else ""
        ((count,),) = self.query(f"SELECT count(*) FROM {table.name}{where}")
        return int(count)

    def replace(self, table: Table, rows: list[Row]) -> None:
        updated = ", ".join(f"{c} = excluded.{c}" for c in list(table.c.keys()) if c not in _keys(table))
        self.run_many(
            f"{_insertion(table)} ON CONFLICT ({', '.join(_keys(table))}) DO "
            + (f"UPDATE SET {updated}" if updated else "NOTHING"),
            rows,
        )

    def delete(self, table: Table, keys: set[Key]) -> None:
        condition = " AND ".join(f"{name} = ?" for name in _keys(table))
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


def _has_key(table: Table) -> str:
    return f"{_keys(table)[0]} IS NOT NULL"


def _columns(table: Table) -> str:
    return ", ".join(table.c.keys())


def _insertion(table: Table) -> str:
    return f"INSERT INTO {table.name} ({_columns(table)}) VALUES ({', '.join('?' * len(table.c))})"


class _FileDatabase(_Database):
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

    def insert(self, table: Table, rows: list[Row]) -> None:
        self.run_many(_insertion(table), rows)

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


class _ServerDatabase(_Database):
    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        return self._connection.execute(sql.replace("?", "%s").encode(), values).fetchall()

    @contextmanager
    def moment(self) -> Iterator[None]:
        self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            if not self._connection.closed:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._connection.transaction():
            yield

    def insert(self, table: Table, rows: list[Row]) -> None:
        if not rows:
            return
        into = f"COPY {table.name} ({_columns(table)}) FROM STDIN"
        with self._connection.cursor() as cursor, cursor.copy(into.encode()) as copy:
            for row in rows:
                copy.write_row(row)

    def run_many(self, sql: str, rows: list[Row]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(sql.replace("?", "%s").encode(), rows)

    def one_of(self, column: str, kind: str, values: list[Any]) -> tuple[str, Any]:
        # NUL is in no text there.
        return f"{column} = ANY(?::{kind}[])", [v for v in values if not isinstance(v, str) or "\0" not in v]

    def settle(self) -> None:
        self.query(
            "SELECT setval(pg_get_serial_sequence('execution_steps', 'id'), max(id)) FROM execution_steps"
            " HAVING max(id) IS NOT NULL"
        )
        self._connection.execute("ANALYZE")


@contextmanager
def _opened(target: DatabaseTarget) -> Iterator[_Database]:
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
