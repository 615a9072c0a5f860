"""Lists filtered by status, workspace, run or checksum read their page from an index."""

from alembic.operations import Operations
from sqlalchemy import text

from executor.migrations.operations import add_index, drop_indexes

INDEXES = {
    "idx_executions_status_started_at": ["status", "started_at", "execution_id"],
    "idx_executions_workspace_id": ["workspace_id", "started_at", "execution_id"],
    "idx_executions_run_id": ["run_id", "started_at", "execution_id"],
    "idx_executions_checksum": ["checksum", "started_at"],
}
PARTIAL = {"idx_executions_run_id": "run_id IS NOT NULL"}


def up(op: Operations) -> None:
    for name, columns in INDEXES.items():
        where = text(PARTIAL[name]) if name in PARTIAL else None
        add_index(op, name, "executions", columns, sqlite_where=where, postgresql_where=where)


def down(op: Operations) -> None:
    drop_indexes(op, "executions", *INDEXES)
