"""Which contents and logs an execution has to itself, and which contents others need as well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from executor.models.change import Changeset
from executor.models.retention import Held, PayloadSize, PayloadState
from executor.storage.documents import decode
from executor.storage.engine import Connection, Engine

# Values that one statement looks up.
_AT_A_TIME = 500


@dataclass(frozen=True, slots=True)
class Share:
    """The contents that go with one execution, by hash, and its logs."""

    execution_id: str
    hashes: tuple[str, ...]
    size: PayloadSize

    @property
    def counts(self) -> dict[str, int]:
        """What its event says."""
        counts = {"content_count": self.size.contents, "content_bytes": self.size.content_bytes}
        if self.size.logs:
            counts |= {"log_count": self.size.logs, "log_bytes": self.size.log_bytes}
        return counts


def states(
    connection: Connection, engine: Engine, execution_ids: Sequence[str], now: str
) -> list[PayloadState]:
    """In the order given, without those that are unknown."""
    found: dict[str, PayloadState] = {}
    for ids in _batches(dict.fromkeys(execution_ids)):
        statement = engine.sql.select_payload_states(now=now, values=engine.text_list(ids))
        for execution_id, correlation_id, dropped_at, running, attempt, approved in connection.execute(
            *statement
        ).fetchall():
            held = (
                Held.RUNNING if running else Held.ATTEMPT if attempt else Held.APPROVAL if approved else None
            )
            found[execution_id] = PayloadState(execution_id, correlation_id, dropped_at, held)
    return [found[name] for name in dict.fromkeys(execution_ids) if name in found]


def shares(
    connection: Connection, engine: Engine, known: Iterable[PayloadState]
) -> Iterator[tuple[str, Share]]:
    """What goes with each execution, one after the other, in the order given.

    Contents are kept once for a correlation: they go with the last execution that needs them. Where a
    changeset of somebody who stays cannot be read, nothing goes: it may need anything.
    """
    for correlation_id, group in groupby(known, key=lambda state: state.correlation_id):
        yield from _shares_within(connection, engine, correlation_id, [state.execution_id for state in group])


def _shares_within(
    connection: Connection, engine: Engine, correlation_id: str, going: list[str]
) -> Iterator[tuple[str, Share]]:
    statement = engine.sql.select_payload_users(correlation_id=correlation_id)
    changesets: dict[str, str] = dict(connection.execute(*statement).fetchall())
    named = _hashes(connection, engine, correlation_id, set(changesets.values()))
    needed: Counter[str] = Counter()
    safe = True
    for execution_id, changeset_id in changesets.items():
        hashes = named.get(changeset_id, frozenset())
        safe = safe and (hashes is not None or execution_id in going)
        needed.update(hashes or ())
    own = {name: named.get(changesets.get(name, ""), frozenset()) or frozenset() for name in going}
    sizes = _sizes(connection, engine, correlation_id, frozenset().union(*own.values()))
    logs = _logs(connection, engine, correlation_id, going)
    for execution_id in going:
        kept = own[execution_id] & sizes.keys()
        needed.subtract(own[execution_id])
        gone = tuple(sorted(name for name in kept if safe and needed[name] <= 0))
        log_count, log_bytes = logs.get(execution_id, (0, 0))
        size = PayloadSize(
            len(gone),
            sum(sizes[name] for name in gone),
            log_count,
            log_bytes,
            present=bool(kept) or log_count > 0,
        )
        yield execution_id, Share(execution_id, gone, size)


def delete(connection: Connection, engine: Engine, correlation_id: str, share: Share) -> None:
    for names in _batches(share.hashes):
        connection.execute(
            *engine.sql.delete_contents(values=engine.text_list(names), correlation_id=correlation_id)
        )
    if share.size.logs:
        connection.execute(
            *engine.sql.delete_step_logs(execution_id=share.execution_id, correlation_id=correlation_id)
        )


def _hashes(
    connection: Connection, engine: Engine, correlation_id: str, changeset_ids: set[str]
) -> dict[str, frozenset[str] | None]:
    """The contents each changeset names; None for one that cannot be read."""
    found: dict[str, frozenset[str] | None] = {}
    for ids in _batches(sorted(changeset_ids)):
        statement = engine.sql.select_changeset_documents(
            values=engine.text_list(ids), correlation_id=correlation_id
        )
        for changeset_id, document in connection.execute(*statement).fetchall():
            changeset = decode(document, Changeset)
            found[changeset_id] = None if changeset is None else frozenset(_named(changeset))
    return found


def _named(changeset: Changeset) -> Iterator[str]:
    for change in changeset.changes:
        yield from (name for name in (change.old_sha256, change.new_sha256) if name is not None)


def _sizes(
    connection: Connection, engine: Engine, correlation_id: str, names: Iterable[str]
) -> dict[str, int]:
    found: dict[str, int] = {}
    for some in _batches(sorted(names)):
        statement = engine.sql.select_content_sizes(
            values=engine.text_list(some), correlation_id=correlation_id
        )
        found.update(connection.execute(*statement).fetchall())
    return found


def _logs(
    connection: Connection, engine: Engine, correlation_id: str, going: Iterable[str]
) -> dict[str, tuple[int, int]]:
    """How many logs each execution has, and their size as they are kept."""
    found: dict[str, tuple[int, int]] = {}
    for ids in _batches(going):
        statement = engine.sql.select_log_sizes(values=engine.text_list(ids), correlation_id=correlation_id)
        rows = connection.execute(*statement).fetchall()
        found.update((execution_id, (int(count), int(size))) for execution_id, count, size in rows)
    return found


def _batches(values: Iterable[str]) -> Iterator[list[str]]:
    listed = list(values)
    for first in range(0, len(listed), _AT_A_TIME):
        yield listed[first : first + _AT_A_TIME]
