"""The tables and indexes of the newest schema version, once for every engine.

Only storage-level types (text, integer, float, bytes) and server defaults: values are converted by the
records, never by the database layer. Columns stand in the order in which versions added them, so an
upgraded database and a fresh one are the same.

Rules kept so that the tables can be distributed by `correlation_id`: no triggers; no unique constraint or
foreign key of a table of ours that leaves the correlation out (the two tables of version 0 are as they
were found). Every id, time and key column sorts by bytes on every engine.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy
from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.type_api import TypeEngine

if TYPE_CHECKING:
    from executor.migrations.dialect import Database

metadata: Final = MetaData()

# Text that is compared, sorted or looked up: by bytes, whatever the collation of the database.
KEY: Final[TypeEngine[str]] = Text().with_variant(Text(collation="C"), "postgresql")

# Eight bytes on every engine, called what version 0 called it.
REAL: Final[TypeEngine[float]] = Float().with_variant(sqlalchemy.REAL(), "sqlite")

# Counts, positions and keys do not end at two thousand million; SQLite knows one kind of integer.
BIG: Final[TypeEngine[int]] = BigInteger().with_variant(Integer(), "sqlite")


class _Now(FunctionElement[str]):
    """UTC in whole seconds as version 0 writes it: `YYYY-MM-DD hh:mm:ss`."""

    inherit_cache = True
    type = Text()


@compiles(_Now)
def _now(element: _Now, compiler: SQLCompiler, **_: object) -> str:
    return "datetime('now')"


@compiles(_Now, "postgresql")
def _now_postgresql(element: _Now, compiler: SQLCompiler, **_: object) -> str:
    return "to_char(timezone('UTC', now()), 'YYYY-MM-DD HH24:MI:SS')"


NOW: Final = _Now()

executions: Final = Table(
    "executions",
    metadata,
    # Without NOT NULL, as version 0 has it: SQLite cannot add that later without writing the table anew.
    Column("execution_id", KEY, primary_key=True, nullable=True),
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
    # version 1
    Column("correlation_id", KEY),
    Column("parent_execution_id", KEY),
    Column("trigger_kind", KEY, server_default=text("'manual'")),
    Column("run_id", KEY),
    # version 2
    Column("workspace_id", KEY),
    Column("title", Text),
    Column("actor", KEY),
    Column("attempt", BIG),
    Column("error_code", KEY),
    Column("base_commit", KEY),
    Column("branch", KEY),
    Column("session", KEY),
)

# version 0
Index("idx_executions_status", executions.c.status)
Index("idx_executions_started_at", executions.c.started_at.desc())
Index("idx_executions_plan_id", executions.c.plan_id)
Index("idx_executions_verdict", executions.c.verdict)
Index("idx_executions_risk_level", executions.c.risk_level)
# version 1
Index(
    "idx_executions_correlation_id",
    executions.c.correlation_id,
    executions.c.started_at,
    executions.c.execution_id,
)
Index(
    "idx_executions_parent_execution_id",
    executions.c.parent_execution_id,
    executions.c.started_at,
    executions.c.execution_id,
)
Index(
    "idx_executions_trigger_kind",
    executions.c.trigger_kind,
    executions.c.started_at,
    executions.c.execution_id,
)
# version 5
Index(
    "idx_executions_status_started_at",
    executions.c.status,
    executions.c.started_at,
    executions.c.execution_id,
)
Index(
    "idx_executions_workspace_id",
    executions.c.workspace_id,
    executions.c.started_at,
    executions.c.execution_id,
)
# Partial: most rows have no run.
Index(
    "idx_executions_run_id",
    executions.c.run_id,
    executions.c.started_at,
    executions.c.execution_id,
    sqlite_where=executions.c.run_id.is_not(None),
    postgresql_where=executions.c.run_id.is_not(None),
)
Index("idx_executions_checksum", executions.c.checksum, executions.c.started_at)

execution_steps: Final = Table(
    "execution_steps",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True, nullable=True),
    Column("execution_id", KEY, ForeignKey("executions.execution_id", ondelete="CASCADE"), nullable=False),
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
    sqlite_autoincrement=True,
)
Index("idx_execution_steps_execution_id", execution_steps.c.execution_id)
Index("idx_execution_steps_step_name", execution_steps.c.step_name)
Index("idx_execution_steps_status", execution_steps.c.status)

# version 3. `position` is the cursor over all executions, ever growing in the order of commits.
# `data` is the JSON object of the event's own fields, ASCII-escaped.
execution_events: Final = Table(
    "execution_events",
    metadata,
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
Index("idx_execution_events_position", execution_events.c.position)
Index(
    "idx_execution_events_dismissal",
    execution_events.c.execution_id,
    execution_events.c.seq,
    execution_events.c.event,
    sqlite_where=execution_events.c.event.in_(("dismissed", "undismissed")),
    postgresql_where=execution_events.c.event.in_(("dismissed", "undismissed")),
)

# version 3. `correlation_id` is the source's.
execution_links: Final = Table(
    "execution_links",
    metadata,
    Column("source_id", KEY, nullable=False),
    Column("kind", KEY, nullable=False),
    Column("target_id", KEY, nullable=False),
    Column("correlation_id", KEY, nullable=False),
    PrimaryKeyConstraint("source_id", "kind", "target_id", "correlation_id"),
    sqlite_with_rowid=False,
)
Index("idx_execution_links_target_id", execution_links.c.target_id, execution_links.c.kind)

# version 4. Documents are JSON text as `models` defines them; several executions of a correlation
# (retries) share one changeset.
plans: Final = Table(
    "plans",
    metadata,
    Column("plan_id", KEY, nullable=False),
    Column("correlation_id", KEY, nullable=False),
    Column("document", Text, nullable=False),
    Column("created_at", KEY, nullable=False),
    PrimaryKeyConstraint("plan_id", "correlation_id"),
)
changesets: Final = Table(
    "changesets",
    metadata,
    Column("changeset_id", KEY, nullable=False),
    Column("correlation_id", KEY, nullable=False),
    Column("checksum", KEY, nullable=False),
    Column("document", Text, nullable=False),
    Column("created_at", KEY, nullable=False),
    PrimaryKeyConstraint("changeset_id", "correlation_id"),
)
decisions: Final = Table(
    "decisions",
    metadata,
    Column("decision_id", KEY, nullable=False),
    Column("correlation_id", KEY, nullable=False),
    Column("document", Text, nullable=False),
    Column("created_at", KEY, nullable=False),
    PrimaryKeyConstraint("decision_id", "correlation_id"),
)
# version 4. Exact bytes of files before and after, by their SHA-256.
contents: Final = Table(
    "contents",
    metadata,
    Column("sha256", KEY, nullable=False),
    Column("correlation_id", KEY, nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("sha256", "correlation_id"),
)
# version 4. One row a workspace, on every node alike.
workspaces: Final = Table(
    "workspaces",
    metadata,
    Column("workspace_id", KEY, primary_key=True),
    Column("host", KEY, nullable=False),
    Column("path", Text, nullable=False),
    Column("created_at", KEY, nullable=False),
)

# version 6. One a row: an execution is approved once. `document` is JSON text as `models` defines it.
approvals: Final = Table(
    "approvals",
    metadata,
    Column("execution_id", KEY, nullable=False),
    Column("correlation_id", KEY, nullable=False),
    Column("approval_id", KEY, nullable=False),
    Column("checksum", KEY, nullable=False),
    Column("document", Text, nullable=False),
    Column("created_at", KEY, nullable=False),
    Column("expires_at", KEY, nullable=False),
    PrimaryKeyConstraint("execution_id", "correlation_id"),
)
# What a retry of the same change finds.
Index("idx_approvals_correlation_id", approvals.c.correlation_id, approvals.c.checksum)

# version 7. How each test of a check came out, by the step that ran it.
test_results: Final = Table(
    "test_results",
    metadata,
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
# The history of one test.
Index("idx_test_results_test_id", test_results.c.test_id, test_results.c.execution_id)


def init_executor_db(db: Database) -> None:
    """Creates the tables of a new database or brings an existing one up to date.

    `db` is a path, a URL or an open connection outside a transaction. Does nothing to a database that is
    current. Raises SchemaTooNew, DatabaseDamaged, DatabaseUnavailable, TryAgain or MigrationFailed.
    """
    from executor.migrations import run_migrations

    run_migrations(db)


def get_db_connection(db: str | os.PathLike[str]) -> Any:
    """Opens one connection configured as every connection of ours is; the caller closes it.

    A `sqlite3.Connection` with rows of `sqlite3.Row`, or for a URL of PostgreSQL a `psycopg.Connection` with
    rows of dicts. Transactions are begun and ended by the caller. Makes no tables; that is
    `init_executor_db`. Raises DatabaseDamaged, DatabaseUnavailable, SchemaTooNew or TryAgain.
    """
    from executor.migrations.connection import connect
    from executor.migrations.target import DatabaseTarget

    target = DatabaseTarget.parse(db)
    if target.is_server:
        from psycopg.rows import dict_row

        from executor.migrations import server

        of_server = server.connect(target)
        of_server.row_factory = dict_row  # type: ignore[assignment]
        return of_server
    connection = connect(target)
    connection.row_factory = sqlite3.Row
    return connection


# version 8. Of a secret only its SHA-256 is kept. The same on every node.
tokens: Final = Table(
    "tokens",
    metadata,
    Column("token_id", KEY, primary_key=True),
    Column("kind", KEY, nullable=False),
    Column("name", KEY, nullable=False),
    Column("scopes", KEY, nullable=False),
    Column("secret_sha256", KEY, nullable=False),
    Column("created_at", KEY, nullable=False),
    Column("valid_until", KEY),
    Column("revoked_at", KEY),
)

# version 9. What the command of a step printed: the redacted, capped text, compressed by zlib; `size` is that of
# the text in bytes. `name` is what the artifact folder calls it.
step_logs: Final = Table(
    "step_logs",
    metadata,
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
