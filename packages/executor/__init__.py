"""The flight recorder and safety harness for automated changes.

Public names are imported on first use, so `import executor` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Changeset",
    "ExecutionFilter",
    "ExecutionRecord",
    "ExecutionStatus",
    "ExecutionStore",
    "ExecutorError",
    "HostExecutor",
    "RiskLevel",
    "StepRecord",
    "TriggerKind",
    "Verdict",
    "WriteGate",
    "__version__",
    "plan_change",
    "read_changeset",
    "read_check",
    "read_patch",
]

if TYPE_CHECKING:
    from executor.changes.document import read_changeset
    from executor.changes.patch import read_patch
    from executor.errors import ExecutorError
    from executor.governance.gate import WriteGate
    from executor.host.executor import HostExecutor
    from executor.models.change import Changeset
    from executor.models.execution import (
        ExecutionFilter,
        ExecutionRecord,
        ExecutionStatus,
        RiskLevel,
        StepRecord,
        TriggerKind,
        Verdict,
    )
    from executor.planner.commands import read_check
    from executor.planner.planner import plan_change
    from executor.storage.store import ExecutionStore

_HOME = {
    "Changeset": "executor.models.change",
    "ExecutionFilter": "executor.models.execution",
    "ExecutionRecord": "executor.models.execution",
    "ExecutionStatus": "executor.models.execution",
    "ExecutionStore": "executor.storage.store",
    "ExecutorError": "executor.errors",
    "HostExecutor": "executor.host.executor",
    "RiskLevel": "executor.models.execution",
    "StepRecord": "executor.models.execution",
    "TriggerKind": "executor.models.execution",
    "Verdict": "executor.models.execution",
    "WriteGate": "executor.governance.gate",
    "plan_change": "executor.planner.planner",
    "read_changeset": "executor.changes.document",
    "read_check": "executor.planner.commands",
    "read_patch": "executor.changes.patch",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'executor' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
