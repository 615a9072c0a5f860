"""Executions know their correlation, their parent, why they ran and the run of a caller they belong to.

Rows that were there before stay as they are: NULL in a new column, `manual` as their trigger.
"""

from alembic.operations import Operations
from sqlalchemy import Column, text

from executor.migrations.operations import add_columns, add_index, drop_columns, drop_indexes
from executor.schema import KEY

INDEXED = ("correlation_id", "parent_execution_id", "trigger_kind")


def up(op: Operations) -> None:
    add_columns(
        op,
        "executions",
        Column("correlation_id", KEY),
        Column("parent_execution_id", KEY),
        Column("trigger_kind", KEY, server_default=text("'manual'")),
        Column("run_id", KEY),
    )
    for column in INDEXED:
        add_index(op, f"idx_executions_{column}", "executions", [column, "started_at", "execution_id"])


def down(op: Operations) -> None:
    drop_indexes(op, "executions", *(f"idx_executions_{column}" for column in INDEXED))
    drop_columns(op, "executions", "correlation_id", "parent_execution_id", "trigger_kind", "run_id")
