"""PostgreSQL: a pool of connections, retries where they are safe, and the SQL only PostgreSQL understands.

Transactions run at READ COMMITTED, whatever the server's default: each statement sees what was committed
before it began, and what must not change in between is locked. Nothing is set for a session, so a pooler in
transaction mode may stand in between.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, TypeVar

import psycopg
import psycopg_pool

from executor.errors import ExecutorError, TryAgain
from executor.migrations.ledger import is_current
from executor.migrations.runner import ensure_current
from executor.migrations.server import (
    connect,
    connect_error,
    connection_options,
    database_error,
    is_disconnected,
    is_pooled,
    refuse_old_server,
    was_undone,
)
from executor.migrations.target import DatabaseTarget
from executor.storage import _postgresql_statements
from executor.storage._statements import IMPORT_EXECUTION_PARAMETERS, Bound, Statements
from executor.storage.engine import Connection, Durability, Row, Watch
from executor.storage.pool_settings import POOL_SIZE, PoolSettings
from executor.storage.together import Answer, Statement, send_together

T = TypeVar("T")

# Told at the commit, without content: whoever listens reads by a cursor.
_CHANNEL: Final = "executor_events"

# The lock is held from the numbering of events to the commit, so that the order of positions is the order of
# commits.
NUMBERING: Final = f"SELECT pg_advisory_xact_lock(5063218674), pg_notify('{_CHANNEL}', '')"

# Lets others read; waits for those who have kept contents and not committed yet.
HOLD_CONTENTS: Final = "LOCK TABLE contents IN SHARE ROW EXCLUSIVE MODE"

# How often a watch says that something may have happened when nothing can tell it.
_LOOK_SECONDS: Final = 0.25

_ROWS_AT_A_TIME: Final = 500

# How long a connection goes from hand to hand before the pool gets it back.
_SPARE_SECONDS: Final = 60.0

_BEGIN_WRITING: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
_BEGIN_READING: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

# Statements are few, but each is prepared once for every combination of types: NULL has none, and whole
# numbers have the smallest that holds them.
_PREPARED_KEPT: Final = 500

# A client that stops while it holds locks gives them up after so long.
_IDLE_IN_TRANSACTION: Final = "60s"

# A list of texts in JSON that the server can read without an error: no NUL and no half of a surrogate pair.
_JSON_TEXT: Final = (
    r'"([^"\\\u0001-\u001F]|\\["\\/bfnrt]|\\u(?!0000|[dD][89a-fA-F])[0-9a-fA-F]{4}'
    r'|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*"'
)
_SPACE: Final = r"[ \t\n\r]*"
_JSON_TEXTS: Final = rf"^{_SPACE}\[{_SPACE}({_JSON_TEXT}{_SPACE}(,{_SPACE}{_JSON_TEXT}{_SPACE})*)?\]{_SPACE}$"
# CASE is what keeps the server from reading other text as JSON.
_ANY_PATH: Final = (
    f"CASE WHEN executions.affected_paths ~ '{_JSON_TEXTS}' THEN EXISTS (SELECT 1 FROM"
    " json_array_elements_text(executions.affected_paths::JSON) AS listed(path) WHERE {condition}) ELSE FALSE END"
)
_PATH_MATCHES: Final = _ANY_PATH.replace("{condition}", 'listed.path COLLATE "C" ~ %s::TEXT')
# In the collation "C", `lower` knows the letters A to Z only, which is what is promised.
_TEXT_OCCURS: Final = (
    '(strpos(lower(executions.execution_id COLLATE "C"), %s::TEXT) > 0'
    ' OR strpos(lower(executions.title COLLATE "C"), %s::TEXT) > 0'
    ' OR strpos(lower(executions.error_message COLLATE "C"), %s::TEXT) > 0 OR '
    + _ANY_PATH.replace("{condition}", 'strpos(lower(listed.path COLLATE "C"), %s::TEXT) > 0')
    + ")"
)

# Without a handler of the program, warnings of these would go to stderr, in the middle of its output.
for _library in ("psycopg", "stamina"):
    logging.getLogger(_library).addHandler(logging.NullHandler())


class _OutcomeUnknown(Exception):
    """The connection was lost while a transaction was being committed."""


class _Cursor(psycopg.Cursor[Row]):
    """Hands out rows by the hundred: one by one, each costs as much again as reading it."""

    def __iter__(self) -> Iterator[Row]:  # type: ignore[override]
        while rows := self.fetchmany(_ROWS_AT_A_TIME):
            yield from rows


class _Session(psycopg.Connection[Row]):
    """A connection of the pool, and the statements of its transaction that wait for the commit."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: list[Bound] = []
        # What begins the transaction, and is not sent before there is something to do in it.
        self._beginning: tuple[str, ...] = ()
        # The pool it is lent by, and since when.
        self.lender: psycopg_pool.ConnectionPool[_Session] | None = None
        self.lent = 0.0
        self._kept: psycopg.Cursor[Row] | None = None

    @classmethod
    def connect(  # type: ignore[override]
        cls, conninfo: str = "", *, ready: list[_Session], refusals: list[psycopg.Error], **options: Any
    ) -> _Session:
        """Gives one that is ready, or opens one and leaves behind why that failed.

        The pool connects in a thread of its own and tells nobody why it cannot.
        """
        with suppress(IndexError):
            return ready.pop()
        try:
            session = super().connect(conninfo, **options)
        except psycopg.Error as cause:
            refusals[:] = [cause]
            raise
        session.prepared_max = _PREPARED_KEPT
        session.cursor_factory = _Cursor
        return session

    def execute(  # type: ignore[override]
        self, text: str, parameters: Sequence[Any] = (), /
    ) -> psycopg.Cursor[Row] | Answer:
        if self.waiting:
            self.send_waiting()
        if self._beginning:
            return self._send([*self._begin(), (text, parameters)])[-1]
        return _without_nul(self.kept.execute, _encoded(text), parameters)

    def _begin(self) -> list[Statement]:
        beginning, self._beginning = self._beginning, ()
        return [(statement, ()) for statement in beginning]

    def _send(self, statements: Sequence[Statement]) -> list[Answer]:
        """Runs them one after the other without waiting for an answer in between."""
        with self.lock:
            return send_together(self, statements)

    @property
    def kept(self) -> psycopg.Cursor[Row]:
        """One cursor for all statements: making one costs a third of what a short question does.

        Numbers come as they are: in decimal digits, each would have to be read.
        """
        if self._kept is None:
            self._kept = self.cursor(binary=True)
        return self._kept

    def rows(self, text: bytes, parameters: Sequence[Any] = ()) -> list[Row]:
        """What one statement answers."""
        return _without_nul(self.kept.execute, text, parameters).fetchall()

    def begin_reading(self) -> None:
        self._beginning = (_BEGIN_READING,)

    def executemany(self, text: str, rows: Iterable[Sequence[Any]], /) -> None:
        if self._beginning:
            self._send(self._begin())
        with self.cursor() as cursor:
            cursor.executemany(text.encode(), rows)

    def copy_in(self, text: str, rows: Iterable[Sequence[Any]]) -> None:
        if self._beginning:
            self._send(self._begin())
        with self.cursor() as cursor, cursor.copy(text.encode()) as copy:
            for row in rows:
                copy.write_row(row)

    def begin_writing(self, settings: str) -> None:
        self._beginning = (_BEGIN_WRITING, settings)

    def send_waiting(self, *last: str) -> None:
        """Appends the waiting events, and does whatever is `last`.

        The lock on the numbers of events is held for no longer than the server itself needs.
        """
        waiting, self.waiting = self.waiting, []
        ends = [(statement, ()) for statement in last]
        self._send([*self._begin(), (NUMBERING, ()), *waiting, *ends])

    def commit_work(self) -> None:
        if self.waiting:
            self.send_waiting("COMMIT")
        elif not self._beginning:
            self.kept.execute(b"COMMIT")

    def forget_work(self) -> None:
        """What has not been sent is not sent any more."""
        self.waiting.clear()
        self._beginning = ()


# The same bytes each time: the driver looks up what it knows of a statement by them.
_encoded: Final = lru_cache(maxsize=512)(str.encode)


def _without_nul(
    run: Callable[..., psycopg.Cursor[Row]], text: Any, parameters: Sequence[Any] | None, **options: Any
) -> psycopg.Cursor[Row]:
    """No text here holds NUL, so what is asked for with it is equal to nothing, as NULL is."""
    try:
        return run(text, parameters, **options)
    except psycopg.DataError as cause:
        if cause.sqlstate is not None or not any(map(_has_nul, parameters or ())):
            raise
    return run(text, [None if _has_nul(p) else p for p in parameters or ()], **options)


def _has_nul(value: object) -> bool:
    return isinstance(value, str) and "\0" in value


class _ServerWatch:
    """Listens on a connection of its own, past a pooler where the URL of the server is known.

    Without such a connection, as behind a pooler or on a standby, it says every quarter of a second that something
    may have happened.
    """

    def __init__(self, target: DatabaseTarget) -> None:
        self._target = target
        self._connection: psycopg.Connection[Any] | None = None
        self._listening = self._listen()

    def wait(self, seconds: float) -> bool:
        if not self._listening:
            time.sleep(min(seconds, _LOOK_SECONDS))
            self._listening = self._listen() if self._connection is None else False
            return True
        assert self._connection is not None
        try:
            return any(True for _ in self._connection.notifies(timeout=seconds, stop_after=1))
        except psycopg.Error:
            # Whether anything was told meanwhile, nobody knows.
            self.close()
            self._listening = False
            return True

    def _listen(self) -> bool:
        try:
            connection = connect(self._target, direct=True)
        except ExecutorError:
            # The next wait tries again; whoever reads meanwhile says what is wrong.
            return False
        self._connection = connection
        try:
            if is_pooled(connection):
                return False
            connection.execute(f"LISTEN {_CHANNEL}".encode())
        except psycopg.errors.ReadOnlySqlTransaction:
            # A standby cannot tell.
            return False
        except psycopg.Error:
            self.close()
            return False
        return True

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PostgresqlEngine:
    """One database of a server."""

    IntegrityError: Final = psycopg.IntegrityError
    # There is no way to tell this planner; what it knows of the rows has to do.
    walk: Final = ""
    # It would read and sort all rows of all parts.
    merges_parts: Final = False
    is_remote: Final = True

    def __init__(
        self,
        target: DatabaseTarget,
        *,
        durability: Durability = "normal",
        migrate: bool = True,
        settings: PoolSettings | None = None,
    ) -> None:
        """Connects and brings the database up to date, or with `migrate=False` raises SchemaOutdated."""
        self.sql: Statements = _postgresql_statements
        self._target = target
        self._name = str(target)
        self._settings = settings or PoolSettings.from_environment()
        self._transaction_settings: Final = _settings_of(durability, self._settings.lock_timeout)
        self._forget_connections()
        self._ready.append(self._patiently_opened(migrate))
        _ENGINES.add(self)

    def _forget_connections(self) -> None:
        self._opening = threading.Lock()
        self._pool: psycopg_pool.ConnectionPool[_Session] | None = None
        self._ready: list[_Session] = []
        self._refusals: list[psycopg.Error] = []
        # The pool has lent it and nobody uses it. Changed under `_lending`, as the number of who wait is.
        self._spare: _Session | None = None
        self._waiting = 0
        self._lending = threading.Lock()

    def _options(self) -> dict[str, Any]:
        return {
            **connection_options(self._target),
            "prepare_threshold": self._settings.prepare_threshold,
            "ready": self._ready,
            "refusals": self._refusals,
        }

    def _patiently_opened(self, migrate: bool) -> _Session:
        """Waits for a server that is starting or stopping; one that is not there at all is said at once."""
        try:
            return self._first_session(migrate)
        except TryAgain as cause:
            if not _may_open_soon(cause):
                raise
        for attempt in self._attempts(_may_open_soon, wait=0.1):
            with attempt:
                return self._first_session(migrate)
        raise AssertionError("the last attempt returns or raises")

    def _first_session(self, migrate: bool) -> _Session:
        try:
            session = _Session.connect(**self._options())
        except psycopg.Error as cause:
            raise connect_error(cause, self._name) from cause
        try:
            refuse_old_server(session, self._name)
            with self._translating():
                self._respect_pooler(session)
                if not is_current(session):
                    # A migration wants a connection of its own, past any pooler.
                    ensure_current(self._target, migrate=migrate)
        except BaseException:
            session.close()
            raise
        return session

    def _respect_pooler(self, session: _Session) -> None:
        """Behind one that does not know prepared statements, a name may stand for a statement of somebody else's,
        and would run it.
        """
        settings = self._settings
        if settings.prepare_threshold is None or settings.prepares_behind_pooler or not is_pooled(session):
            return
        self._settings = replace(settings, prepare_threshold=None)
        session.prepare_threshold = None

    # Connections.

    def _opened_pool(self) -> psycopg_pool.ConnectionPool[_Session]:
        with self._opening:
            if self._pool is None:
                options = self._options()
                self._pool = psycopg_pool.ConnectionPool(
                    options.pop("conninfo"),
                    connection_class=_Session,
                    kwargs=options,
                    min_size=0,
                    max_size=self._settings.pool_size,
                    timeout=self._settings.pool_timeout,
                    reconnect_timeout=self._settings.pool_timeout,
                    num_workers=1,
                    name=self._name,
                    open=True,
                )
            return self._pool

    @contextmanager
    def _session(self) -> Iterator[_Session]:
        """A connection outside any transaction; it is thrown away when it is left in one."""
        session = self._take()
        try:
            yield session
        except psycopg.Error as cause:
            if is_disconnected(cause) or _is_stale(cause):
                session.close()
            raise
        finally:
            if session.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                session.close()
            self._give_back(session)

    def _take(self) -> _Session:
        """The spare one, which is there at once, or one of the pool, which costs as much as a short question."""
        with self._lending:
            session, self._spare = self._spare, None
            if session is not None:
                return session
            self._waiting += 1
        pool = self._pool or self._opened_pool()
        try:
            session = pool.getconn()
        except (psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed) as cause:
            raise self._no_connection() from cause
        finally:
            with self._lending:
                self._waiting -= 1
        self._refusals.clear()
        session.lender, session.lent = pool, time.monotonic()
        return session

    def _give_back(self, session: _Session) -> None:
        assert session.lender is not None
        # The pool has to see it now and then: it renews the old ones.
        in_use = not session.closed and time.monotonic() - session.lent < _SPARE_SECONDS
        with self._lending:
            if in_use and self._spare is None and not self._waiting and session.lender is self._pool:
                self._spare = session
                return
        session.lender.putconn(session)

    def _give_back_spare(self) -> None:
        with self._lending:
            session, self._spare = self._spare, None
        if session is not None and session.lender is not None:
            session.lender.putconn(session)

    def _no_connection(self) -> ExecutorError:
        if self._refusals:
            return connect_error(self._refusals[0], self._name)
        return TryAgain(
            f"{self._name}: no connection became free within {self._settings.pool_timeout:g} s; try again, "
            f"or raise {POOL_SIZE} (now {self._settings.pool_size})"
        )

    # Reading.

    def query(self, statement: Bound) -> list[Row]:
        def once() -> list[Row]:
            with self._session() as session:
                return session.rows(_encoded(statement[0]), statement[1])

        return self._trying(once)

    def read(self, work: Callable[[Connection], T]) -> T:
        def once() -> T:
            with self._session() as session:
                session.begin_reading()
                try:
                    return work(session)
                finally:
                    _roll_back(session)

        return self._trying(once)

    # Writing.

    def write(
        self, work: Callable[[Connection], T], done: Callable[[Connection], T | None] | None = None
    ) -> T:
        looks = False

        def once() -> T:
            nonlocal looks
            with self._session() as session:
                session.begin_writing(self._transaction_settings)
                try:
                    if looks and done is not None and (found := done(session)) is not None:
                        return found
                    result = work(session)
                    _commit(session)
                except _OutcomeUnknown:
                    looks = True
                    raise
                finally:
                    _roll_back(session)
                return result

        return self._trying(once)

    def import_executions(self, connection: Connection, rows: Iterable[Sequence[Any]], count: int) -> None:
        assert isinstance(connection, _Session)
        connection.copy_in(f"COPY executions ({', '.join(IMPORT_EXECUTION_PARAMETERS)}) FROM STDIN", rows)

    def append(self, connection: Connection, statement: Bound) -> None:
        assert isinstance(connection, _Session)
        connection.waiting.append(statement)

    def number_events(self, connection: Connection) -> None:
        connection.execute(NUMBERING, ())

    def hold_contents(self, connection: Connection) -> None:
        connection.execute(HOLD_CONTENTS, ())

    # Errors.

    def _trying(self, once: Callable[[], T]) -> T:
        """What `once` gives, after as many attempts as there is time for when it fails for what passes."""
        try:
            return once()
        except (psycopg.Error, _OutcomeUnknown) as cause:
            with self._translating():
                if not _passes(cause):
                    raise
                return self._again(once, cause)

    def _again(self, once: Callable[[], T], cause: BaseException) -> T:
        if _is_lost(cause):
            self._check_connections()
        for attempt in self._attempts(_passes, wait=0.02):
            with attempt:
                return once()
        raise AssertionError("the last attempt returns or raises")

    def _attempts(self, on: Callable[[Exception], bool], *, wait: float) -> Iterable[Any]:
        import stamina
        import structlog
        from stamina.instrumentation import LoggingOnRetryHook, set_on_retry_hooks

        # Unless the program has said where to, structlog prints to its output, in the middle of an answer.
        if not structlog.is_configured():
            set_on_retry_hooks([LoggingOnRetryHook])
        return stamina.retry_context(
            on=on, attempts=None, timeout=self._settings.retry_timeout, wait_initial=wait, wait_max=1.0
        )

    def _check_connections(self) -> None:
        """When one is gone, the others mostly are, too."""
        self._give_back_spare()
        if self._pool is not None:
            with suppress(psycopg.Error):
                self._pool.check()

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except _OutcomeUnknown as unknown:
            raise TryAgain(
                f"the connection to {self._name} was lost during a commit, which may or may not have happened; "
                "look before you repeat it"
            ) from unknown.__cause__
        except psycopg.Error as cause:
            error = database_error(cause, self._name)
            if error is None:
                raise
            raise error from cause

    # Conditions.

    def path_matches(self, pattern: str) -> Bound:
        return _PATH_MATCHES, (_server_pattern(pattern),)

    def text_occurs(self, text: str) -> Bound:
        return _TEXT_OCCURS, (text, text, text, text)

    def text_list(self, values: Sequence[str]) -> str:
        # Nothing here is equal to a text with NUL in it.
        return "{" + ",".join(_element(value) for value in values if "\0" not in value) + "}"

    def watch(self) -> Watch:
        return _ServerWatch(self._target)

    def close(self) -> None:
        with self._opening:
            pool, self._pool = self._pool, None
            while self._ready:
                self._ready.pop().close()
        self._give_back_spare()
        if pool is not None:
            pool.close()

    def _leave_to_parent(self) -> None:
        """In a forked child: neither uses nor closes what belongs to the parent.

        Closing would say goodbye to the server in the parent's name. So the connections get a reference
        nobody gives back.
        """
        inherited = [held for held in (self._pool, self._spare, *self._ready) if held is not None]
        self._forget_connections()
        if inherited:
            import ctypes

            for held in inherited:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))


_ENGINES: Final[weakref.WeakSet[PostgresqlEngine]] = weakref.WeakSet()


def _leave_connections_to_parent() -> None:
    for engine in list(_ENGINES):
        engine._leave_to_parent()


os.register_at_fork(after_in_child=_leave_connections_to_parent)


def _settings_of(durability: Durability, lock_timeout: float) -> str:
    """What a writing transaction sets for as long as it lasts, as one statement."""
    settings = {
        "lock_timeout": str(round(lock_timeout * 1000)),
        "idle_in_transaction_session_timeout": _IDLE_IN_TRANSACTION,
    }
    if durability == "full":
        # Nothing acknowledged is lost, also where an administrator preferred speed.
        settings["synchronous_commit"] = "on"
    return "SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())


def _commit(session: _Session) -> None:
    try:
        session.commit_work()
    except psycopg.Error as cause:
        if is_disconnected(cause):
            raise _OutcomeUnknown from cause
        raise


def _roll_back(session: _Session) -> None:
    """Does nothing after a commit. A session that cannot even do this is thrown away by its owner."""
    session.forget_work()
    if session.pgconn.transaction_status in (
        psycopg.pq.TransactionStatus.INTRANS,
        psycopg.pq.TransactionStatus.INERROR,
    ):
        with suppress(psycopg.Error):
            session.kept.execute(b"ROLLBACK")


def _passes(cause: BaseException) -> bool:
    """Whether the same work may succeed in a moment, and has certainly not been done, or will look."""
    if isinstance(cause, _OutcomeUnknown):
        return True
    return isinstance(cause, psycopg.Error) and (
        was_undone(cause) or _is_stale(cause) or is_disconnected(cause)
    )


def _may_open_soon(cause: BaseException) -> bool:
    # Without an error of the driver behind it, somebody has been waited for already.
    return isinstance(cause, TryAgain) and isinstance(cause.__cause__, psycopg.Error)


def _is_lost(cause: BaseException) -> bool:
    return isinstance(cause, _OutcomeUnknown) or is_disconnected(cause)


def _is_stale(cause: BaseException) -> bool:
    """A prepared statement whose answer has other columns or types since a migration."""
    return (
        isinstance(cause, psycopg.errors.FeatureNotSupported)
        and cause.diag.source_function == "RevalidateCachedQuery"
    )


def _element(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _server_pattern(pattern: str) -> str:
    """A regular expression of pathspec's, in the words of the server.

    There, groups have no names, `.` means line ends, too, `$` no place before one, and brackets know classes
    that pathspec's do not.
    """
    parts = ["^"]
    at = 0
    while at < len(pattern):
        match = _PIECE.match(pattern, at)
        assert match is not None
        at = match.end()
        piece = match[0]
        if piece.startswith("["):
            piece = _server_set(piece)
        parts.append(_REWORDED.get(piece, "(?:" if piece.startswith("(?P") else piece))
    return "".join(parts)


_PIECE: Final = re.compile(r"\(\?P<\w+>|\[\^?\]?(?:\\.|[^\]\\])*\]|\\.|.", re.DOTALL)
_SET_MEMBER: Final = re.compile(r"(?:\\(.)|(.))(?:-(?!$)(?:\\(.)|(.)))?", re.DOTALL)
_REWORDED: Final = {".": r"[^\n]", "$": r"\n?$", "^": ""}


def _server_set(text: str) -> str:
    """A bracket expression with every member written as its number."""
    negated = text.startswith("[^")
    members = []
    for first, plain, last, plain_last in _SET_MEMBER.findall(text[2 if negated else 1 : -1]):
        low, high = first or plain, last or plain_last
        members.append(_numbered(low) + (f"-{_numbered(high)}" if high else ""))
    return f"[{'^' if negated else ''}{''.join(members)}]"


def _numbered(character: str) -> str:
    return f"\\U{ord(character):08X}"
