"""One execution from its first record to its last: the state machine around a transaction.

The order of writes makes every crash recoverable: the mark of a live process, the start record, the
journal, the files, the commit mark, the end record; only then do journal and mark go away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import structs

from executor.errors import (
    ApprovalVoid,
    BaseChanged,
    DecisionMismatch,
    ExecutorError,
    Interrupted,
    LockHeld,
    RollbackIncomplete,
    TryAgain,
    Unavailable,
    WorkspaceUnwritable,
)
from executor.governance.approvals import difference, expired
from executor.host.apply import Transaction
from executor.host.cancellation import CancelRequest, find_request
from executor.host.cause import cause_line
from executor.host.checks import CheckResult, run_check
from executor.host.effects import CheckEffects, Problems
from executor.host.environment import in_scratch
from executor.host.git import STATE_FOLDER
from executor.host.health import failure as health_failure
from executor.host.health import run_health_check
from executor.host.isolation import applied_in_scratch
from executor.host.lock import WorkspaceLock
from executor.host.reports import (
    UnreadableReport,
    count_outcomes,
    look_at_reports,
    read_report,
    read_report_file,
    read_written,
    with_report,
)
from executor.models.change import changeset_checksum
from executor.models.execution import (
    IN_SCRATCH,
    ISOLATED,
    EventType,
    ExecutionStatus,
    StepName,
    StepStatus,
    Verdict,
)
from executor.models.plan import Check, DriftRule

if TYPE_CHECKING:
    from pathlib import Path

    from executor.events.recorder import EventRecorder
    from executor.events.redaction import Redactor
    from executor.governance.gate import WriteGate
    from executor.host.artifacts import ArtifactFolder
    from executor.host.environment import Environment
    from executor.host.reports import Seen
    from executor.host.snapshot import Drift
    from executor.host.tree import WorkspaceTree
    from executor.models.approval import Approval
    from executor.models.change import Changeset
    from executor.models.decision import GovernanceDecision
    from executor.models.execution import TestResult
    from executor.models.plan import ChangePlan, HealthCheck
    from executor.models.times import Clock
    from executor.storage.base import ExecutionStorage

CHECK_FAILED: Final = "check_failed"
CHECK_TIMED_OUT: Final = "check_timed_out"
HEALTH_FAILED: Final = "health_check_failed"
DRIFTED: Final = "drift"
DENIED: Final = "denied"
# Failing tests of one check that become events; their results are all kept.
_FAILING_TESTS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an attempt needs of the host it runs in.

    `gate` judges by the policy as it is when it is called. `inside`: this process is a check of an execution
    in the same workspace, which holds the lock. `on_output` gets what checks print.
    """

    tree: WorkspaceTree
    state: Path
    store: ExecutionStorage
    gate: Callable[[], WriteGate]
    redactor: Redactor
    clock: Clock
    environ: Mapping[str, str]
    inside: bool
    on_output: Callable[[str], None] | None = None


@dataclass(slots=True)
class _Site:
    """Where checks run: the workspace, or with `isolated` a scratch copy of it. The change is applied there."""

    tree: WorkspaceTree
    state: Path
    transaction: Transaction
    environment: Environment
    isolated: bool = False
    effects: CheckEffects | None = None
    drift: Drift | None = None


class Stopped(Exception):
    """A step could not do its work; the attempt ends with this as its error."""

    def __init__(self, step: StepName, code: str, message: str) -> None:
        self.step, self.code, self.message = step, code, message
        super().__init__(message)


class Attempt:
    """Carries out one recorded execution. `run` is called once, or `resume` for one that was approved.

    `approval` covers the execution: its own, or that of an earlier attempt at the same change.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        execution_id: str,
        *,
        plan: ChangePlan,
        changeset: Changeset,
        decision: GovernanceDecision,
        folder: ArtifactFolder,
        recorder: EventRecorder,
        environment: Environment,
        cancel: threading.Event,
        wait_seconds: float,
        approval: Approval | None = None,
        steps_before: int = 0,
        began: float | None = None,
        database_url: str | None = None,
    ) -> None:
        self._around = surroundings
        self._approval = approval
        self._store = surroundings.store
        self._execution_id = execution_id
        self._plan = plan
        self._changeset = changeset
        self._decision = decision
        self._folder = folder
        self._recorder = recorder
        self._environment = environment
        # What opens the store from a scratch copy.
        self._database_url = database_url
        self._cancel = cancel
        self._wait_seconds = wait_seconds
        self._began = time.monotonic() if began is None else began
        self._step_num = steps_before
        self._transaction: Transaction | None = None
        self._here: _Site | None = None
        self._applied = 0
        self._verified = False
        self._healthy = False
        self._cancel_request: CancelRequest | None = None

    @property
    def allowed(self) -> bool:
        """Whether running it changes the workspace: the gate lets it, or a person has."""
        verdict = self._decision.verdict
        return verdict is Verdict.ALLOW or (verdict is Verdict.NEED_APPROVAL and self._approval is not None)

    def run(self) -> None:
        """Takes the execution as far as its decision lets it go, and records how it ended.

        Raises only when the record cannot be written: then the workspace is as before, and the mark of
        the process stays for recovery to finish the record.
        """
        decision = self._decision
        self._recorder.emit(
            EventType.GATE_DECIDED,
            {
                "decision_id": decision.decision_id,
                "verdict": decision.verdict.value,
                "risk_level": decision.effective_risk.value,
                "policy": decision.policy_name,
                "policy_hash": decision.policy_hash,
                "reasons": [_reason(rule.reason, rule.evidence) for rule in decision.rules if rule.reason],
            },
        )
        match decision.verdict:
            case Verdict.DENY:
                message = "; ".join(decision.reasons) or "the gate refused it"
                self._end(ExecutionStatus.FAILED, Stopped(StepName.VALIDATE, DENIED, f"denied: {message}"))
            case Verdict.NEED_APPROVAL if self._approval is not None:
                self._recorder.emit(EventType.APPROVED, covered_by(self._approval))
                self._change()
            case Verdict.NEED_APPROVAL:
                self._recorder.emit(EventType.APPROVAL_REQUESTED, {"reasons": list(decision.reasons)})
            case Verdict.ALLOW:
                self._change()

    def resume(self) -> None:
        """Goes on where `run` stopped for a person, who has approved since. Raises as `run` does."""
        # A captured change has its first step behind it.
        self._step_num = len(self._store.get_execution_steps(self._execution_id))
        self._change()

    def _change(self) -> None:
        with ExitStack() as held:
            try:
                try:
                    self._validate(held)
                    if self._plan.isolate:
                        self._verify_in_scratch()
                    self._backup()
                    self._apply()
                    self._verify()
                    self._verified = bool(self._plan.verification)
                    self._look_after_health()
                    self._commit()
                except Stopped as stopped:
                    self._undo(stopped)
                else:
                    self._end(ExecutionStatus.COMPLETED, None)
            except BaseException as cause:
                # Nothing can be recorded, or a bug: put the files back now, leave the record to recovery.
                if self._transaction is not None:
                    self._put_back(self._transaction, cause)
                raise
            if self._transaction is not None:
                self._transaction.close()

    def _put_back(self, transaction: Transaction, cause: BaseException) -> None:
        """Undoes what was done without recording it. Raises RollbackIncomplete for what has to wait for recovery."""
        problems: Sequence[tuple[str, str]] = ()
        try:
            if not transaction.committed:
                effects = None if self._here is None else self._here.effects
                report, others = (transaction.rollback(), []) if effects is None else effects.roll_back()
                problems = (*report.problems, *others)
        except WorkspaceUnwritable as error:
            problems = ((error.path, str(error)),)
        finally:
            # Whatever that raised: a journal this process holds on to, nobody can recover.
            transaction.detach()
        if problems:
            raise RollbackIncomplete(self._execution_id, problems) from cause

    # The steps.

    def _validate(self, held: ExitStack) -> None:
        with self._step(StepName.VALIDATE, ExecutionStatus.VALIDATING):
            around = self._around
            if around.inside:
                # Waiting for the execution that waits for this very check would never end.
                raise LockHeld(str(around.tree.root), "the execution whose check this is", 0.0)
            held.enter_context(
                WorkspaceLock.acquire(
                    around.tree,
                    around.state,
                    self._execution_id,
                    wait_seconds=self._wait_seconds,
                    clock=around.clock,
                )
            )
            self._confirm_decision()
            self._transaction = Transaction.prepare(
                around.tree,
                around.state,
                self._execution_id,
                self._changeset,
                workspace_id=self._decision.workspace_id,
            )
            self._here = _Site(around.tree, around.state, self._transaction, self._environment)

    def _confirm_decision(self) -> None:
        """The decision is about exactly this, the gate still says the same, and so does who approved.

        Raises DecisionMismatch, ApprovalVoid.
        """
        decision, plan, changeset = self._decision, self._plan, self._changeset
        gate = self._around.gate()
        bound = (
            ("workspace", decision.workspace_id, self._store.workspace_id),
            ("plan", decision.plan_id, plan.plan_id),
            ("changeset", decision.changeset_id, changeset.changeset_id),
            ("checksum", decision.changeset_checksum, changeset_checksum(changeset.changes)),
            ("policy", decision.policy_hash, gate.policy.digest),
        )
        for what, decided, actual in bound:
            if decided != actual:
                raise DecisionMismatch(what, decided, actual)
        again = gate.evaluate(plan, changeset, now=self._around.clock())
        if again.verdict is not decision.verdict:
            raise DecisionMismatch("verdict", decision.verdict.value, again.verdict.value)
        if again.verdict is Verdict.NEED_APPROVAL:
            self._confirm_approval(again)

    def _confirm_approval(self, again: GovernanceDecision) -> None:
        """Raises ApprovalVoid."""
        approval = self._approval
        assert approval is not None, "nothing gets here that a person has to decide about"
        if expired(approval, self._around.clock()):
            raise ApprovalVoid(self._execution_id, f"it was good until {approval.expires_at}")
        reason = difference(approval, self._plan, again)
        if reason is not None:
            raise ApprovalVoid(self._execution_id, reason)

    def _backup(self) -> None:
        with self._step(StepName.BACKUP, ExecutionStatus.BACKING_UP):
            self._in_progress.backup()

    def _apply(self) -> None:
        written: list[str] = []
        with self._step(StepName.APPLY, ExecutionStatus.APPLYING):
            try:
                self._in_progress.apply(on_file=lambda change: written.append(change.path))
            finally:
                self._applied = len(written)
            changes = {change.path: change for change in self._changeset.changes}
            self._recorder.emit_many(
                [
                    (
                        EventType.FILE_CHANGED,
                        {
                            "path": path,
                            "operation": changes[path].operation.value,
                            "old_sha256": changes[path].old_sha256,
                            "new_sha256": changes[path].new_sha256,
                        },
                    )
                    for path in written
                ]
            )

    def _verify_in_scratch(self) -> None:
        """The checks, before anything is written to the workspace."""
        around, name = self._around, StepName.VERIFY
        with ExitStack() as held:
            site: _Site | None = None
            for check in self._plan.verification:
                with self._step(name, ExecutionStatus.VERIFYING, log=True, metadata=IN_SCRATCH) as step:
                    try:
                        if site is None:
                            copy = applied_in_scratch(
                                around.tree,
                                around.state,
                                self._execution_id,
                                self._changeset,
                                environ=around.environ,
                                cancel=self._cancel,
                            )
                            tree, transaction = held.enter_context(copy)
                            environment = in_scratch(self._environment, str(tree.root), self._database_url)
                            site = _Site(tree, tree.root / STATE_FOLDER, transaction, environment, True)
                        self._check(name, check, step, site)
                    except (Unavailable, TryAgain):
                        raise
                    except (Stopped, ExecutorError) as error:
                        if self._cancel.is_set():
                            raise self._interrupted(name) from error
                        message = error.message if isinstance(error, Stopped) else str(error)
                        raise Stopped(
                            name,
                            ISOLATED + error.code,
                            f"in a scratch copy, the workspace is untouched: {message}",
                        ) from error

    def _verify(self) -> None:
        name = StepName.VERIFY
        for check in self._plan.verification:
            with self._step(name, ExecutionStatus.VERIFYING, log=True) as step:
                self._check(name, check, step, self._site)

    def _check(self, name: StepName, check: Check, step: _Step, site: _Site) -> None:
        """Runs one check and takes down what came of it. Raises Stopped when the change does not pass it."""
        report = self._folder.raw_report(self._step_num)
        seen = look_at_reports(site.tree.root, check)
        reporting = check
        if not check.shell:
            reporting = structs.replace(check, argv=with_report(check.argv, report))
        result = self._run(reporting, step, site, self._around.on_output)
        output = command_output(check, result, step.log_name)
        if site.isolated:
            output["where"] = "scratch"
        # What passes there runs once more in the workspace: its tests are not counted twice.
        failing = (
            [] if site.isolated and result.passed else self._take_reports(name, report, seen, output, site)
        )
        self._folder.remove_raw_report(self._step_num)
        self._recorder.emit(EventType.COMMAND_OUTPUT, output)
        self._recorder.emit_many(failing)
        drift = self._note_drift(site)
        if self._cancel.is_set():
            raise self._interrupted(name)
        if not result.passed:
            raise _failed_check(name, check, result)
        self._refuse_drift(drift, name, check.name)

    def _look_after_health(self) -> None:
        name = StepName.HEALTH
        warned = False
        for check in self._plan.health_checks:
            with self._step(name, ExecutionStatus.HEALTH_CHECKING, log=True) as step:
                result, tries = run_health_check(
                    check, partial(self._run, step=step, site=self._site), self._cancel
                )
                self._recorder.emit(EventType.COMMAND_OUTPUT, command_output(check, result, step.log_name))
                drift = self._note_drift(self._site)
                if self._cancel.is_set():
                    raise self._interrupted(name)
                self._refuse_drift(drift, name, check.name)
                if result.passed:
                    continue
                message = health_failure(check, result, tries)
                found = {
                    "check": check.name,
                    "kind": check.kind.value,
                    "target": check.target,
                    "tries": tries,
                    "message": message,
                }
                if check.critical:
                    self._recorder.emit(EventType.HEALTH_CHECK_FAILED, found)
                    raise Stopped(name, HEALTH_FAILED, message)
                warned = True
                self._recorder.emit(EventType.HEALTH_WARNING, found)
        self._healthy = bool(self._plan.health_checks) and not warned

    def _run(
        self, check: Check, step: _Step, site: _Site, on_output: Callable[[str], None] | None = None
    ) -> CheckResult:
        assert step.log is not None
        around = self._around
        if site.effects is None:
            site.effects = CheckEffects.watch(site.transaction, site.tree, site.state, around.environ)
        result = run_check(
            check,
            cwd=site.tree.root,
            log_path=step.log,
            environment=site.environment,
            redactor=around.redactor,
            on_output=on_output,
            cancel=self._cancel,
        )
        step.log_truncated = result.log_truncated
        return result

    def _refuse_drift(self, drift: Drift, name: StepName, check: str) -> None:
        if drift.changes and self._plan.drift is DriftRule.FAIL:
            changed = _some(drift.changed_paths)
            raise Stopped(name, DRIFTED, f"{check} changed {changed}; checks must not")

    def _take_reports(
        self, name: StepName, report: Path, seen: Sequence[Seen], output: dict[str, object], site: _Site
    ) -> list[tuple[EventType, Mapping[str, object]]]:
        """Keeps what the reports of a check say; returns the events of the tests that failed.

        What cannot be read is named in `output`: a report explains a failure, the exit code decides.
        """
        results: dict[str, TestResult] = {}
        errors: list[str] = []
        reads: list[Callable[[], bytes]] = [partial(read_written, site.tree.root, s) for s in seen]
        if report.exists():
            reads.append(partial(read_report_file, report.parent, report.name))
        for read in reads:
            try:
                data = read()
                found = read_report(data, self._execution_id, self._step_num, self._around.redactor)
            except UnreadableReport as error:
                errors.append(f"no results of tests: {error}")
                continue
            results |= {result.test_id: result for result in found}
            if read is reads[-1] and report.exists():
                text = self._around.redactor.redact(data.decode("utf-8", "replace"))
                self._folder.write_report(self._step_num, name, text.encode("utf-8", "replace"))
        self._store.record_test_results(list(results.values()))
        if results:
            output["tests"] = count_outcomes(list(results.values()))
        if errors:
            output["report_error"] = "; ".join(errors)
        failing = [result for result in results.values() if result.failing]
        return [(EventType.TEST_FAILED, _failed_test(result)) for result in failing[:_FAILING_TESTS]]

    def _note_drift(self, site: _Site) -> Drift:
        """What the checks so far have done to files that were there before, and what they made."""
        assert site.effects is not None
        drift = site.effects.look()
        if drift and drift != site.drift:
            site.drift = drift
            self._recorder.emit(EventType.DRIFT, drift.to_dict())
        return drift

    def _commit(self) -> None:
        """The last thing that can go wrong: from here on the change stays."""
        edits = self._in_progress.edits()
        if edits:
            path, why = edits[0]
            raise Stopped(StepName.APPLY, BaseChanged.code, f"{path}: {why} before the change was complete")
        try:
            self._in_progress.commit()
        except WorkspaceUnwritable as error:
            raise Stopped(StepName.APPLY, error.code, str(error)) from error

    # The end.

    def _undo(self, stopped: Stopped) -> None:
        """Brings the workspace back and records how that went."""
        transaction = self._transaction
        if transaction is None or not transaction.begun:
            unwanted = stopped.code == Interrupted.code and self._cancel_request is not None
            self._end(ExecutionStatus.CANCELLED if unwanted else ExecutionStatus.FAILED, stopped)
            return
        self._recorder.emit(EventType.ROLLBACK_START, {"reason": stopped.message})
        try:
            with self._step(StepName.ROLLBACK, None, cancellable=False):
                self._roll_back(transaction)
        except Stopped as failed:
            message = f"{stopped.message}; {failed.message}"
            self._end(ExecutionStatus.FAILED, Stopped(stopped.step, RollbackIncomplete.code, message))
        else:
            self._end(ExecutionStatus.ROLLED_BACK, stopped)

    def _roll_back(self, transaction: Transaction) -> None:
        """Raises RollbackIncomplete naming what is not as before."""
        others: Problems = []
        if self._here is None or self._here.effects is None:
            report = transaction.rollback()
        else:
            report, others = self._here.effects.roll_back()
        problems = (*report.problems, *others)
        self._recorder.emit(
            EventType.ROLLBACK_END,
            {
                "complete": not problems,
                "files_restored": len(report.restored),
                "files_untouched": len(report.untouched),
                "incomplete": [{"path": path, "why": why} for path, why in problems],
                "left_in_place": list(report.leftover_directories),
            },
        )
        if problems or report.displaced:
            self._rescue(transaction)
        if problems:
            raise RollbackIncomplete(self._execution_id, problems)

    def _rescue(self, transaction: Transaction) -> None:
        """Copies of what could not be put back, beside the artifacts, for a person to take from."""
        transaction.rescue(self._folder.rescued())

    def _end(self, status: ExecutionStatus, stopped: Stopped | None) -> None:
        redact = self._around.redactor.redact
        self._store.record_execution_end(
            self._execution_id,
            status,
            duration_seconds=time.monotonic() - self._began,
            files_changed=self._applied,
            verification_passed=self._verified,
            health_checks_passed=self._healthy,
            rolled_back=status is ExecutionStatus.ROLLED_BACK,
            error_message=redact(stopped.message) if stopped else None,
            error_step=stopped.step if stopped else None,
            error_code=stopped.code if stopped else None,
        )
        self._recorder.catch_up()

    # Steps.

    @property
    def _in_progress(self) -> Transaction:
        assert self._transaction is not None, "the validate step comes first"
        return self._transaction

    @property
    def _site(self) -> _Site:
        assert self._here is not None, "the validate step comes first"
        return self._here

    @contextmanager
    def _step(
        self,
        name: StepName,
        status: ExecutionStatus | None,
        *,
        log: bool = False,
        cancellable: bool = True,
        metadata: str | None = None,
    ) -> Iterator[_Step]:
        """Records the block as a step. Whatever it raises on purpose becomes Stopped."""
        if cancellable and self._cancel.is_set():
            raise self._interrupted(name)
        if status is not None:
            self._store.update_execution_status(self._execution_id, status)
        self._step_num += 1
        path = self._folder.step_log(self._step_num, name) if log else None
        step = _Step(path, str(path.relative_to(self._folder.path)) if path else None)
        step_id = self._store.record_step_start(
            self._execution_id, self._step_num, name, step.log_name, metadata=metadata
        )
        self._recorder.catch_up()
        began = time.monotonic()
        try:
            yield step
        except (Unavailable, TryAgain):
            raise
        except (Stopped, ExecutorError) as error:
            stopped = error if isinstance(error, Stopped) else Stopped(name, error.code, str(error))
            self._end_step(step_id, step, began, stopped)
            raise stopped from error
        self._end_step(step_id, step, began, None)

    def _interrupted(self, step: StepName) -> Stopped:
        self._cancel_request = request = find_request(self._around.state, self._execution_id)
        if request is None:
            return Stopped(step, Interrupted.code, "stopped by the user or a signal")
        because = f": {request.reason}" if request.reason else ""
        return Stopped(step, Interrupted.code, f"cancelled by {request.by}{because}")

    def _end_step(self, step_id: int, step: _Step, began: float, stopped: Stopped | None) -> None:
        output = None
        if step.log_name is not None:
            output = self._folder.output(step.log_name, truncated=step.log_truncated)
        self._store.record_step_end(
            step_id,
            StepStatus.FAILED if stopped else StepStatus.COMPLETED,
            duration_seconds=time.monotonic() - began,
            error_code=stopped.code if stopped else None,
            error_message=self._around.redactor.redact(stopped.message) if stopped else None,
            output=output,
        )
        self._recorder.catch_up()


def covered_by(approval: Approval) -> dict[str, object]:
    """The fields of `approved` where an earlier attempt was approved."""
    return {
        "approval_id": approval.approval_id,
        "approved_by": approval.approved_by,
        "expires_at": approval.expires_at,
        "covers": approval.execution_id,
    }


@dataclass(slots=True)
class _Step:
    """Where a running step may write what a command prints, and how the record names that file."""

    log: Path | None
    log_name: str | None
    log_truncated: bool = False


def _reason(reason: str, evidence: tuple[str, ...]) -> str:
    return f"{reason} ({_some(evidence)})" if evidence else reason


def _some(paths: Sequence[str], most: int = 5) -> str:
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(paths[:most]) + more


def _failed_check(step: StepName, check: Check, result: CheckResult) -> Stopped:
    code = CHECK_TIMED_OUT if result.timed_out else CHECK_FAILED
    cause = cause_line(result.tail) if result.error is None else ""
    return Stopped(step, code, f"{check.name} {result.summary}" + (f": {cause}" if cause else ""))


def _failed_test(result: TestResult) -> dict[str, object]:
    return {
        "id": result.test_id,
        "exception_type": result.exception_type,
        "message": result.message,
        "file": result.file,
        "line": result.line,
    }


def command_output(
    check: Check | HealthCheck, result: CheckResult, log_name: str | None
) -> dict[str, object]:
    """The fields of `command_output`: a reference to the log, not what it holds."""
    fields: dict[str, object] = {
        "command": check.name,
        "log": log_name,
        "exit_code": result.exit_code,
        "signal": result.signal,
        "timed_out": result.timed_out,
        "output_bytes": result.output_bytes,
        "log_truncated": result.log_truncated,
    }
    if result.log_error is not None:
        fields["log_error"] = result.log_error
    if result.left_running:
        fields["left_running"] = list(result.left_running)
    if result.survivors:
        fields["survivors"] = list(result.survivors)
    if not result.passed:
        # A check that fails for want of a variable is mended with --env NAME; here are the names.
        fields["withheld"] = list(result.withheld)
    return fields
