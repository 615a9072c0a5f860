"""The rows of one correlation, out of a database as values and into another one, of either engine.

Columns that only mean something within one database are left out and made anew: the ids of steps, the
positions of events. What a step printed travels as text.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final, TypeAlias

from sqlalchemy import Float, Integer, LargeBinary, Table

from executor.errors import InvalidInput
from executor.models.change import Changeset
from executor.models.execution import EventType
from executor.models.text import clean_text
from executor.schema import (
    changesets,
    contents,
    decisions,
    execution_events,
    execution_links,
    execution_steps,
    executions,
    metadata,
    plans,
    step_logs,
    tokens,
    workspaces,
)
from executor.storage.bulk import Database, Row, RowReader
from executor.storage.documents import decode
from executor.storage.rows import step_log_content

Values: TypeAlias = dict[str, Any]
# What layers above call a table, which know no toolkit.
AnyTable: TypeAlias = Table
Rewrite: TypeAlias = Callable[[Table, Values], Values]

# Whatever is kept of executions, those first that others refer to. Contents are no rows here, tokens stay.
TABLES: Final = tuple(table for table in metadata.sorted_tables if table not in (contents, tokens))

_MADE_ANEW: Final = {execution_steps.name: "id", execution_events.name: "position"}
# Documents are named by executions and kept for their correlation.
_NAMED: Final = {plans.name: "plan_id", changesets.name: "changeset_id", decisions.name: "decision_id"}
_AT_A_TIME: Final = 100
_CONTENTS_AT_A_TIME: Final = 8
_CONFLICTS_TOLD: Final = 100


def _at_a_time(table: Table) -> int:
    """Rows that hold whole files or logs may have megabytes each."""
    return _CONTENTS_AT_A_TIME if table is step_logs else _AT_A_TIME


def dropped_executions(database: Database, execution_ids: Iterable[str]) -> set[str]:
    """Those whose payload gc has dropped from this database."""
    found: set[str] = set()
    for names in _batches(execution_ids):
        condition, value = database.one_of("execution_id", "TEXT", names)
        sql = f"SELECT execution_id FROM execution_events WHERE {condition} AND event = ?"
        found.update(name for (name,) in database.query(sql, (value, EventType.PAYLOAD_DROPPED.value)))
    return found


def hashes_of(documents: Iterable[str]) -> set[str]:
    """The contents that changesets name."""
    named: set[str] = set()
    for document in documents:
        changeset = decode(document, Changeset)
        for change in changeset.changes if changeset else ():
            named.update(name for name in (change.old_sha256, change.new_sha256) if name)
    return named


def columns_of(table: Table) -> tuple[str, ...]:
    """The columns that travel."""
    return tuple(column.name for column in table.c if column.name != _MADE_ANEW.get(table.name))


class CorrelationRows:
    """What a database has of one correlation, at the moment the caller holds.

    Rows without a workspace get `workspace_id`.
    """

    def __init__(self, database: Database, correlation_id: str, workspace_id: str | None) -> None:
        self._database, self._correlation_id = database, correlation_id
        self._workspace_id = workspace_id
        found = database.query(
            "SELECT execution_id FROM executions WHERE correlation_id = ? AND execution_id IS NOT NULL"
            " UNION ALL SELECT execution_id FROM executions WHERE execution_id = ? AND correlation_id IS NULL",
            (correlation_id, correlation_id),
        )
        self.execution_ids: Final = sorted(
            (name for (name,) in found if isinstance(name, str)), key=str.encode
        )

    def rows(self, table: Table) -> Iterator[Values]:
        """Each row once, in an order that is the same in every database."""
        for condition, values in self._conditions(table):
            # The order of bytes, whatever the database sorts by.
            found = _read(self._database, table, condition, values, self._workspace_id)
            yield from sorted(found, key=_order(table))

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """The bytes that changesets name, by their SHA-256, as far as they are kept."""
        wanted = hashes_of(row["document"] for row in self.rows(changesets))
        for names in _batches(sorted(wanted), _CONTENTS_AT_A_TIME):
            condition, value = self._database.one_of("sha256", "TEXT", names)
            found = self._database.query(
                f"SELECT sha256, content FROM contents WHERE {condition} AND correlation_id = ?"
                " ORDER BY sha256",
                (value, self._correlation_id),
            )
            yield from ((str(name), bytes(content)) for name, content in found)

    def _conditions(self, table: Table) -> Iterator[tuple[str, tuple[Any, ...]]]:
        column = _NAMED.get(table.name)
        if column is not None or table is workspaces:
            for names in _batches(sorted(self._named(column or "workspace_id"), key=str.encode)):
                condition, value = self._database.one_of(column or "workspace_id", "TEXT", names)
                if table is workspaces:
                    yield condition, (value,)
                else:
                    yield f"{condition} AND correlation_id = ?", (value, self._correlation_id)
            return
        owner = "source_id" if table is execution_links else "execution_id"
        for names in _batches(self.execution_ids, _at_a_time(table)):
            condition, value = self._database.one_of(owner, "TEXT", names)
            yield condition, (value,)

    def _named(self, column: str) -> set[str]:
        return {row[column] for row in self.rows(executions) if row[column] is not None}


def _read(
    database: Database, table: Table, condition: str, values: tuple[Any, ...], workspace_id: str | None
) -> list[Values]:
    reader = RowReader(table, workspace_id)
    names = list(table.c.keys())
    sql = f"SELECT {', '.join(names)} FROM {table.name} WHERE {condition}"
    found = [
        {name: _finite(value) for name, value in zip(names, reader.read(row), strict=True)}
        for row in database.query(sql, values)
    ]
    return [_unpacked(row) for row in found] if table is step_logs else found


def _unpacked(log: Values) -> Values:
    content = step_log_content((log["size"], log["content"]))
    return with_output(log, (content or b"").decode("utf-8", "replace"))


def with_output(log: Values, text: str) -> Values:
    """A row of what a step printed, with this text in it."""
    return {**log, "content": text, "size": len(text.encode())}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _order_names(table: Table) -> list[str]:
    if table is execution_steps:
        return ["execution_id", "step_num", "id"]
    return [column.name for column in table.primary_key.columns]


def _order(table: Table) -> Callable[[Values], tuple[Any, ...]]:
    keys = _order_names(table)

    def order(row: Values) -> tuple[Any, ...]:
        return tuple(v.encode() if isinstance(v := row[key], str) else v for key in keys)

    return order


def checked_rows(
    table: Table, found: Iterable[Mapping[str, Any]], correlation_id: str, execution_ids: set[str]
) -> Iterator[Values]:
    """Rows that came from elsewhere, each once, in the order an export has. Raises InvalidInput."""
    keys = [name for name in _order_names(table) if name != _MADE_ANEW.get(table.name)]
    last: tuple[Any, ...] | None = None
    for row in found:
        checked = _check_row(table, row, correlation_id, execution_ids)
        place = tuple(v.encode() if isinstance(v := checked[key], str) else v for key in keys)
        if last is not None and (place < last or (place == last and table is not execution_steps)):
            raise InvalidInput(f"rows of {table.name} are twice there, or out of order")
        last = place
        yield checked


def _check_row(table: Table, row: Mapping[str, Any], correlation_id: str, execution_ids: set[str]) -> Values:
    """A row that came from elsewhere, with every column that travels. Raises InvalidInput."""
    unknown = row.keys() - set(columns_of(table))
    if unknown:
        raise InvalidInput(f"{table.name} has no column {min(unknown)!r}")
    checked = {name: _checked(table, name, row.get(name)) for name in columns_of(table)}
    owner = checked.get("source_id" if table is execution_links else "execution_id")
    if "execution_id" in table.c or table is execution_links:
        known = isinstance(owner, str) and bool(owner)
        if not known or (table is not executions and owner not in execution_ids):
            raise InvalidInput(f"a row of {table.name} belongs to no execution of the archive: {owner!r}")
    if "correlation_id" in table.c:
        own = checked["correlation_id"]
        if own is None and table is executions:
            own = owner
        if own != correlation_id:
            raise InvalidInput(f"a row of {table.name} belongs to another correlation: {own!r}")
    if table is step_logs and checked["size"] != len(checked["content"].encode("utf-8", "surrogatepass")):
        raise InvalidInput(f"the log {checked['name']!r} has not the size it says")
    if table is execution_events and checked["seq"] < 1:
        raise InvalidInput(f"an event has the number {checked['seq']}")
    return checked


def _checked(table: Table, name: str, value: Any) -> Any:
    column = table.c[name]
    where = f"{table.name}.{name}"
    if value is None:
        if not column.nullable:
            raise InvalidInput(f"{where} is missing")
        return None
    if isinstance(column.type, Integer):
        if type(value) is not int or not -(2**63) <= value < 2**63:
            raise InvalidInput(f"{where} is {value!r}, no whole number")
    elif isinstance(column.type, Float):
        if type(value) not in (int, float) or not math.isfinite(value):
            raise InvalidInput(f"{where} is {value!r}, no number")
        return float(value)
    elif isinstance(column.type, LargeBinary):
        # Text as well, which may hold what no other text may.
        if not isinstance(value, str) or not _is_unicode(value):
            raise InvalidInput(f"{where} is no text")
    elif not isinstance(value, str) or clean_text(value) != value:
        raise InvalidInput(f"{where} is no text that can be kept")
    return value


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(slots=True)
class Merge:
    """What became, or would become, of the rows of an archive: how many there are, and are new, by table.

    `conflicts` names rows that are there with other values, at most a hundred of them.
    """

    rows: dict[str, int] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)

    def count(self, name: str, rows: int, written: int) -> None:
        self.rows[name] = self.rows.get(name, 0) + rows
        self.written[name] = self.written.get(name, 0) + written

    def conflict(self, text: str) -> None:
        if len(self.conflicts) < _CONFLICTS_TOLD:
            self.conflicts.append(text)


class Merging:
    """Brings rows into a database, inside a transaction of the caller; without `write` only compares.

    What is there already is left as it is. It is equal when it is the same, or would be after `rewrite`,
    which is what an export does to rows. `accept` raises for a row that must not come in.
    """

    def __init__(
        self,
        database: Database,
        *,
        workspace_id: str | None,
        rewrite: Rewrite,
        accept: Callable[[Table, Values], None],
        write: bool,
    ) -> None:
        self._database, self._workspace_id = database, workspace_id
        self._rewrite, self._accept, self._write = rewrite, accept, write
        self.report: Final = Merge()
        self._position: int | None = None

    def merge(self, table: Table, rows: Iterable[Values]) -> None:
        if table is execution_steps:
            self._merge_steps(rows)
            return
        keys = [
            column.name for column in table.primary_key.columns if column.name != _MADE_ANEW.get(table.name)
        ]
        for batch in _batches(rows, _at_a_time(table)):
            there = {tuple(row[key] for key in keys): row for row in self._there(table, keys[0], batch)}
            new = []
            for row in batch:
                known = there.get(tuple(row[key] for key in keys))
                if known is None:
                    new.append(row)
                elif table is not workspaces and not self._equal(table, known, row):
                    # Where a workspace is, each database knows for itself.
                    self.report.conflict(f"{table.name} {' '.join(str(row[key]) for key in keys[:2])}")
            self._insert(table, new)
            self.report.count(table.name, len(batch), len(new))

    def _merge_steps(self, rows: Iterable[Values]) -> None:
        """The steps of an execution are there, all the same, or none is."""
        grouped = groupby(rows, key=lambda row: row["execution_id"])
        for batch in _batches((name, list(steps)) for name, steps in grouped):
            there: dict[str, list[Values]] = {}
            found = self._there(execution_steps, "execution_id", [steps[0] for _, steps in batch])
            for row in sorted(found, key=_order(execution_steps)):
                there.setdefault(row["execution_id"], []).append(row)
            new: list[Values] = []
            for name, steps in batch:
                known = there.get(name)
                if known is None:
                    new += steps
                elif len(known) != len(steps) or not all(
                    self._equal(execution_steps, one, other) for one, other in zip(known, steps, strict=True)
                ):
                    self.report.conflict(f"the steps of execution {name}")
            self._insert(execution_steps, new)
            self.report.count(execution_steps.name, sum(len(steps) for _, steps in batch), len(new))

    def merge_contents(self, correlation_id: str, found: Iterable[tuple[str, bytes]]) -> None:
        """What has the same hash is the same."""
        for batch in _batches(found, _CONTENTS_AT_A_TIME):
            condition, value = self._database.one_of("sha256", "TEXT", [name for name, _ in batch])
            known = self._database.query(
                f"SELECT sha256 FROM contents WHERE {condition} AND correlation_id = ?",
                (value, correlation_id),
            )
            there = {name for (name,) in known}
            new = [(name, correlation_id, content) for name, content in batch if name not in there]
            if self._write:
                self._database.insert(contents, new, ("sha256", "correlation_id", "content"))
            self.report.count(contents.name, len(batch), len(new))

    def _there(self, table: Table, column: str, batch: list[Values]) -> list[Values]:
        names = sorted({row[column] for row in batch}, key=str.encode)
        condition, value = self._database.one_of(column, "TEXT", names)
        return _read(self._database, table, condition, (value,), self._workspace_id)

    def _equal(self, table: Table, known: Values, row: Values) -> bool:
        shown = {name: known[name] for name in columns_of(table)}
        return shown == row or self._rewrite(table, shown) == row

    def _insert(self, table: Table, new: list[Values]) -> None:
        for row in new:
            self._accept(table, row)
        if not new or not self._write:
            return
        names = columns_of(table)
        if table is step_logs:
            new = [{**row, "content": zlib.compress(row["content"].encode())} for row in new]
        rows: list[Row] = [tuple(row[name] for name in names) for row in new]
        if table is execution_events:
            names = (*names, "position")
            rows = [(*row, self._next_position()) for row in rows]
        self._database.insert(table, rows, names)

    def _next_position(self) -> int:
        if self._position is None:
            ((last,),) = self._database.query("SELECT coalesce(max(position), 0) FROM execution_events")
            self._position = int(last)
        self._position += 1
        return self._position


def _batches(values: Iterable[Any], size: int = _AT_A_TIME) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for value in values:
        batch.append(value)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def is_text(table: Table, name: str) -> bool:
    """Whether a column holds prose or documents; the others are compared, sorted or looked up."""
    from executor.schema import KEY

    kind = table.c[name].type
    return kind is not KEY and not isinstance(kind, Integer | Float | LargeBinary)
