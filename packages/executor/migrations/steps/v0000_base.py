"""The tables every database has. A database with these and no record of versions is version 0.

Not a migration: it has no number of its own, and nothing leads back from it.
"""

from alembic.operations import Operations
from sqlalchemy import Column, ForeignKeyConstraint, Integer, PrimaryKeyConstraint, Text, text

from executor.migrations.operations import add_index, add_table
from executor.schema import BIG, KEY, NOW, REAL


def up(op: Operations) -> None:
    add_table(
        op,
        "executions",
        Column("execution_id", KEY, nullable=True),
        Column("plan_id", KEY, nullable=False),
        Column("changeset_id", KEY, nullable=False),
        Column("decision_id", KEY, nullable=False),
        Column("checksum", KEY, nullable=False),
        Column("verdict", KEY, nullable=False),
        Column("status", KEY, nullable=False),
        Column("risk_level", KEY),
        Column("affected_paths", Text),
        Column("started_at", KEY, nullable=False),
        Column("ended_at", KEY),
        Column("duration_seconds", REAL),
        Column("files_changed", BIG, server_default=text("0")),
        Column("verification_passed", Integer, server_default=text("0")),
        Column("health_checks_passed", Integer, server_default=text("0")),
        Column("rolled_back", Integer, server_default=text("0")),
        Column("artifact_path", Text),
        Column("error_message", Text),
        Column("error_step", KEY),
        Column("created_at", KEY, nullable=False, server_default=NOW),
        PrimaryKeyConstraint("execution_id"),
    )
    add_index(op, "idx_executions_status", "executions", ["status"])
    add_index(op, "idx_executions_started_at", "executions", ["started_at DESC"])
    add_index(op, "idx_executions_plan_id", "executions", ["plan_id"])
    add_index(op, "idx_executions_verdict", "executions", ["verdict"])
    add_index(op, "idx_executions_risk_level", "executions", ["risk_level"])
    add_table(
        op,
        "execution_steps",
        Column("id", BIG, primary_key=True, autoincrement=True, nullable=True),
        Column("execution_id", KEY, nullable=False),
        Column("step_num", BIG, nullable=False),
        Column("step_name", KEY, nullable=False),
        Column("status", KEY, nullable=False),
        Column("started_at", KEY, nullable=False),
        Column("ended_at", KEY),
        Column("duration_seconds", REAL),
        Column("error_code", KEY),
        Column("error_message", Text),
        Column("log_ref", Text),
        Column("metadata", Text),
        ForeignKeyConstraint(["execution_id"], ["executions.execution_id"], ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    add_index(op, "idx_execution_steps_execution_id", "execution_steps", ["execution_id"])
    add_index(op, "idx_execution_steps_step_name", "execution_steps", ["step_name"])
    add_index(op, "idx_execution_steps_status", "execution_steps", ["status"])
