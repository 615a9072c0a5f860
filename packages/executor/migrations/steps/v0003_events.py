"""What happened during an execution, and relations between executions that are not the cause."""

from alembic.operations import Operations
from sqlalchemy import Column, PrimaryKeyConstraint, Text, text

from executor.migrations.operations import add_index, add_table, drop_tables
from executor.schema import BIG, KEY


def up(op: Operations) -> None:
    add_table(
        op,
        "execution_events",
        Column("correlation_id", KEY, nullable=False),
        Column("execution_id", KEY, nullable=False),
        Column("seq", BIG, nullable=False),
        Column("position", BIG, nullable=False),
        Column("event", KEY, nullable=False),
        Column("timestamp", KEY, nullable=False),
        Column("data", Text, nullable=False, server_default=text("'{}'")),
        PrimaryKeyConstraint("execution_id", "seq", "correlation_id"),
        sqlite_with_rowid=False,
    )
    add_index(op, "idx_execution_events_position", "execution_events", ["position"])
    add_index(
        op,
        "idx_execution_events_dismissal",
        "execution_events",
        ["execution_id", "seq", "event"],
        sqlite_where=text("event IN ('dismissed', 'undismissed')"),
        postgresql_where=text("event IN ('dismissed', 'undismissed')"),
    )
    add_table(
        op,
        "execution_links",
        Column("source_id", KEY, nullable=False),
        Column("kind", KEY, nullable=False),
        Column("target_id", KEY, nullable=False),
        Column("correlation_id", KEY, nullable=False),
        PrimaryKeyConstraint("source_id", "kind", "target_id", "correlation_id"),
        sqlite_with_rowid=False,
    )
    add_index(op, "idx_execution_links_target_id", "execution_links", ["target_id", "kind"])


def down(op: Operations) -> None:
    drop_tables(op, "execution_events", "execution_links")
