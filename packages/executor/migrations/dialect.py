"""What the ledger, the runner and the inspection ask of a database brand.

The modules `executor.migrations.sqlite` and `executor.migrations.postgresql` answer, each as a whole. Which
of them is asked, the connection says; so a caller's own connection is as good as one of ours.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from executor.errors import ExecutorError, InvalidInput
from executor.migrations.target import DatabaseTarget

if TYPE_CHECKING:
    import psycopg
    from alembic.operations import Operations
    from sqlalchemy import Column as DeclaredColumn

Connection: TypeAlias = "sqlite3.Connection | psycopg.Connection[Any]"
Database: TypeAlias = "str | os.PathLike[str] | DatabaseTarget | sqlite3.Connection | psycopg.Connection[Any]"

# A million rows take half a minute on a slow disk, and everybody else waits for it.
MIGRATION_WAIT_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Column:
    type: str
    not_null: bool
    default: str | None
    key_position: int


@dataclass(frozen=True, slots=True)
class Index:
    """`columns` are the indexed parts in order, a descending one followed by DESC."""

    table: str
    columns: tuple[str, ...]
    unique: bool
    partial: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """Tables with their columns, foreign keys as (table, column, parent, parent column, on delete)."""

    tables: dict[str, dict[str, Column]]
    indexes: dict[str, Index]
    foreign_keys: frozenset[tuple[str, ...]] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as the version has it. `kind` is stable and safe to match on.

    A difference that is not `harmful` (an own column, a step of a deleted execution) needs no repair.
    """

    kind: str
    name: str
    message: str
    harmful: bool = True


class Transaction(Protocol):
    """The transaction of a migration, with nobody else migrating."""

    def outside(self) -> AbstractContextManager[Operations]:
        """Commits, gives operations that run by themselves, and begins anew when the block is done."""
        ...


class Dialect(Protocol):
    """Every function takes a connection of this brand and leaves its owner's settings as they were."""

    @property
    def CREATE_LEDGER(self) -> str: ...

    @property
    def SCHEMA_TEXT(self) -> Path:
        """What a new database is made from."""
        ...

    def rows(self, connection: Any, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Plain tuples; `?` stands for each value."""
        ...

    def name_of(self, connection: Any) -> str:
        """What messages call the database."""
        ...

    def error_of(self, cause: BaseException, database: str) -> ExecutorError | None:
        """What an error of this driver means for the database as a whole."""
        ...

    def translating(self, database: str) -> AbstractContextManager[None]:
        """Errors of the driver leave the block as `error_of` says; the others as they are."""
        ...

    def is_empty(self, connection: Any) -> bool:
        """Whether nothing at all is in it, so that the schema text can be run."""
        ...

    def columns_of(self, connection: Any, table: str) -> list[str]:
        """Empty when there is no such table."""
        ...

    def table_of_index(self, connection: Any, name: str) -> str | None: ...

    def columns_of_index(self, connection: Any, name: str) -> tuple[str, ...]:
        """Empty when the index cannot be used."""
        ...

    def holds_ours(self, connection: Any) -> bool:
        """Whether all our tables have our columns, and all our indexes are on exactly ours."""
        ...

    def fingerprint(self, connection: Any) -> object:
        """Differs after a change of tables, columns or indexes."""
        ...

    def exclusive(self, connection: Any, database: str, wait: float) -> AbstractContextManager[Transaction]:
        """One transaction, committed at the end or undone, while nobody else migrates.

        Waits up to `wait` seconds and raises TryAgain after that, InvalidInput inside a transaction.
        """
        ...

    def operations(self, connection: Any) -> AbstractContextManager[Operations]:
        """Alembic's operations on a connection whose transaction is ours."""
        ...

    def adapt_columns(self, connection: Any, table: str, columns: Sequence[DeclaredColumn[Any]]) -> None:
        """Makes columns that are there sort as they are declared."""
        ...

    def must_defer_index(self, connection: Any, table: str) -> bool:
        """Whether building an index now would keep others from the table for long."""
        ...

    def index_options(self, connection: Any) -> dict[str, Any]:
        """What `create_index` and `drop_index` need to be told."""
        ...

    def read_layout(self, connection: Any) -> Layout:
        """All tables and indexes but the engine's own and the ledger; those of users too."""
        ...

    def layout_of_version(self, version: int) -> Layout:
        """What `read_layout` gives for an empty database after the steps up to this version."""
        ...

    def damages(self, connection: Any) -> Iterator[Difference]:
        """What is wrong with the database beside its layout."""
        ...

    def own_objects(self, connection: Any, ours: Layout) -> list[tuple[str, str]]:
        """Type and name of every object of the user's that works."""
        ...

    def broken(self, connection: Any, before: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """Those of `before` that do not work any more, as `type name`, each with the reason."""
        ...

    def blocked_by(self, error: BaseException) -> tuple[str, str] | None:
        """The user's object that a failed step down would have broken, with the reason."""
        ...


def dialect_of(connection: object) -> Dialect:
    """Raises InvalidInput for what is no connection of a database that is supported."""
    if isinstance(connection, sqlite3.Connection):
        from executor.migrations import sqlite

        return sqlite
    # Whoever has such a connection has imported the driver.
    driver = sys.modules.get("psycopg")
    if driver is not None and isinstance(connection, driver.Connection):
        from executor.migrations import postgresql

        return postgresql
    raise InvalidInput(f"{type(connection).__name__} is no connection; give one of sqlite3 or psycopg")


def is_connection(db: object) -> bool:
    return not isinstance(db, (str, os.PathLike, DatabaseTarget))
