"""The one way to open a PostgreSQL database, and what its errors mean.

The driver is optional and imported when a server is named. Connections are in autocommit mode: whoever
wants a transaction begins and ends it. Nothing is set for a session that a pooler in transaction mode would
hand to somebody else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from executor.errors import (
    DatabaseDamaged,
    DatabaseUnavailable,
    ExecutorError,
    InvalidSettings,
    TryAgain,
)
from executor.migrations.target import DIRECT_URL_VARIABLE, DatabaseTarget

if TYPE_CHECKING:
    import psycopg

    ServerConnection = psycopg.Connection[tuple[Any, ...]]

INSTALL: Final = "pip install 'executor-graph[postgresql]'"

OLDEST_SERVER: Final = 140_000

# What libpq gets unless the URL or its own variables (PGCONNECT_TIMEOUT) say otherwise. Without keepalives
# a connection whose server is gone blocks for two hours.
_DEFAULTS: Final[Mapping[str, str]] = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
    "fallback_application_name": "executor",
}
_VARIABLES: Final = {"connect_timeout": "PGCONNECT_TIMEOUT"}

# The transaction was undone for a reason that passes: the same one may succeed when it is run again.
_UNDONE: Final = frozenset({"40001", "40P01", "55P03"})
# What a server says while it stops or starts, and when all its connections are taken.
_PASSING_REFUSAL: Final = re.compile(
    "starting up|shutting down|in recovery mode|not yet accepting connections|too many (clients|connections)"
    "|remaining connection slots|recovery state has not been yet reached"
)
_REFUSED_WHO: Final = re.compile(r"password authentication failed|role .* does not exist")
_REFUSED_HOST: Final = re.compile("no pg_hba.conf entry|authentication failed")
_REFUSED_DATABASE: Final = re.compile(r"database .* does not exist")
_NO_PASSWORD: Final = re.compile("no password supplied")
# Something answered and went away: mostly a server that stops.
_CUT_SHORT: Final = re.compile("closed the connection|reset by peer|SSL SYSCALL error|Broken pipe")
_UNENCRYPTED: Final = re.compile("SSL|certificate|GSSAPI")
# The words of the operating system, of libpq and of psycopg for nobody being there.
_NOBODY_THERE: Final = re.compile(
    "refused$|resolve|translate host|time(d )?out|unreachable|[Nn]o route|No such file|host is down",
    re.IGNORECASE,
)
_UNREACHABLE: Final = "cannot be reached; check that the server runs and that host and port are right"


def connect(
    db: str | DatabaseTarget, *, direct: bool = False, environ: Mapping[str, str] = os.environ
) -> ServerConnection:
    """Opens a connection in autocommit mode whose rows are tuples.

    `direct` goes past a pooler where the target knows how: for migrations and LISTEN. Creates no tables
    and upgrades nothing. Raises InvalidSettings, DatabaseUnavailable or TryAgain; no message holds a
    password.
    """
    target = DatabaseTarget.parse(db, environ)
    psycopg = driver()
    options = connection_options(target, direct=direct, environ=environ)
    try:
        connection: ServerConnection = psycopg.Connection.connect(**options)
    except psycopg.Error as cause:
        raise connect_error(cause, str(target)) from cause
    try:
        refuse_old_server(connection, str(target))
    except BaseException:
        connection.close()
        raise
    return connection


def connection_options(
    target: DatabaseTarget, *, direct: bool = False, environ: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """The arguments of `psycopg.Connection.connect`; a pool takes `conninfo` and the others as `kwargs`.

    Raises InvalidSettings when the URL holds what libpq does not know.
    """
    psycopg = driver()
    url = target.direct_url if direct and target.direct_url else target.url
    if url is None:
        raise InvalidSettings(
            f"{target} is no PostgreSQL database; give postgresql://user@host:port/database"
        )
    try:
        named = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        # Neither repeated nor chained: the driver's words quote parts of the URL.
        raise InvalidSettings(
            f"the URL of {target} has an option that PostgreSQL does not know, or a % that is not written %25"
        ) from None
    defaults = {
        name: value
        for name, value in _DEFAULTS.items()
        if name not in named and _VARIABLES.get(name, "") not in environ
    }
    return {"conninfo": url, **defaults, "autocommit": True, "client_encoding": "UTF8"}


def driver() -> Any:
    """The module `psycopg`. Raises DatabaseUnavailable with the command that installs it."""
    try:
        import psycopg
        import psycopg.conninfo
    except ImportError as cause:
        raise DatabaseUnavailable(f"PostgreSQL needs a driver that is not installed: {INSTALL}") from cause
    return psycopg


def refuse_old_server(connection: ServerConnection, database: str) -> None:
    if connection.info.server_version < OLDEST_SERVER:
        raise DatabaseUnavailable(
            f"{database} is on PostgreSQL {connection.info.parameter_status('server_version')}; "
            "Executor needs 14 or newer"
        )


def is_pooled(connection: ServerConnection) -> bool:
    """Whether a pooler stands between: it answers with a process id of its own when one connects.

    Then two transactions may run on two connections of the server, and what is set or locked for a session
    is lost or somebody else's.
    """
    from psycopg.rows import tuple_row

    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    return row is not None and row[0] != connection.info.backend_pid


def pooler_error(database: str, reason: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"{database}: {reason} needs a connection to the server itself, and a pooler stands between; "
        f"name the server in {DIRECT_URL_VARIABLE}"
    )


def name_of(connection: ServerConnection) -> str:
    """The database a connection leads to, without password."""
    info = connection.info
    if connection.closed:
        return "the database"
    host = info.host.replace("/", "%2F")
    return f"postgresql://{info.user}@{host}:{info.port}/{info.dbname}"


def connect_error(cause: psycopg.Error, database: str) -> ExecutorError:
    """Why no connection came about. The driver has no SQLSTATE for it, only the server's words."""
    if cause.sqlstate is not None and (error := database_error(cause, database)) is not None:
        return error
    reason = _reason(cause)
    if _PASSING_REFUSAL.search(reason):
        return TryAgain(f"{database} takes no connection at the moment; try again ({reason})")
    if _REFUSED_DATABASE.search(reason):
        return DatabaseUnavailable(f"{database} does not exist; make it (createdb) or correct the URL")
    if _NO_PASSWORD.search(reason):
        return DatabaseUnavailable(
            f"{database}: the server wants a password; write it into ~/.pgpass, PGPASSWORD or the URL"
        )
    if _REFUSED_WHO.search(reason):
        return DatabaseUnavailable(
            f"{database}: the server refused user or password; correct them ({reason})"
        )
    if _REFUSED_HOST.search(reason):
        return DatabaseUnavailable(f"{database}: the server lets this host or user not in ({reason})")
    if "FATAL:" in str(cause):
        # Perhaps in a language that is not known here.
        return DatabaseUnavailable(
            f"{database}: the server refused the connection; correct the URL, or let the user in ({reason})"
        )
    if _CUT_SHORT.search(reason):
        return TryAgain(f"the connection to {database} was lost; try again ({reason})")
    if _NOBODY_THERE.search(reason):
        return DatabaseUnavailable(f"{database} {_UNREACHABLE} ({reason})")
    if _UNENCRYPTED.search(reason):
        return DatabaseUnavailable(
            f"{database}: there is no encrypted connection; correct sslmode or the certificates ({reason})"
        )
    return DatabaseUnavailable(f"{database}: no connection; correct the URL or what it names ({reason})")


def database_error(cause: psycopg.Error, database: str) -> ExecutorError | None:
    """What an error of the driver means; None when it says nothing about the database as a whole."""
    state = cause.sqlstate
    if state is None:
        return _error_without_state(cause, database)
    if state in _UNDONE:
        return TryAgain(f"{database} is busy; try again ({_reason(cause)})")
    if state == "57014":
        return TryAgain(
            f"{database}: a statement took too long and was cancelled; try again, or raise statement_timeout "
            f"({_reason(cause)})"
        )
    if state == "53300":
        return TryAgain(f"{database} has no free connection; try again, or raise max_connections")
    if state == "0A000" and cause.diag.source_function == "RevalidateCachedQuery":
        return TryAgain(f"{database} was upgraded meanwhile; try again")
    if state.startswith("08") or state in ("25P03", "25P04", "57P01", "57P02", "57P03", "57P05"):
        return TryAgain(f"the connection to {database} was lost; try again ({_reason(cause)})")
    if state in ("26000", "42P05"):
        return DatabaseUnavailable(
            f"{database}: a pooler stands between that does not know prepared statements; set "
            f"EXECUTOR_DATABASE_PREPARE_THRESHOLD=never ({_reason(cause)})"
        )
    remedy = _UNAVAILABLE.get(state) or _UNAVAILABLE.get(state[:2])
    if remedy is not None:
        return DatabaseUnavailable(f"{database}: {remedy} ({_reason(cause)})")
    if state.startswith("XX00") and state != "XX000":
        return DatabaseDamaged(f"{database} is damaged; restore a dump ({_reason(cause)})")
    return None


_UNAVAILABLE: Final = {
    "22P05": "its encoding cannot hold this text; move to a database in UTF8 (executor db copy)",
    "25006": "it is read-only; name the primary server, or switch default_transaction_read_only off",
    "28": "the server refused user or password; correct them",
    "3D000": "there is no such database; make it (createdb) or correct the URL",
    "3F000": "no schema of search_path exists; make it, or set search_path for the user",
    "42501": "permission denied; let the user create and change tables in the schema (GRANT)",
    "53100": "the disk of the server is full; free some space",
    "53200": "the memory of the server is used up",
    "53": "the server has used up a resource",
    "57P04": "the database was dropped",
    "58": "the server could not read or write; look into its log",
}


def _error_without_state(cause: psycopg.Error, database: str) -> ExecutorError | None:
    """The driver itself noticed something: mostly that the connection is gone."""
    psycopg = driver()
    if isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError)):
        return TryAgain(f"the connection to {database} was lost; try again ({_reason(cause)})")
    return None


def was_undone(cause: BaseException) -> bool:
    """Whether the server has certainly undone the transaction, for a reason that passes.

    False after a lost connection: a COMMIT that was under way may have happened.
    """
    return getattr(cause, "sqlstate", None) in _UNDONE


def is_disconnected(cause: BaseException) -> bool:
    """Whether the connection is gone: the next statement needs another."""
    state = getattr(cause, "sqlstate", None)
    if state is None:
        psycopg = driver()
        return isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError))
    return state.startswith("08") or state in ("25P03", "57P01", "57P02", "57P03", "57P05")


@contextmanager
def translating(database: str) -> Iterator[None]:
    """Errors of the driver leave the block as `database_error` says; the others as they are."""
    psycopg = driver()
    try:
        yield
    except psycopg.Error as cause:
        error = database_error(cause, database)
        if error is None:
            raise
        raise error from cause


def _reason(cause: psycopg.Error) -> str:
    """The first line of what the server or the driver said."""
    text = cause.diag.message_primary or str(cause)
    first = text.strip().partition("\n")[0]
    return first.rpartition("FATAL:")[2].strip() or type(cause).__name__
