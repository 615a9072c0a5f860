"""What the steps are written with: alembic's operations, each behind a look at what is there already.

Only the looks know the engine; everything that changes the database goes through `Operations`.
"""

from __future__ import annotations

from typing import Any

from alembic.operations import Operations
from sqlalchemy import Column, text
from sqlalchemy.schema import SchemaItem


class NameTaken(Exception):
    """A table or index that is not ours has a name of ours."""


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


def add_index(op: Operations, name: str, table: str, columns: list[str], **options: Any) -> None:
    """Makes the index; one of this name on other columns of the table gives way.

    A column may be followed by DESC. `options` go to `Operations.create_index`.
    """
    names = tuple(column.removesuffix(" DESC") for column in columns)
    owner = _table_of_index(op, name)
    if owner is not None and owner != table:
        raise NameTaken(f"an index {name} exists on the table {owner}; drop it (DROP INDEX {name})")
    if owner is not None:
        if _columns_of_index(op, name) == names:
            return
        op.drop_index(name, table)
    parts = [text(column) if column.endswith(" DESC") else column for column in columns]
    op.create_index(name, table, parts, **options)


def drop_tables(op: Operations, *tables: str) -> None:
    for table in tables:
        if columns_of(op, table):
            op.drop_table(table)


def drop_indexes(op: Operations, table: str, *names: str) -> None:
    for name in names:
        if _table_of_index(op, name) == table:
            op.drop_index(name, table)


def drop_columns(op: Operations, table: str, *columns: str) -> None:
    """Takes the columns away in place: rows keep their order, rowids and constraints."""
    present = columns_of(op, table)
    for column in columns:
        if column in present:
            op.drop_column(table, column)


def columns_of(op: Operations, table: str) -> list[str]:
    """Empty when there is no such table."""
    return _look(op, "SELECT name FROM pragma_table_info(?)", table)


def _table_of_index(op: Operations, name: str) -> str | None:
    owners = _look(op, "SELECT tbl_name FROM sqlite_master WHERE type = 'index' AND name = ?", name)
    return owners[0] if owners else None


def _columns_of_index(op: Operations, name: str) -> tuple[str, ...]:
    return tuple(_look(op, "SELECT name FROM pragma_index_info(?) ORDER BY seqno", name))


def _look(op: Operations, sql: str, name: str) -> list[str]:
    return [row[0] for row in op.get_bind().exec_driver_sql(sql, (name,))]
