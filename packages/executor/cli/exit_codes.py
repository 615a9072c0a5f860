"""Exit codes: what a script may rely on."""

from __future__ import annotations

from enum import IntEnum

from executor.errors import (
    ApprovalRefused,
    ApprovalVoid,
    Conflict,
    ExecutorError,
    Interrupted,
    InvalidInput,
    NotFound,
    RollbackIncomplete,
    TryAgain,
    Unavailable,
)
from executor.models.execution import ExecutionRecord, ExecutionStatus, Verdict


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2
    NEEDS_APPROVAL = 3
    DENIED = 4
    ROLLBACK_INCOMPLETE = 5
    NOT_FOUND = 6
    CONFLICT = 7
    UNAVAILABLE = 69
    TRY_AGAIN = 75
    INTERRUPTED = 130


_BY_ERROR: tuple[tuple[type[ExecutorError], ExitCode], ...] = (
    (InvalidInput, ExitCode.USAGE),
    (NotFound, ExitCode.NOT_FOUND),
    (Conflict, ExitCode.CONFLICT),
    (ApprovalRefused, ExitCode.DENIED),
    (RollbackIncomplete, ExitCode.ROLLBACK_INCOMPLETE),
    (Unavailable, ExitCode.UNAVAILABLE),
    (TryAgain, ExitCode.TRY_AGAIN),
    (Interrupted, ExitCode.INTERRUPTED),
)
_CONFLICTS = frozenset(
    {"base_changed", "lock_held", "decision_mismatch", "wrong_workspace", ApprovalVoid.code}
)


def of_error(error: ExecutorError) -> ExitCode:
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), ExitCode.FAILED)


def of_outcome(record: ExecutionRecord) -> ExitCode:
    """The exit code that tells how an execution came out."""
    if record.status == ExecutionStatus.COMPLETED:
        return ExitCode.DONE
    if record.error_code == RollbackIncomplete.code:
        return ExitCode.ROLLBACK_INCOMPLETE
    if record.error_code == Interrupted.code:
        return ExitCode.INTERRUPTED
    if record.verdict == Verdict.DENY or record.error_code == "denied":
        return ExitCode.DENIED
    if record.awaiting_approval:
        return ExitCode.NEEDS_APPROVAL
    if record.error_code in _CONFLICTS:
        return ExitCode.CONFLICT
    return ExitCode.FAILED
