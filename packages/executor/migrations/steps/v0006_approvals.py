"""Who approved what, and until when."""

from alembic.operations import Operations
from sqlalchemy import Column, PrimaryKeyConstraint, Text

from executor.migrations.operations import add_index, add_table, drop_tables
from executor.schema import KEY


def up(op: Operations) -> None:
    add_table(
        op,
        "approvals",
        Column("execution_id", KEY, nullable=False),
        Column("correlation_id", KEY, nullable=False),
        Column("approval_id", KEY, nullable=False),
        Column("checksum", KEY, nullable=False),
        Column("document", Text, nullable=False),
        Column("created_at", KEY, nullable=False),
        Column("expires_at", KEY, nullable=False),
        PrimaryKeyConstraint("execution_id", "correlation_id"),
    )
    add_index(op, "idx_approvals_correlation_id", "approvals", ["correlation_id", "checksum"])


def down(op: Operations) -> None:
    drop_tables(op, "approvals")
