"""How a database gets to the newest schema, and back.

Importing this imports neither SQLAlchemy nor alembic; running steps does. A new, empty database is made
from the committed schema text without them.
"""

from typing import Final

from executor.migrations.backup import backup
from executor.migrations.connection import connect
from executor.migrations.dialect import Difference
from executor.migrations.downgrade import Downgrade, Loss, preview_rollback, rollback_migration
from executor.migrations.inspection import Applied, Status, check, status
from executor.migrations.ledger import get_current_version, is_current
from executor.migrations.migration import Migration, step
from executor.migrations.runner import Upgrade, ensure_current, open_current, pending, run_migrations, upgrade
from executor.migrations.target import DatabaseTarget

__all__ = [
    "MIGRATIONS",
    "Applied",
    "DatabaseTarget",
    "Difference",
    "Downgrade",
    "Loss",
    "Migration",
    "Status",
    "Upgrade",
    "backup",
    "check",
    "connect",
    "ensure_current",
    "get_current_version",
    "is_current",
    "open_current",
    "pending",
    "preview_rollback",
    "rollback_migration",
    "run_migrations",
    "status",
    "upgrade",
]

# One line a version, oldest first. A released line never changes.
MIGRATIONS: Final = (
    step(1, "executions know their correlation, parent, trigger and run", "v0001_graph"),
    step(2, "executions know their workspace, actor, attempt and git facts", "v0002_context"),
    step(3, "events, and links between executions", "v0003_events"),
    step(4, "plans, changesets, decisions, contents and workspaces", "v0004_documents"),
    step(5, "indexes for filtered lists", "v0005_list_indexes"),
    step(6, "approvals", "v0006_approvals"),
    step(7, "results of tests", "v0007_test_results"),
    step(8, "tokens", "v0008_tokens"),
    step(9, "logs of steps", "v0009_step_logs"),
)
