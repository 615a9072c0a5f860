"""What the steps are written with: alembic's operations, each behind a look at what is there already.

A step runs a second time, outside the transaction, when it left something for later (`has_deferred`): on
PostgreSQL indexes of tables with rows, which are built while others read and write.
"""

from __future__ import annotations

from typing import Any

from alembic.operations import Operations
from sqlalchemy import Column, text
from sqlalchemy.schema import SchemaItem

from executor.migrations.dialect import Connection, Dialect, dialect_of


class NameTaken(Exception):
    """A table or index that is not ours has a name of ours."""


def has_deferred(op: Operations) -> bool:
    """Whether the step that has just run left something to be done outside a transaction; asked once."""
    return bool(op.get_context().opts.pop("executor_deferred", False))


def add_table(op: Operations, name: str, *items: SchemaItem, **options: Any) -> None:
    """Makes the table, or gives the table of this name the columns it lacks.

    Raises NameTaken when a missing column could not be added to a table with rows.
    """
    if not columns_of(op, name):
        op.create_table(name, *items, **options)
        return
    add_columns(op, name, *(item for item in items if isinstance(item, Column)))


def add_columns(op: Operations, table: str, *columns: Column[Any]) -> None:
    present = columns_of(op, table)
    for column in columns:
        if column.name in present:
            continue
        if column.primary_key or not column.nullable:
            raise NameTaken(
                f"the table {table} is there but has no column {column.name}, so it belongs to someone else; "
                f"rename it (ALTER TABLE {table} RENAME TO …)"
            )
        op.add_column(table, column)
    dialect, connection = _database(op)
    dialect.adapt_columns(connection, table, [column for column in columns if column.name in present])


def add_index(op: Operations, name: str, table: str, columns: list[str], **options: Any) -> None:
    """Makes the index; one of this name on other columns of the table, or an invalid one, gives way.

    A column may be followed by DESC. `options` go to `Operations.create_index`.
    """
    dialect, connection = _database(op)
    names = tuple(column.removesuffix(" DESC") for column in columns)
    owner = dialect.table_of_index(connection, name)
    if owner is not None and owner != table:
        raise NameTaken(f"an index {name} exists on the table {owner}; drop it (DROP INDEX {name})")
    if owner is not None and dialect.columns_of_index(connection, name) == names:
        return
    if dialect.must_defer_index(connection, table):
        op.get_context().opts["executor_deferred"] = True
        return
    how = dialect.index_options(connection)
    if owner is not None:
        op.drop_index(name, table, **how)
    parts = [text(column) if column.endswith(" DESC") else column for column in columns]
    op.create_index(name, table, parts, **options, **how)


def drop_tables(op: Operations, *tables: str) -> None:
    for table in tables:
        if columns_of(op, table):
            op.drop_table(table)


def drop_indexes(op: Operations, table: str, *names: str) -> None:
    dialect, connection = _database(op)
    for name in names:
        if dialect.table_of_index(connection, name) == table:
            op.drop_index(name, table)


def drop_columns(op: Operations, table: str, *columns: str) -> None:
    """Takes the columns away in place: rows keep their order, rowids and constraints."""
    present = columns_of(op, table)
    for column in columns:
        if column in present:
            op.drop_column(table, column)


def columns_of(op: Operations, table: str) -> list[str]:
    """Empty when there is no such table."""
    dialect, connection = _database(op)
    return dialect.columns_of(connection, table)


def _database(op: Operations) -> tuple[Dialect, Connection]:
    connection = op.get_context().opts["executor_connection"]
    return dialect_of(connection), connection
