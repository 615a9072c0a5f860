"""How each test of a check came out."""

from alembic.operations import Operations
from sqlalchemy import Column, PrimaryKeyConstraint, Text

from executor.migrations.operations import add_index, add_table, drop_tables
from executor.schema import BIG, KEY, REAL


def up(op: Operations) -> None:
    add_table(
        op,
        "test_results",
        Column("correlation_id", KEY, nullable=False),
        Column("execution_id", KEY, nullable=False),
        Column("step_num", BIG, nullable=False),
        Column("test_id", KEY, nullable=False),
        Column("outcome", KEY, nullable=False),
        Column("duration_seconds", REAL),
        Column("exception_type", KEY),
        Column("message", Text),
        Column("file", KEY),
        Column("line", BIG),
        PrimaryKeyConstraint("execution_id", "step_num", "test_id", "correlation_id"),
        sqlite_with_rowid=False,
    )
    add_index(op, "idx_test_results_test_id", "test_results", ["test_id", "execution_id"])


def down(op: Operations) -> None:
    drop_tables(op, "test_results")
