"""A database being changed: one transaction around all steps, and alembic's operations inside it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from executor.errors import InvalidInput, TryAgain
from executor.migrations.connection import BUSY_TIMEOUT_SECONDS, database_error, translating
from executor.migrations.ledger import rows

if TYPE_CHECKING:
    from alembic.operations import Operations

# A million rows take half a minute on a slow disk, and everybody else waits for it.
MIGRATION_WAIT_SECONDS: Final = 300.0


@contextmanager
def exclusive(
    connection: sqlite3.Connection, database: str, wait: float = MIGRATION_WAIT_SECONDS
) -> Iterator[None]:
    """Everything in the block is committed together or not at all. No one else writes meanwhile.

    Waits up to `wait` seconds for other writers and raises TryAgain after that, InvalidInput when the
    connection is inside a transaction. The connection's settings are the owner's again afterwards.
    """
    if _has_transaction(connection):
        raise InvalidInput(
            f"{database}: the connection has an open transaction; commit or roll it back first"
        )
    with _settings_for_migrating(connection), translating(database):
        _begin(connection, database, wait)
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            # A full disk makes SQLite roll back by itself.
            if _has_transaction(connection):
                connection.execute("ROLLBACK")
            raise


def _has_transaction(connection: sqlite3.Connection) -> bool:
    return connection.in_transaction


@contextmanager
def _settings_for_migrating(connection: sqlite3.Connection) -> Iterator[None]:
    owners = connection.isolation_level, connection.row_factory, connection.text_factory
    # Else the driver commits before DDL, and a failure leaves half a migration.
    connection.isolation_level = None
    connection.row_factory, connection.text_factory = None, str
    ((timeout,),) = rows(connection, "PRAGMA busy_timeout")
    ((foreign_keys,),) = rows(connection, "PRAGMA foreign_keys")
    # Dropping a table would delete its rows one by one, and with them what refers to them.
    connection.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA foreign_keys={foreign_keys}")
        connection.execute(f"PRAGMA busy_timeout={timeout}")
        connection.isolation_level, connection.row_factory, connection.text_factory = owners


def _begin(connection: sqlite3.Connection, database: str, wait: float) -> None:
    # The driver's own waiting cannot be interrupted, so it waits in slices.
    connection.execute("PRAGMA busy_timeout=1000")
    deadline = time.monotonic() + wait
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as cause:
            error = database_error(cause, database)
            if not isinstance(error, TryAgain) or time.monotonic() >= deadline:
                raise
        else:
            break
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_SECONDS * 1000:.0f}")


@contextmanager
def operations(connection: sqlite3.Connection) -> Iterator[Operations]:
    """Alembic's operations on a connection whose transaction is ours."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    engine = create_engine("sqlite://", creator=lambda: _Borrowed(connection), poolclass=NullPool)
    with engine.connect() as bind:
        yield Operations(MigrationContext.configure(bind))


class _Borrowed:
    """What SQLAlchemy sees of a connection it does not own: it runs statements and ends nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def cursor(self) -> sqlite3.Cursor:
        return self._connection.cursor()

    def create_function(self, *args: Any, **options: Any) -> None:
        """The owner's functions stay as they are."""

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...
