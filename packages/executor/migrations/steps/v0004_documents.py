"""Plans, changesets, decisions and file contents are kept in the database, and who works where."""

from alembic.operations import Operations
from sqlalchemy import Column, LargeBinary, PrimaryKeyConstraint, Text

from executor.migrations.operations import add_table, drop_tables
from executor.schema import KEY


def up(op: Operations) -> None:
    add_table(
        op,
        "plans",
        Column("plan_id", KEY, nullable=False),
        Column("correlation_id", KEY, nullable=False),
        Column("document", Text, nullable=False),
        Column("created_at", KEY, nullable=False),
        PrimaryKeyConstraint("plan_id", "correlation_id"),
    )
    add_table(
        op,
        "changesets",
        Column("changeset_id", KEY, nullable=False),
        Column("correlation_id", KEY, nullable=False),
        Column("checksum", KEY, nullable=False),
        Column("document", Text, nullable=False),
        Column("created_at", KEY, nullable=False),
        PrimaryKeyConstraint("changeset_id", "correlation_id"),
    )
    add_table(
        op,
        "decisions",
        Column("decision_id", KEY, nullable=False),
        Column("correlation_id", KEY, nullable=False),
        Column("document", Text, nullable=False),
        Column("created_at", KEY, nullable=False),
        PrimaryKeyConstraint("decision_id", "correlation_id"),
    )
    add_table(
        op,
        "contents",
        Column("sha256", KEY, nullable=False),
        Column("correlation_id", KEY, nullable=False),
        Column("content", LargeBinary, nullable=False),
        PrimaryKeyConstraint("sha256", "correlation_id"),
    )
    add_table(
        op,
        "workspaces",
        Column("workspace_id", KEY, nullable=False),
        Column("host", KEY, nullable=False),
        Column("path", Text, nullable=False),
        Column("created_at", KEY, nullable=False),
        PrimaryKeyConstraint("workspace_id"),
    )


def down(op: Operations) -> None:
    drop_tables(op, "workspaces", "contents", "decisions", "changesets", "plans")
