"""Puts in order what a dead process left: the workspace first, then the record, then the traces."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from executor.errors import LockHeld, RollbackIncomplete, WorkspaceNotFound, WrongWorkspace
from executor.events.recorder import EventRecorder
from executor.host.apply import Transaction
from executor.host.artifacts import ArtifactFolder
from executor.host.effects import CheckEffects, Problems
from executor.host.journal import Side, discard_journal, find_journal, sweep_journals
from executor.host.lock import WorkspaceLock
from executor.host.rollback import RecoveryReport, RollbackReport, recover_journal, rescue_journal
from executor.host.tree import WorkspaceTree
from executor.models.execution import EventType, ExecutionStatus, StepName, StepStatus

if TYPE_CHECKING:
    from executor.host.attempt import Surroundings
    from executor.host.journal import FoundJournal
    from executor.host.presence import Presence
    from executor.models.execution import ExecutionRecord

logger = logging.getLogger(__name__)

CUT_SHORT: Final = "cut_short"


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was done about one execution that was cut short.

    `side` says which state the workspace is in: as before the change, or after it. `incomplete` names the
    paths that could not be brought there, and why. `settled` is False when the next recovery has to try
    again.
    """

    execution_id: str
    side: Side
    incomplete: Sequence[tuple[str, str]] = ()
    settled: bool = True

    @property
    def complete(self) -> bool:
        return not self.incomplete

    @property
    def sentence(self) -> str:
        if self.incomplete:
            shown = "; ".join(f"{path}: {why}" for path, why in self.incomplete[:5])
            return f"recovered {self.execution_id}, but not every file could be put back ({shown})"
        if self.side is Side.AFTER:
            return f"recovered {self.execution_id}: it was done, the workspace is as after it"
        return f"recovered {self.execution_id}: it was cut short, the workspace is as before it"

    def to_dict(self) -> dict[str, Any]:
        return {"execution_id": self.execution_id, **self.outcome()}

    def outcome(self) -> dict[str, Any]:
        """What a `recovered` event says."""
        return {
            "outcome": self.side.value,
            "incomplete": [{"path": path, "why": why} for path, why in self.incomplete],
        }


def recover(presence: Presence, around: Surroundings, *, wait_seconds: float) -> Recovery | None:
    """Recovers the execution of a dead process; None when its workspace is in use or gone.

    Every step may be cut short and done again: the journal goes after the record is written, the mark of
    the process (the caller's to clear) after the journal.
    """
    root = Path(presence.root)
    if root == around.tree.root:
        return _recover_in(around.tree, presence, around, wait_seconds)
    # A linked worktree that shares the state directory.
    try:
        with WorkspaceTree(root, around.state) as tree:
            return _recover_in(tree, presence, around, wait_seconds)
    except WorkspaceNotFound:
        logger.warning("%s of execution %s is gone; nothing to recover", root, presence.execution_id)
        return None


def _recover_in(
    tree: WorkspaceTree, presence: Presence, around: Surroundings, wait_seconds: float
) -> Recovery | None:
    try:
        lock = WorkspaceLock.acquire(
            tree, around.state, presence.execution_id, wait_seconds=wait_seconds, clock=around.clock
        )
    except LockHeld:
        return None
    with lock:
        journal = find_journal(around.state, presence.execution_id)
        report, others = _settle(tree, journal, around) if journal else (None, [])
        recovery = _recovery(presence.execution_id, report, others, around)
        if journal is not None and report is not None and report.rollback is not None:
            _rescue(journal, report.rollback, around)
        _record(recovery, report, around)
        if journal is not None and report is not None and recovery.settled:
            discard_journal(journal)
        sweep_journals(around.state)
    return recovery


def _rescue(journal: FoundJournal, rollback: RollbackReport, around: Surroundings) -> None:
    """Copies of what the journal alone holds, beside the artifacts, before the journal goes."""
    if rollback.problems or rollback.displaced:
        folder = ArtifactFolder(around.state, journal.execution_id)
        folder.create()
        rescue_journal(journal, rollback, folder.rescued())


def _settle(
    tree: WorkspaceTree, journal: FoundJournal, around: Surroundings
) -> tuple[RecoveryReport | None, Problems]:
    try:
        transaction = Transaction.reopen(tree, journal)
    except WrongWorkspace:
        # The directory was replaced: what stands there now is not ours to change.
        logger.warning("%s is not the directory execution %s worked in", tree.root, journal.execution_id)
        return None, []
    others: Problems = []
    try:
        if not transaction.settled:
            # Checks may have been running: what they made and changed is undone with the rest.
            effects = CheckEffects.of_journal(transaction, tree, around.state, around.environ)
            if effects is not None:
                _, others = effects.roll_back()
    finally:
        transaction.detach()
    return recover_journal(tree, journal), others


def _recovery(
    execution_id: str, report: RecoveryReport | None, others: Problems, around: Surroundings
) -> Recovery:
    if report is None:
        # Nothing had begun, or all was over and only traces were left: the record knows which.
        record = around.store.get_execution(execution_id)
        done = record is not None and record.status == ExecutionStatus.COMPLETED
        return Recovery(execution_id, Side.AFTER if done else Side.BEFORE)
    rollback = report.rollback
    return Recovery(
        execution_id,
        report.side,
        incomplete=(*(rollback.problems if rollback else ()), *others),
        settled=rollback is None or not rollback.failed,
    )


def _record(recovery: Recovery, report: RecoveryReport | None, around: Surroundings) -> None:
    record = around.store.get_execution(recovery.execution_id)
    if record is None:
        return
    folder = ArtifactFolder(around.state, record.execution_id)
    folder.create()
    recorder = EventRecorder(around.store, record.execution_id, folder.events, redactor=around.redactor)
    if not record.ended and not record.awaiting_approval:
        _end(record, recovery, report, around, folder)
        edited = [{"path": path, "why": why} for path, why in report.edited] if report else []
        recorder.emit(EventType.RECOVERED, {**recovery.outcome(), "edited_since": edited})
    elif record.error_code == RollbackIncomplete.code and report is not None and recovery.complete:
        # Its own rollback could not do all of it, and said so; now the rest is done.
        recorder.emit(EventType.RECOVERED, {**recovery.outcome(), "edited_since": []})
    recorder.catch_up()
    ended = around.store.get_execution(record.execution_id)
    if ended is not None:
        folder.write_json("execution.json", ended.to_dict())


def _end(
    record: ExecutionRecord,
    recovery: Recovery,
    report: RecoveryReport | None,
    around: Surroundings,
    folder: ArtifactFolder,
) -> None:
    store = around.store
    steps = store.get_execution_steps(record.execution_id)
    done = recovery.side is Side.AFTER
    for step in steps:
        if step.status == StepStatus.RUNNING:
            status = StepStatus.COMPLETED if done else StepStatus.FAILED
            store.record_step_end(
                step.id,
                status,
                error_code=None if done else CUT_SHORT,
                error_message=None if done else "the process was killed",
                # What it had printed until then.
                output=folder.output(step.log_ref) if step.log_ref else None,
            )
    if done:
        passed = {step.step_name for step in steps if step.status == StepStatus.COMPLETED}
        store.record_execution_end(
            record.execution_id,
            ExecutionStatus.COMPLETED,
            files_changed=len(record.affected_paths),
            verification_passed=StepName.VERIFY in passed,
            health_checks_passed=StepName.HEALTH in passed,
        )
        return
    last = steps[-1].step_name if steps else StepName.VALIDATE.value
    message = f"the process was killed during {last}"
    failed_step = next((step for step in steps if step.status == StepStatus.FAILED), None)
    if failed_step is not None and failed_step.error_message:
        message = f"{failed_step.error_message}; then the process was killed"
        last = failed_step.step_name
    undone = report is not None and recovery.complete
    store.record_execution_end(
        record.execution_id,
        ExecutionStatus.ROLLED_BACK if undone else ExecutionStatus.FAILED,
        rolled_back=undone,
        error_message=message,
        error_step=StepName.APPLY if last == StepName.ROLLBACK else last,
        error_code=CUT_SHORT if recovery.complete else RollbackIncomplete.code,
    )
