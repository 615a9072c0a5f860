"""Executions know where and for whom they ran: workspace, actor, session, attempt, git facts."""

from alembic.operations import Operations
from sqlalchemy import Column, Text

from executor.migrations.operations import add_columns, drop_columns
from executor.schema import BIG, KEY


def up(op: Operations) -> None:
    add_columns(
        op,
        "executions",
        Column("workspace_id", KEY),
        Column("title", Text),
        Column("actor", KEY),
        Column("attempt", BIG),
        Column("error_code", KEY),
        Column("base_commit", KEY),
        Column("branch", KEY),
        Column("session", KEY),
    )


def down(op: Operations) -> None:
    drop_columns(
        op,
        "executions",
        *("workspace_id", "title", "actor", "attempt", "error_code", "base_commit", "branch", "session"),
    )
