"""SQLite: kept connections, one writer a process, and the SQL only SQLite understands."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar

from executor.errors import InvalidSettings, TryAgain
from executor.migrations.connection import connect, database_error
from executor.migrations.runner import open_current
from executor.migrations.target import DatabaseTarget
from executor.models.execution import decode_paths
from executor.models.text import ascii_lower
from executor.storage import _sqlite_statements
from executor.storage._statements import Bound, Statements
from executor.storage.engine import Connection, Durability, Row, Watch

T = TypeVar("T")

# How long a writer waits for the writers of other processes.
WRITE_WAIT_SECONDS: Final = 60.0

# The driver waits with growing pauses of up to a tenth of a second. Beginning anew keeps them short, which
# is what a writer needs that has been waiting for long, and lets Ctrl-C through.
_WAIT_SLICE_SECONDS: Final = 1.0

# How often a watch looks for commits.
_LOOK_SECONDS: Final = 0.05

# How long a fork waits for threads that are reading or writing.
_FORK_WAIT_SECONDS: Final = 30.0

# 32 MB; the connection keeps up to 64 MB of log.
_CHECKPOINT_PAGES: Final = 8_000

_IDLE_KEPT: Final = 8

# Rows from which on making the indexes afterwards is the faster way.
_SORTED_FROM: Final = 1_000
# An index without text belongs to a key.
_INDEXES_OF_EXECUTIONS: Final = (
    "SELECT name, sql FROM sqlite_master"
    " WHERE type = 'index' AND tbl_name = 'executions' AND sql IS NOT NULL ORDER BY name"
)
_BATCH: Final = 64

_PATH_MATCHES: Final = "executor_path_matches(executions.affected_paths, ?)"
# `lower` of SQLite knows the letters A to Z only, which is what is promised.
_TEXT_OCCURS: Final = (
    "(instr(lower(executions.execution_id), ?) > 0 OR instr(lower(executions.title), ?) > 0"
    " OR instr(lower(executions.error_message), ?) > 0"
    " OR executor_paths_contain(executions.affected_paths, ?))"
)


class _FileWatch:
    """Looks at a number that changes with every commit of another connection: a read of shared memory."""

    def __init__(self, target: DatabaseTarget) -> None:
        self._connection = connect(target)
        self._seen = self._version()

    def wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while (version := self._version()) == self._seen:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(_LOOK_SECONDS, left))
        self._seen = version
        return True

    def _version(self) -> int:
        ((version,),) = self._connection.execute("PRAGMA data_version").fetchall()
        return int(version)

    def close(self) -> None:
        self._connection.close()


class SqliteEngine:
    """One database file."""

    IntegrityError: Final = sqlite3.IntegrityError
    walk: Final = " INDEXED BY idx_executions_started_at"
    merges_parts: Final = True
    is_remote: Final = False

    def __init__(
        self,
        target: DatabaseTarget,
        *,
        durability: Durability = "normal",
        migrate: bool = True,
        write_wait: float = WRITE_WAIT_SECONDS,
    ) -> None:
        """Opens the file and brings it up to date, or with `migrate=False` raises SchemaOutdated."""
        if target.path is None:
            raise InvalidSettings("a store needs a file; ':memory:' ends with each connection")
        self.sql: Statements = _sqlite_statements
        self._target = target
        self._name = str(target)
        self._synchronous: Final = "FULL" if durability == "full" else "NORMAL"
        self._write_wait = write_wait
        self._forget_connections()
        self._idle.append(_prepared(open_current(target, synchronous="NORMAL", migrate=migrate)))
        self._readers = 1
        _ENGINES.add(self)

    def _forget_connections(self) -> None:
        self._idle: list[sqlite3.Connection] = []
        # Readers that are open, idle or lent; changed under `_opening` only.
        self._readers = 0
        self._opening = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._writing = threading.Lock()
        self._jobs: deque[_Job[Any]] = deque()

    # Reading.

    def query(self, statement: Bound) -> list[Row]:
        connection = self._take()
        try:
            return connection.execute(*statement).fetchall()
        except sqlite3.Error as cause:
            with self._translating(), _lenient(connection, cause):
                return connection.execute(*statement).fetchall()
        finally:
            self._give_back(connection)

    def read(self, work: Callable[[Connection], T]) -> T:
        connection = self._take()
        try:
            return _in_read_transaction(connection, work)
        except sqlite3.Error as cause:
            with self._translating(), _lenient(connection, cause):
                return _in_read_transaction(connection, work)
        finally:
            self._give_back(connection)

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            pass
        with self._opening:
            connection = _prepared(connect(self._target, synchronous="NORMAL"))
            self._readers += 1
            return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        self._idle.append(connection)
        if len(self._idle) > _IDLE_KEPT:
            with self._opening:
                self._close_idle(keep=_IDLE_KEPT)

    def _close_idle(self, keep: int = 0) -> None:
        while len(self._idle) > keep:
            try:
                connection = self._idle.pop()
            except IndexError:
                return
            connection.close()
            self._readers -= 1

    # Writing.

    def write(
        self, work: Callable[[Connection], T], done: Callable[[Connection], T | None] | None = None
    ) -> T:
        """What became of a commit is always known here, so nobody looks.

        The thread that gets the lock commits for all that wait: with `full` durability the wait for the
        disk is shared.
        """
        job = _Job(work)
        self._jobs.append(job)
        with self._writing:
            if not job.done:
                self._commit_waiting(job)
        return job.outcome()

    def _commit_waiting(self, own: _Job[Any]) -> None:
        waiting = self._jobs
        batch = [waiting.popleft() for _ in range(min(len(waiting), _BATCH))]
        if own not in batch:
            waiting.remove(own)
            batch.append(own)
        try:
            self._commit(batch)
        except BaseException:
            # Interrupted: the others have not been served and take their turn again.
            waiting.extendleft(job for job in reversed(batch) if job is not own and not job.done)
            raise

    def _commit(self, batch: list[_Job[Any]]) -> None:
        if len(batch) == 1:
            batch[0].run(self._alone)
            return
        try:
            self._together(batch)
        except sqlite3.Error:
            # The transaction as a whole failed; each learns by itself what became of it.
            for job in batch:
                job.run(self._alone)

    def _alone(self, work: Callable[[Connection], T]) -> T:
        connection = self._write_connection()
        try:
            self._begin(connection)
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                _roll_back(connection)
                raise
        except sqlite3.Error as cause:
            error = database_error(cause, self._name)
            if error is None:
                raise
            raise error from cause
        return result

    def _together(self, batch: list[_Job[Any]]) -> None:
        connection = self._write_connection()
        self._begin(connection)
        try:
            outcomes = [_inside(connection, job.work) for job in batch]
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise
        for job, (result, error) in zip(batch, outcomes, strict=True):
            job.finish(result, self._translated(error))

    def _write_connection(self) -> sqlite3.Connection:
        if self._writer is None:
            connection = connect(self._target, synchronous=self._synchronous, timeout=_WAIT_SLICE_SECONDS)
            # Pages in the log before they are copied back into the file. A start touches some twenty
            # pages, most of them the same ones each time: copying less often copies them less often.
            connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
            self._writer = _prepared(connection)
        return self._writer

    def _begin(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as cause:
            if not isinstance(database_error(cause, self._name), TryAgain):
                raise
            self._begin_after_waiting(connection)

    def _begin_after_waiting(self, connection: sqlite3.Connection) -> None:
        deadline = time.monotonic() + self._write_wait
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as cause:
                busy = isinstance(database_error(cause, self._name), TryAgain)
                if not busy or time.monotonic() >= deadline:
                    raise
            else:
                return

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as cause:
            error = database_error(cause, self._name)
            if error is None:
                raise
            raise error from cause

    def _translated(self, error: BaseException | None) -> BaseException | None:
        if not isinstance(error, sqlite3.Error):
            return error
        return database_error(error, self._name) or error

    def import_executions(self, connection: Connection, rows: Iterable[Sequence[Any]], count: int) -> None:
        """Into an empty table many rows go without its indexes, which are made of all rows at once.

        Sorting them is faster than looking for the place of each row in each index: of 20,000 rows the import
        takes a quarter to a third less processor time. The transaction alone ever sees the table without.
        """
        indexes = _take_away_indexes(connection) if count >= _SORTED_FROM else []
        connection.executemany(self.sql.IMPORT_EXECUTION, rows)
        for statement in indexes:
            connection.execute(statement, ()).fetchall()

    def append(self, connection: Connection, statement: Bound) -> None:
        connection.execute(*statement)

    def number_events(self, connection: Connection) -> None:
        """Nobody else writes anyway."""

    def hold_contents(self, connection: Connection) -> None:
        """Nobody else writes anyway."""

    # Conditions.

    def path_matches(self, pattern: str) -> Bound:
        return _PATH_MATCHES, (pattern,)

    def text_occurs(self, text: str) -> Bound:
        return _TEXT_OCCURS, (text, text, text, text)

    def text_list(self, values: Sequence[str]) -> str:
        # SQLite ends a text from JSON at a NUL, and would take it for another, shorter one.
        return json.dumps([value for value in values if "\0" not in value])

    def watch(self) -> Watch:
        with self._translating():
            return _FileWatch(self._target)

    def close(self) -> None:
        """Closes what is not in use at the moment."""
        with self._writing:
            self._close_writer()
        with self._opening:
            self._close_idle()

    def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    # Forking. SQLite keeps the locks of a process in the memory of that process. A child that inherits
    # them believes to hold locks it does not have, also for connections it opens itself: it waits for
    # ever for itself, or its parent, closing what it thinks is the last connection, takes away the log
    # that the child writes to. So nothing is open while a process forks.

    def _before_fork(self) -> None:
        deadline = time.monotonic() + _FORK_WAIT_SECONDS
        self._writing.acquire(timeout=_FORK_WAIT_SECONDS)
        self._close_writer()
        self._opening.acquire(timeout=_FORK_WAIT_SECONDS)
        while self._readers and time.monotonic() < deadline:
            self._close_idle()
            if self._readers:
                time.sleep(0.001)

    def _after_fork_in_parent(self) -> None:
        for lock in (self._opening, self._writing):
            if lock.locked():
                lock.release()


_ENGINES: Final[weakref.WeakSet[SqliteEngine]] = weakref.WeakSet()


def _before_fork() -> None:
    for engine in list(_ENGINES):
        engine._before_fork()


def _after_fork_in_parent() -> None:
    for engine in list(_ENGINES):
        engine._after_fork_in_parent()


def _after_fork_in_child() -> None:
    # The locks may have waiters that do not exist here.
    for engine in list(_ENGINES):
        engine._forget_connections()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)


class _Job(Generic[T]):
    """A piece of writing that waits for its turn, and what came of it."""

    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: Callable[[Connection], T]) -> None:
        self.work = work
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self, transaction: Callable[[Callable[[Connection], T]], T]) -> None:
        try:
            result = transaction(self.work)
        except Exception as error:  # noqa: BLE001 - raised in the thread whose work it was
            self.finish(None, error)
        else:
            self.finish(result, None)

    def finish(self, result: T | None, error: BaseException | None) -> None:
        self.result, self.error, self.done = result, error, True

    def outcome(self) -> T:
        if self.error is not None:
            try:
                raise self.error
            finally:
                # The traceback refers to this frame: without this they would keep each other alive.
                del self.error
        return self.result  # type: ignore[return-value]


def _take_away_indexes(connection: Connection) -> list[str]:
    """Drops the indexes of an empty table of executions, and gives what makes them again."""
    if connection.execute("SELECT 1 FROM executions LIMIT 1", ()).fetchall():
        return []
    indexes = connection.execute(_INDEXES_OF_EXECUTIONS, ()).fetchall()
    for name, _ in indexes:
        connection.execute(f'DROP INDEX "{name}"', ()).fetchall()
    return [made for _, made in indexes]


def _inside(
    connection: sqlite3.Connection, work: Callable[[Connection], T]
) -> tuple[T | None, BaseException | None]:
    """Runs one of several pieces of a transaction; what it wrote is undone when it raises."""
    connection.execute("SAVEPOINT piece")
    try:
        result = work(connection)
    except Exception as error:
        if not connection.in_transaction:
            # SQLite gave up the whole transaction, as it does when the disk is full.
            raise
        connection.execute("ROLLBACK TO piece")
        connection.execute("RELEASE piece")
        return None, error
    connection.execute("RELEASE piece")
    return result, None


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _in_read_transaction(connection: sqlite3.Connection, work: Callable[[Connection], T]) -> T:
    connection.execute("BEGIN")
    try:
        return work(connection)
    finally:
        connection.execute("ROLLBACK")


@contextmanager
def _lenient(connection: sqlite3.Connection, cause: sqlite3.Error) -> Iterator[None]:
    """Text that is no UTF-8 reads with replacement characters in place of failing the whole answer.

    Raises `cause` when that was not the problem.
    """
    if "Could not decode to UTF-8" not in str(cause):
        raise cause
    connection.text_factory = _decode
    try:
        yield
    finally:
        connection.text_factory = str


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.create_function("executor_path_matches", 2, _path_matches, deterministic=True)
    connection.create_function("executor_paths_contain", 2, _paths_contain, deterministic=True)
    return connection


def _path_matches(paths: object, pattern: str) -> bool:
    match = _compiled(pattern).match
    return any(match(path) for path in decode_paths(paths))


def _paths_contain(paths: object, text: str) -> bool:
    return any(text in ascii_lower(path) for path in decode_paths(paths))


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
