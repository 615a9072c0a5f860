"""What the commands of steps printed."""

from alembic.operations import Operations
from sqlalchemy import Column, Integer, LargeBinary, PrimaryKeyConstraint, text

from executor.migrations.operations import add_table, drop_tables
from executor.schema import BIG, KEY


def up(op: Operations) -> None:
    add_table(
        op,
        "step_logs",
        Column("correlation_id", KEY, nullable=False),
        Column("execution_id", KEY, nullable=False),
        Column("name", KEY, nullable=False),
        Column("step_num", BIG, nullable=False),
        Column("size", BIG, nullable=False),
        Column("truncated", Integer, nullable=False, server_default=text("0")),
        Column("created_at", KEY, nullable=False),
        Column("content", LargeBinary, nullable=False),
        PrimaryKeyConstraint("execution_id", "name", "correlation_id"),
    )


def down(op: Operations) -> None:
    drop_tables(op, "step_logs")
