"""How risky a change looks from its paths and its size alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from executor.changes.kinds import is_dependency_file, is_prose, is_test
from executor.models.change import Changeset, FileChange, Operation
from executor.models.execution import RiskLevel
from executor.models.plan import Check, RiskReason

MANY_FILES: Final = 20
MANY_LINES: Final = 500


def _evidence(changes: Sequence[FileChange]) -> str:
    shown = ", ".join(change.path for change in changes[:5])
    return f"{shown} and {len(changes) - 5} more" if len(changes) > 5 else shown


def risk_reasons(
    changeset: Changeset, verification: Sequence[Check], unverified: Sequence[str] = ()
) -> Iterator[RiskReason]:
    """Every reason to expect trouble, in a fixed order. `unverified` is code that no check is known to cover."""
    changes = changeset.changes
    code = [c for c in changes if not is_prose(c.path)]
    if code and not verification:
        yield RiskReason(
            level=RiskLevel.HIGH, reason="no check verifies this change", evidence=_evidence(code)
        )
    elif uncovered := [c for c in code if c.path in unverified]:
        yield RiskReason(
            level=RiskLevel.HIGH, reason="no check covers part of this change", evidence=_evidence(uncovered)
        )
    deleted = [c for c in changes if c.operation is Operation.DELETE]
    if deleted:
        yield RiskReason(level=RiskLevel.MEDIUM, reason="deletes files", evidence=_evidence(deleted))
    dependencies = [c for c in changes if is_dependency_file(c.path)]
    if dependencies:
        yield RiskReason(
            level=RiskLevel.MEDIUM,
            reason="changes dependencies or the build",
            evidence=_evidence(dependencies),
        )
    weakened = [c for c in changes if is_test(c.path) and c.lines_removed > c.lines_added]
    if weakened:
        yield RiskReason(
            level=RiskLevel.MEDIUM,
            reason="takes away more test lines than it adds",
            evidence=_evidence(weakened),
        )
    executable = [c for c in changes if (c.new_mode or 0) & 0o111 and not (c.old_mode or 0) & 0o111]
    if executable:
        yield RiskReason(
            level=RiskLevel.MEDIUM, reason="makes files executable", evidence=_evidence(executable)
        )
    if len(changes) > MANY_FILES:
        yield RiskReason(
            level=RiskLevel.MEDIUM, reason="touches many files", evidence=f"{len(changes)} files"
        )
    lines = changeset.lines_added + changeset.lines_removed
    if lines > MANY_LINES:
        yield RiskReason(level=RiskLevel.MEDIUM, reason="changes many lines", evidence=f"{lines} lines")
