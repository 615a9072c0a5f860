"""The flight recorder and safety harness for automated changes.

Public names are imported on first use, so `import executor` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
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
    "__version__",
]

if TYPE_CHECKING:
    from executor.errors import ExecutorError
    from executor.host.executor import HostExecutor
    from executor.models.execution import (
        ExecutionFilter,
        ExecutionRecord,
        ExecutionStatus,
        RiskLevel,
        StepRecord,
        TriggerKind,
        Verdict,
    )
    from executor.storage.store import ExecutionStore

_HOME = {
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
