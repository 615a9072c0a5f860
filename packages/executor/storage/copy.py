"""A database copied into another, of either engine, while the first one is in use.

The source is read as it is at one moment. Rows go over in batches, each a transaction of its own, so a copy
that was interrupted has lost nothing: the next one finds what is there already and goes on. At the end both
are counted and summed up, and have to be equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import LargeBinary, Table

from executor.errors import CopyRefused, InvalidSettings
from executor.migrations.runner import ensure_current
from executor.migrations.target import DatabaseTarget
from executor.schema import execution_events, execution_steps, executions, metadata
from executor.storage.bulk import Database, Key, Row, RowReader, has_key, key_of, opened
from executor.storage.location import read_workspace_id

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
    with opened(origin) as reading, opened(goal) as writing, reading.moment():
        return _Copy(reading, writing, _workspace_of(origin), progress).run(str(origin), str(goal))


def _workspace_of(target: DatabaseTarget) -> str | None:
    return None if target.path is None else read_workspace_id(target.path.parent, {})


class _Copy:
    def __init__(
        self, source: Database, target: Database, workspace_id: str | None, progress: Progress
    ) -> None:
        self._source, self._target, self._progress = source, target, progress
        self._readers = {t.name: RowReader(t, workspace_id) for t in metadata.sorted_tables}

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
                unknown = keys - {key_of(table, row) for row in self._source.matching(table, keys)}
                if unknown and unknown - self._cleaned_keys(table):
                    name = min(" ".join(map(str, key)) for key in unknown)
                    raise CopyRefused(
                        f"{target} holds {table.name.replace('_', ' ')} that the source does not have ({name}); "
                        "copy into an empty database"
                    )

    def _cleaned_keys(self, table: Table) -> set[Key]:
        """All keys of the source as they are in the target: what was cleaned is not found by looking it up."""
        reader = RowReader(table, None)
        return {key_of(table, reader.read(row)) for rows in _batches(self._source, table) for row in rows}

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
        keyed = self._source.count(table, has_key(table))
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
        there = {key_of(executions, row) for row in self._target.matching(executions, wanted)}
        return [step for step in steps if (step[place],) in there]

    def _write(self, table: Table, rows: list[Row], was_empty: bool) -> int:
        """How many rows were missing in the target or had changed since they were copied."""
        keys = {key_of(table, row) for row in rows}
        if len(keys) < len(rows):
            raise CopyRefused(f"two rows of {table.name} have the same key once their text is cleaned")
        there: dict[Key, Row] = {}
        if not was_empty:
            plain = RowReader(table, None)
            found = map(plain.read, self._target.matching(table, keys))
            there = {key: row for row in found if (key := key_of(table, row)) in keys}
        missing = [row for row in rows if key_of(table, row) not in there]
        changed = [row for row in rows if there.get(key_of(table, row), row) != row]
        if changed and table is execution_events:
            raise CopyRefused(
                f"event {key_of(table, changed[0])!r} of the target is another than the source's; "
                "copy into an empty database"
            )
        if missing or changed:
            with self._target.transaction():
                self._target.insert(table, missing)
                self._target.replace(table, changed)
        return len(missing) + len(changed)

    def _remove_gone(self, table: Table) -> None:
        for keys in _batched_keys(self._target, table):
            gone = keys - {key_of(table, row) for row in self._source.matching(table, keys)}
            if gone:
                gone -= self._cleaned_keys(table)
            if gone:
                with self._target.transaction():
                    self._target.delete(table, gone)

    def _compare(self, table: Table, expected: _Sum, target: str) -> None:
        reader, found = RowReader(table, None), _Sum()
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


def _batches(database: Database, table: Table) -> Iterator[list[Row]]:
    """All rows that have a key, in the order of their keys."""
    files = any(isinstance(column.type, LargeBinary) for column in table.c)
    limit = _FILES_AT_A_TIME if files else _ROWS_AT_A_TIME
    last: Key | None = None
    while rows := database.batch(table, last, limit):
        yield rows
        last = key_of(table, rows[-1])


def _batched_keys(database: Database, table: Table) -> Iterator[set[Key]]:
    for rows in _batches(database, table):
        yield {key_of(table, row) for row in rows}
