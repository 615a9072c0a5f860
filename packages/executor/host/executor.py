"""Applies planned and judged changes to one workspace, and puts in order what was cut short."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from executor.errors import (
    AlreadyApproved,
    ApprovalRefused,
    ApprovalVoid,
    BaseChanged,
    CommitRefused,
    ExecutionExists,
    ExecutionNotFound,
    ExecutorError,
    InvalidChange,
    InvalidSettings,
    InvalidState,
    LockHeld,
    PayloadDropped,
    RevertConflict,
    RollbackIncomplete,
    TryAgain,
    Unavailable,
    UnsafePath,
    WorkspaceUnwritable,
    WrongWorkspace,
)
from executor.events.recorder import EventRecorder, Observer
from executor.events.redaction import Redactor
from executor.governance.approvals import difference, expired, make_approval, refusal
from executor.governance.gate import WriteGate
from executor.governance.policy import Policy
from executor.host.artifacts import ArtifactFolder
from executor.host.attempt import DENIED, Attempt, Stopped, Surroundings
from executor.host.cancellation import CancelRequest, forget_request, heeding, request_cancel
from executor.host.capture import capture, capture_environment
from executor.host.commit import CommitPlan, execution_of, find_commit
from executor.host.environment import DATABASE, INSIDE, WORKSPACE, Link, check_environment
from executor.host.facts import gather_facts
from executor.host.git import git_facts
from executor.host.journal import leaves_journal
from executor.host.lock import Holder, note_name, read_holder
from executor.host.notify import Notifier
from executor.host.presence import Presence, abandoned, any_marks, clear, is_live, present
from executor.host.recovery import Recovery, recover
from executor.host.revert import changes_back, title_back
from executor.host.scratch import ScratchCopy, remove_scratch
from executor.host.settings import load_health_checks, load_isolate, load_linked_folders, load_policy
from executor.host.transcript import keep_transcript, open_transcript
from executor.host.tree import WorkspaceTree
from executor.models.change import Changeset, changeset_checksum, sha256
from executor.models.execution import (
    ATTEMPT_TRIGGERS,
    EventType,
    ExecutionRecord,
    ExecutionStatus,
    LinkKind,
    RiskLevel,
    StepName,
    TriggerKind,
    Verdict,
)
from executor.models.ids import new_execution_id, new_id
from executor.models.plan import ChangePlan
from executor.models.times import Clock, utc_now
from executor.planner.commands import read_check
from executor.planner.planner import plan_change, with_required
from executor.planner.verification import find_verification
from executor.storage.location import create_state_directory, resolve_workspace, state_directory
from executor.storage.store import ExecutionStore

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from executor.models.approval import Approval
    from executor.models.change import FileChange
    from executor.models.decision import GovernanceDecision
    from executor.models.plan import CapturedCommand, Check
    from executor.storage.base import ExecutionStorage

# Error codes of what was cancelled without having run.
WITHDRAWN: Final = "withdrawn"
EXPIRED: Final = "approval_expired"

logger = logging.getLogger(__name__)

_AWAITING: Final = "awaiting approval"

NO_ENVIRONMENT: Final[tuple[str, ...]] = ()


class HostExecutor:
    """One workspace and the means to change it safely.

    `store` defaults to the workspace's own database, opened so that a recorded execution survives a loss
    of power. `policy` is what decisions are confirmed against; without one it is the work tree's own
    `.executor/policy.yaml`, read anew each time it counts. `environ` is where secrets to mask and the
    environment of checks come from. `on_check_output` gets what checks print, redacted, as it comes; it must not
    wait for anything, for the check waits for it.

    Raises WorkspaceNotFound, and what opening a store raises.
    """

    def __init__(
        self,
        workspace: str | os.PathLike[str] | None = None,
        *,
        store: ExecutionStorage | None = None,
        policy: Policy | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Clock = utc_now,
        on_check_output: Callable[[str], None] | None = None,
    ) -> None:
        self.on_check_output = on_check_output
        self.root: Final = resolve_workspace(workspace)
        self._environ: Final = dict(os.environ if environ is None else environ)
        self.state: Final = state_directory(self.root, self._environ)
        create_state_directory(self.state)
        self._owns_store = store is None
        self.store: Final = store or ExecutionStore(self.root, durability="full", environ=self._environ)
        self._policy: Final = policy
        self.tree: Final = WorkspaceTree(self.root, self.state)
        self._redactor: Final = Redactor(self._environ)
        self._clock: Final = clock
        self._notifier: Final = Notifier(
            self.root,
            self.state,
            store=self.store,
            environ=self._environ,
            redactor=self._redactor,
            clock=clock,
        )

    @property
    def policy(self) -> Policy:
        """What holds now. Raises InvalidPolicy."""
        return load_policy(self.root) if self._policy is None else self._policy

    def at_work(self) -> tuple[Holder, ExecutionRecord] | None:
        """Who is changing the workspace now, as far as it says so itself, and the execution."""
        holder = read_holder(self.state, note_name(self.tree))
        record = None if holder is None else self.store.get_execution(holder.execution_id)
        return None if holder is None or record is None or record.ended else (holder, record)

    def redact(self, text: str) -> str:
        """`text` as it may be written and shown."""
        return self._redactor.redact(text)

    @property
    def gate(self) -> WriteGate:
        """Judges by what holds now. Raises InvalidPolicy."""
        return WriteGate(self.policy)

    def close(self) -> None:
        self.tree.close()
        if self._owns_store:
            self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def execute(
        self,
        plan: ChangePlan,
        changeset: Changeset,
        decision: GovernanceDecision,
        *,
        correlation_id: str | None = None,
        parent_execution_id: str | None = None,
        trigger_kind: str = "manual",
        run_id: str | None = None,
        execution_id: str | None = None,
        actor: str | None = None,
        session: str | None = None,
        cancel: threading.Event | None = None,
        observer: Observer | None = None,
        wait_seconds: float = 0.0,
        reverts: str | None = None,
        transcript: Path | None = None,
    ) -> ExecutionRecord:
        """Carries `changeset` out as planned and decided; returns the execution as it came out.

        What a decision does not allow is recorded and not applied. Whatever goes wrong with the change or
        its checks is in the record (`status`, `error_step`, `error_code`) and is no exception. Setting
        `cancel` stops and rolls back. `observer` gets every event as it is recorded. The lock of the
        workspace is waited for `wait_seconds`. `reverts` is an execution whose change this one undoes,
        `transcript` a file of which a redacted copy is kept.

        Raises what recording a start raises (unknown parent, another correlation, …), ExecutionExists for
        an `execution_id` that is taken, WorkspaceUnwritable when there is no room for the artifacts,
        and Unavailable or TryAgain when the database fails: the workspace then is as before, or as after when
        all was done but the last record; the next recovery says which. RollbackIncomplete when the workspace could
        not be put back then: the next recovery tries again.
        """
        with self._begun(
            plan,
            changeset,
            decision,
            correlation_id=correlation_id,
            parent_execution_id=parent_execution_id,
            trigger_kind=trigger_kind,
            run_id=run_id,
            execution_id=execution_id,
            actor=actor,
            session=session,
            observer=observer,
            cancel=cancel,
            wait_seconds=wait_seconds,
            reverts=reverts,
        ) as (folder, attempt):
            if transcript is not None:
                self._keep_transcript(folder, transcript)
            if attempt is not None:
                attempt.run()
            return self._settled(folder.execution_id, folder)

    def capture(
        self,
        command: Check,
        plan: ChangePlan,
        propose: Callable[[tuple[FileChange, ...]], tuple[ChangePlan, Changeset, GovernanceDecision]],
        *,
        correlation_id: str | None = None,
        parent_execution_id: str | None = None,
        trigger_kind: str = "manual",
        run_id: str | None = None,
        actor: str | None = None,
        session: str | None = None,
        cancel: threading.Event | None = None,
        observer: Observer | None = None,
        on_output: Callable[[str], None] | None = None,
        wait_seconds: float = 0.0,
        transcript: Path | None = None,
    ) -> ExecutionRecord:
        """Runs `command` in a scratch copy and carries out what it changed, as `propose` plans and judges it.

        `plan` is kept until there is a change, and says how to run the command again.
        A command that fails, or whose change cannot be taken, leaves a failed execution and the workspace as
        it was; one that changes nothing a completed one. `on_output` gets what the command prints, redacted.
        `transcript` is a file that the command leaves; a redacted copy is kept, however the command ends.
        The lock of the workspace is not held while the command runs.

        Raises what `execute` and `propose` raise, and InvalidSettings.
        """
        links = load_linked_folders(self.root)
        self._notifier.check()
        execution_id = new_execution_id()
        folder = ArtifactFolder(self.state, execution_id)
        folder.create()
        folder.write_json("plan.json", plan)
        with self._present(execution_id, cancel) as cancel:
            facts = git_facts(self.root, environ=self._environ)
            record = self.store.record_execution_start(
                execution_id,
                plan.plan_id,
                plan.changeset_id,
                new_id("dec"),
                changeset_checksum(()),
                Verdict.ALLOW.value,
                RiskLevel.LOW.value,
                (),
                str(folder.path),
                correlation_id,
                parent_execution_id,
                trigger_kind,
                run_id,
                workspace_id=self.store.workspace_id,
                title=self._redactor.redact(plan.title),
                why=None if plan.why is None else self._redactor.redact(plan.why),
                actor=actor,
                session=session,
                base_commit=facts.commit if facts else None,
                branch=facts.branch if facts else None,
                plan=plan,
            )
            recorder = self._recorder(execution_id, folder, observer)
            recorder.catch_up()
            scratch = ScratchCopy(self.tree, self.state, execution_id, links=links, environ=self._environ)
            link = Link(
                execution_id, record.correlation_id or execution_id, str(scratch.root), self._database_url
            )
            began = time.monotonic()
            try:
                changes = capture(
                    self._surroundings(),
                    scratch,
                    command,
                    folder=folder,
                    recorder=recorder,
                    environment=capture_environment(self._environ, link),
                    cancel=cancel,
                    on_output=on_output,
                )
                documents = propose(changes) if changes else None
            except (Stopped, ExecutorError) as error:
                if isinstance(error, (Unavailable, TryAgain)):
                    raise
                stopped = error if isinstance(error, Stopped) else None
                self._end_capture(execution_id, began, recorder, error)
                if stopped is None:
                    self._settled(execution_id, folder)
                    raise
                return self._settled(execution_id, folder)
            finally:
                if transcript is not None:
                    self._keep_transcript(folder, transcript, scratch.root)
                scratch.remove()
            if documents is None:
                self._end_capture(execution_id, began, recorder, None)
                return self._settled(execution_id, folder)
            plan, changeset, decision = documents
            record = self.store.record_change(
                execution_id,
                plan=plan,
                changeset=changeset,
                decision=decision,
                base_contents=self._base_contents(changeset),
            )
            if self._write_documents(folder, recorder, plan, changeset, decision):
                self._attempt(
                    record,
                    documents,
                    folder,
                    recorder,
                    approval=self._covering(record, plan, decision),
                    cancel=cancel,
                    wait_seconds=wait_seconds,
                    steps_before=1,
                    began=began,
                ).run()
            return self._settled(execution_id, folder)

    def _keep_transcript(self, folder: ArtifactFolder, path: Path, scratch: Path | None = None) -> None:
        """Never fails the execution: it is about the change, and this is about how it came to be."""
        try:
            source = open_transcript(path, workspace=self.root, scratch=scratch)
            try:
                keep_transcript(folder, source, self._redactor)
            finally:
                os.close(source)
        except (OSError, WorkspaceUnwritable) as cause:
            reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else cause
            logger.warning("no transcript is kept: %s: %s", path, reason)

    def _end_capture(
        self,
        execution_id: str,
        began: float,
        recorder: EventRecorder,
        error: Stopped | ExecutorError | None,
    ) -> None:
        message = error.message if isinstance(error, Stopped) else str(error)
        self.store.record_execution_end(
            execution_id,
            ExecutionStatus.COMPLETED if error is None else ExecutionStatus.FAILED,
            duration_seconds=time.monotonic() - began,
            error_message=None if error is None else self._redactor.redact(message),
            error_step=None if error is None else StepName.CAPTURE,
            error_code=None if error is None else error.code,
        )
        recorder.catch_up()

    @property
    def _database_url(self) -> str | None:
        """What opens this store from another directory."""
        given = self._environ.get(DATABASE)
        if given or not isinstance(self.store, ExecutionStore):
            return given
        try:
            return f"sqlite:///{self.store.db_path.resolve()}"
        except InvalidSettings:
            return None

    def accept(
        self,
        plan: ChangePlan,
        changeset: Changeset,
        decision: GovernanceDecision,
        *,
        correlation_id: str | None = None,
        parent_execution_id: str | None = None,
        trigger_kind: str = "manual",
        run_id: str | None = None,
        execution_id: str | None = None,
        actor: str | None = None,
        session: str | None = None,
        reverts: str | None = None,
    ) -> ExecutionRecord:
        """Records what `execute` would carry out, and leaves it to `run_accepted`, which a later process may call.

        What is denied, or waits for a person, is so at once. Raises what `execute` raises.
        """
        with self._begun(
            plan,
            changeset,
            decision,
            correlation_id=correlation_id,
            parent_execution_id=parent_execution_id,
            trigger_kind=trigger_kind,
            run_id=run_id,
            execution_id=execution_id,
            actor=actor,
            session=session,
            reverts=reverts,
        ) as (folder, attempt):
            if attempt is not None and not attempt.allowed:
                attempt.run()
            return self._settled(folder.execution_id, folder)

    def run_accepted(
        self,
        execution_id: str,
        *,
        cancel: threading.Event | None = None,
        observer: Observer | None = None,
        wait_seconds: float = 0.0,
    ) -> ExecutionRecord:
        """Carries out what `accept` recorded; returns it as it came out, as `execute` does.

        Raises ExecutionNotFound, WrongWorkspace, InvalidState when it has begun already, or waits for a person.
        """
        record = self.store.get_execution(execution_id)
        if record is None:
            raise ExecutionNotFound(execution_id)
        if record.workspace_id != self.store.workspace_id:
            raise WrongWorkspace(execution_id, self.where(record.workspace_id))
        folder = ArtifactFolder(self.state, execution_id)
        folder.create()
        try:
            with self._present(execution_id, cancel) as cancel:
                record, documents = self._accepted(execution_id)
                plan, _, decision = documents
                self._attempt(
                    record,
                    documents,
                    folder,
                    self._recorder(execution_id, folder, observer),
                    approval=self._covering(record, plan, decision),
                    cancel=cancel,
                    wait_seconds=wait_seconds,
                ).run()
                return self._settled(execution_id, folder)
        except BlockingIOError as cause:
            raise InvalidState(execution_id, record.status, "another process runs it") from cause

    @contextmanager
    def _present(self, execution_id: str, cancel: threading.Event | None) -> Iterator[threading.Event]:
        """The process is marked while the block runs, and heeds who asks it to stop. Raises BlockingIOError.

        The mark stays where a journal does: there is more to do.
        """
        presence = Presence(execution_id, self.store.workspace_id, str(self.root), os.getpid())
        cancel = cancel or threading.Event()
        with present(self.state, presence) as mark, heeding(self.state, execution_id, cancel):
            yield cancel
            mark.stays = leaves_journal(self.state, execution_id)

    def _accepted(
        self, execution_id: str
    ) -> tuple[ExecutionRecord, tuple[ChangePlan, Changeset, GovernanceDecision]]:
        """What was accepted and has not begun. Raises InvalidState."""
        record = self.store.get_execution(execution_id)
        plan, decision = self.store.get_plan(execution_id), self.store.get_decision(execution_id)
        changeset = self.store.get_changeset(execution_id)
        if record is None or plan is None or decision is None or changeset is None:
            raise InvalidState(execution_id, "recorded without content", "it cannot be run")
        decided = any(event.event == EventType.GATE_DECIDED for event in self.store.list_events(execution_id))
        if record.status != ExecutionStatus.PENDING or decided:
            raise InvalidState(execution_id, record.status, "it has begun already")
        return record, (plan, changeset, decision)

    @contextmanager
    def _begun(
        self,
        plan: ChangePlan,
        changeset: Changeset,
        decision: GovernanceDecision,
        *,
        correlation_id: str | None,
        parent_execution_id: str | None,
        trigger_kind: str,
        run_id: str | None,
        execution_id: str | None,
        actor: str | None,
        session: str | None,
        cancel: threading.Event | None = None,
        observer: Observer | None = None,
        wait_seconds: float = 0.0,
        reverts: str | None = None,
    ) -> Iterator[tuple[ArtifactFolder, Attempt | None]]:
        """The start is recorded and the process marked while the block runs.

        Without room for the documents there is no attempt: the execution has ended as failed.
        """
        self._notifier.check()
        execution_id = execution_id or new_execution_id()
        if self.store.get_execution(execution_id) is not None:
            raise ExecutionExists(execution_id, ("content",))
        folder = ArtifactFolder(self.state, execution_id)
        folder.create()
        with self._present(execution_id, cancel) as cancel:
            facts = git_facts(self.root, environ=self._environ)
            record = self.store.record_execution_start(
                execution_id,
                plan.plan_id,
                changeset.changeset_id,
                decision.decision_id,
                changeset.checksum,
                decision.verdict.value,
                decision.effective_risk.value,
                changeset.paths,
                str(folder.path),
                correlation_id,
                parent_execution_id,
                trigger_kind,
                run_id,
                workspace_id=self.store.workspace_id,
                title=self._redactor.redact(plan.title),
                why=None if plan.why is None else self._redactor.redact(plan.why),
                actor=actor,
                session=session,
                base_commit=facts.commit if facts else None,
                branch=facts.branch if facts else None,
                plan=plan,
                changeset=changeset,
                decision=decision,
                base_contents=self._base_contents(changeset),
                reverts=reverts,
            )
            recorder = self._recorder(execution_id, folder, observer)
            attempt = None
            if self._write_documents(folder, recorder, plan, changeset, decision):
                attempt = self._attempt(
                    record,
                    (plan, changeset, decision),
                    folder,
                    recorder,
                    approval=self._covering(record, plan, decision),
                    cancel=cancel,
                    wait_seconds=wait_seconds,
                )
            yield folder, attempt

    def retry(
        self,
        execution_id: str,
        *,
        why: str | None = None,
        run_id: str | None = None,
        actor: str | None = None,
        session: str | None = None,
        timeout_seconds: float | None = None,
        environment: Sequence[str] = NO_ENVIRONMENT,
        isolate: bool | None = None,
        judged_as: Sequence[TriggerKind] = (),
        cancel: threading.Event | None = None,
        observer: Observer | None = None,
        wait_seconds: float = 0.0,
    ) -> ExecutionRecord:
        """Applies the stored changeset of an ended execution again, with the same checks, as its child.

        Raises what `plan_retry` and `execute` raise.
        """
        plan, changeset, decision = self.plan_retry(
            execution_id,
            why=why,
            timeout_seconds=timeout_seconds,
            environment=environment,
            isolate=isolate,
            judged_as=judged_as,
        )
        return self.execute(
            plan,
            changeset,
            decision,
            parent_execution_id=execution_id,
            trigger_kind=TriggerKind.RETRY,
            run_id=run_id,
            actor=actor,
            session=session,
            cancel=cancel,
            observer=observer,
            wait_seconds=wait_seconds,
            reverts=self.undoing(execution_id),
        )

    def undoing(self, execution_id: str) -> str | None:
        """The execution that this one undoes, or was meant to; its retries are meant to do the same."""
        links = self.store.list_links(execution_id)
        return next(
            (
                link.target_id
                for link in links
                if link.source_id == execution_id and link.kind == LinkKind.REVERTS
            ),
            None,
        )

    def plan_retry(
        self,
        execution_id: str,
        *,
        why: str | None = None,
        timeout_seconds: float | None = None,
        environment: Sequence[str] = NO_ENVIRONMENT,
        isolate: bool | None = None,
        judged_as: Sequence[TriggerKind] = (),
    ) -> tuple[ChangePlan, Changeset, GovernanceDecision]:
        """What applying the stored changeset of an ended execution again would be; records nothing.

        `timeout_seconds` and `environment` replace and add to what the checks had, `isolate` replaces what was
        asked for then. The gate decides anew, by
        the rules for retries, for what the first attempt was judged as, and for `judged_as`.

        Raises ExecutionNotFound, WrongWorkspace, InvalidState (completed, not ended, or its changeset was
        recorded without content), PayloadDropped and InvalidPolicy.
        """
        changeset, plan = self._stored(self._failed(execution_id))
        checks = [
            msgspec.structs.replace(
                check,
                timeout_seconds=timeout_seconds or check.timeout_seconds,
                environment=tuple(dict.fromkeys((*check.environment, *environment))),
            )
            for check in plan.verification
        ]
        gate = self.gate
        again = plan_change(
            changeset,
            workspace_id=self.store.workspace_id,
            now=self._clock(),
            verification=with_required(
                checks,
                gate.policy.checks_for(changeset.paths) if checks else (),
                timeout_seconds=timeout_seconds,
                environment=environment,
            ),
            health_checks=plan.health_checks,
            title=plan.title,
            why=self.redact(why) if why else plan.why,
            trigger_kind=TriggerKind.RETRY,
            drift=plan.drift,
            judged_as=(*judged_as, *plan.trigger_kinds),
            proposed_by=plan.proposed_by,
            unverified=plan.unverified,
            command=plan.command,
            isolate=plan.isolate if isolate is None else isolate,
        )
        return again, changeset, gate.evaluate(again, changeset, now=self._clock())

    def command_of(self, execution_id: str) -> tuple[CapturedCommand, ChangePlan]:
        """The command whose change a failed execution was, and its plan.

        Raises ExecutionNotFound, WrongWorkspace, InvalidState (completed, not ended, no command, or one that held
        a secret).
        """
        record = self._failed(execution_id)
        plan = self.store.get_plan(execution_id)
        command = None if plan is None else plan.command
        if plan is None or command is None:
            reason = (
                "its change was not made by a command that was kept; executor retry applies the change again"
            )
            raise InvalidState(execution_id, record.status, reason)
        if command.masked:
            reason = (
                "its command line held a secret, which is not kept; run it again with "
                f"executor run --parent {execution_id} --trigger retry -- COMMAND"
            )
            raise InvalidState(execution_id, record.status, reason)
        return command, plan

    def revert(
        self,
        execution_id: str,
        *,
        verification: Sequence[Check] | None = None,
        why: str | None = None,
        run_id: str | None = None,
        actor: str | None = None,
        session: str | None = None,
        trigger_kind: TriggerKind = TriggerKind.MANUAL,
        timeout_seconds: float | None = None,
        environment: Sequence[str] = NO_ENVIRONMENT,
        judged_as: Sequence[TriggerKind] = (),
        proposed_by: str | None = None,
        cancel: threading.Event | None = None,
        observer: Observer | None = None,
        wait_seconds: float = 0.0,
    ) -> ExecutionRecord:
        """Undoes a completed execution as its child; returns that as it came out, as `execute` does.

        What is undone already is left alone; then the answer is what `plan_revert` returns. Raises what
        `plan_revert` and `execute` raise.
        """
        planned = self.plan_revert(
            execution_id,
            verification=verification,
            why=why,
            trigger_kind=trigger_kind,
            timeout_seconds=timeout_seconds,
            environment=environment,
            judged_as=judged_as,
            proposed_by=proposed_by,
        )
        if isinstance(planned, ExecutionRecord):
            return planned
        return self.execute(
            *planned,
            parent_execution_id=execution_id,
            trigger_kind=trigger_kind,
            run_id=run_id,
            actor=actor,
            session=session,
            cancel=cancel,
            observer=observer,
            wait_seconds=wait_seconds,
            reverts=execution_id,
        )

    def plan_revert(
        self,
        execution_id: str,
        *,
        verification: Sequence[Check] | None = None,
        why: str | None = None,
        trigger_kind: TriggerKind = TriggerKind.MANUAL,
        timeout_seconds: float | None = None,
        environment: Sequence[str] = NO_ENVIRONMENT,
        judged_as: Sequence[TriggerKind] = (),
        proposed_by: str | None = None,
    ) -> tuple[ChangePlan, Changeset, GovernanceDecision] | ExecutionRecord:
        """What undoing a completed execution would be; records nothing.

        The way back is merged with what has changed since. Without `verification` it is verified as the
        execution was: by the checks that were named for it, else by those found for the files touched. What
        the policy requires comes on top, unless `verification` is empty. When everything is as before
        already, the execution that undid it is returned, or the execution itself when that was somebody else.

        Raises ExecutionNotFound, WrongWorkspace, InvalidState (not completed, or changed nothing),
        PayloadDropped, RevertConflict and InvalidPolicy.
        """
        record = self.store.get_execution(execution_id)
        if record is None:
            raise ExecutionNotFound(execution_id)
        if record.workspace_id != self.store.workspace_id:
            raise WrongWorkspace(execution_id, self.where(record.workspace_id))
        gate = self.gate
        undone_by = self.store.list_reverted([execution_id]).get(execution_id)
        try:
            changes = changes_back(self.tree, self.store, record, self._completed(record))
        except RevertConflict:
            if undone_by is None:
                raise
            # What has changed since has changed what the earlier revert left.
            changes = ()
        if not changes:
            return (self.store.get_execution(undone_by) if undone_by else None) or record
        changeset = Changeset.of(changes)
        checks, unverified = self._checks_back(
            execution_id, changeset, gate, verification, timeout_seconds, environment
        )
        plan = plan_change(
            changeset,
            workspace_id=self.store.workspace_id,
            now=self._clock(),
            verification=checks,
            health_checks=load_health_checks(self.root),
            title=title_back(self.redact(record.title or ", ".join(record.affected_paths[:2]))),
            why=self.redact(why) if why else None,
            trigger_kind=trigger_kind,
            drift=gate.policy.drift,
            judged_as=judged_as,
            proposed_by=proposed_by,
            unverified=unverified,
            isolate=load_isolate(self.root),
        )
        return plan, changeset, gate.evaluate(plan, changeset, now=self._clock())

    def _completed(self, record: ExecutionRecord) -> Changeset:
        """What can be undone. Raises InvalidState."""
        execution_id = record.execution_id
        if record.awaiting_approval:
            reason = f"nothing is applied yet; executor cancel {execution_id} withdraws it"
            raise InvalidState(execution_id, _AWAITING, reason)
        if not record.ended:
            reason = f"it has not ended yet; executor cancel {execution_id} stops it and puts everything back"
            raise InvalidState(execution_id, record.status, reason)
        if record.error_code == RollbackIncomplete.code:
            reason = f"some files could not be put back; executor show {execution_id} names them"
            raise InvalidState(execution_id, record.status, reason)
        if record.status != ExecutionStatus.COMPLETED:
            raise InvalidState(execution_id, record.status, "nothing of it is left in the workspace to undo")
        if not record.affected_paths:
            raise InvalidState(execution_id, record.status, "it changed nothing")
        changeset = self.store.get_changeset(execution_id)
        if changeset is None:
            raise InvalidState(execution_id, record.status, "its change was recorded without content")
        return changeset

    def _checks_back(
        self,
        execution_id: str,
        changeset: Changeset,
        gate: WriteGate,
        named: Sequence[Check] | None,
        timeout_seconds: float | None,
        environment: Sequence[str],
    ) -> tuple[list[Check], tuple[str, ...]]:
        """What verifies that an execution was undone, and the code that is then not verified.

        Checks that the planner found are found anew: tests that came with the change go with it.
        """
        if named is not None and not named:
            return [], ()
        plan = self.store.get_plan(execution_id)
        checks = list(named or ()) or [
            msgspec.structs.replace(
                check,
                timeout_seconds=timeout_seconds or check.timeout_seconds,
                environment=tuple(dict.fromkeys((*check.environment, *environment))),
            )
            for check in (plan.verification if plan else ())
            if not check.reason
        ]
        unverified: tuple[str, ...] = ()
        if not checks:
            found = find_verification(changeset, gather_facts(self.tree, changeset, self._environ))
            checks = [
                read_check(
                    check.command,
                    timeout_seconds=timeout_seconds,
                    environment=environment,
                    reason=check.reason,
                )
                for check in found.checks
            ]
            unverified = found.unverified
        required = gate.policy.checks_for(changeset.paths)
        return (
            with_required(checks, required, timeout_seconds=timeout_seconds, environment=environment),
            unverified,
        )

    def plan_commit(self) -> CommitPlan:
        """What has to be asked before an execution that is to end in a git commit. Raises InvalidSettings."""
        return CommitPlan(self.tree, self._environ)

    def commit(self, plan: CommitPlan, record: ExecutionRecord) -> str:
        """Makes the git commit of a completed execution, whose changeset `plan` has checked; returns its id.

        A link of the kind `commit` leads from the execution to it. Raises CommitRefused.
        """
        execution_id = record.execution_id
        changeset, why = self.store.get_changeset(execution_id), self.store.get_plan(execution_id)
        if changeset is None:
            raise CommitRefused("the change was recorded without content")
        folder = ArtifactFolder(self.state, execution_id)
        folder.create()
        commit = plan.make(record, changeset, why.why if why else None, folder.path / ".commit.index")
        self.store.add_link(execution_id, LinkKind.COMMIT, commit)
        return commit

    def commit_named(self, text: str) -> str | None:
        """The full id of the commit that a revision names in this repository; None when it names none.

        A commit that was made of an execution whose process was then killed gets the link it lacks.
        """
        commit = find_commit(self.root, text, self._environ)
        if commit is None:
            return None
        made_of = execution_of(self.root, commit, self._environ)
        record = None if made_of is None else self.store.get_execution(made_of.execution_id)
        if (
            record is not None
            and made_of is not None
            and record.status == ExecutionStatus.COMPLETED
            and record.workspace_id == self.store.workspace_id
            and set(record.affected_paths) == made_of.paths
            and not any(link.kind == LinkKind.COMMIT for link in self.store.list_links(record.execution_id))
        ):
            self.store.add_link(record.execution_id, LinkKind.COMMIT, commit)
        return commit

    def approve(self, execution_id: str, *, approver: str, reason: str | None = None) -> Approval:
        """Keeps a person's word that an execution may run; `resume` runs it.

        An execution of another workspace can be approved here, too, and runs there. Whether somebody is a
        person, and at a terminal, is the caller's to find out.

        Raises ExecutionNotFound, InvalidState when it does not await approval, AlreadyApproved,
        ApprovalRefused when `approver` proposed it and the policy does not let them approve it, and
        ApprovalVoid or BaseChanged when it could not run any more.
        """
        record, plan, changeset, decision = self._awaiting(execution_id)
        refused = refusal(plan, decision, approver=approver, actor=record.actor)
        if refused is not None:
            raise ApprovalRefused(execution_id, refused)
        own = record.workspace_id == self.store.workspace_id
        if own:
            try:
                self._refuse_void(execution_id, plan, changeset, decision)
            except (ApprovalVoid, BaseChanged):
                # Another's approval may have let it run between our two looks; then that is the answer.
                known = self.store.get_approval(execution_id)
                if known is not None:
                    raise AlreadyApproved(execution_id, known.approved_by, known.approved_at) from None
                raise
        approval = make_approval(
            execution_id,
            plan,
            decision,
            approved_by=approver,
            reason=None if reason is None else self._redactor.redact(reason),
            now=self._clock(),
        )
        self.store.record_approval(approval)
        if own:
            self._catch_up(record)
        return approval

    def resume(
        self,
        execution_id: str,
        *,
        cancel: threading.Event | None = None,
        observer: Observer | None = None,
        wait_seconds: float = 0.0,
    ) -> ExecutionRecord:
        """Runs an execution that was approved; returns it as it came out, as `execute` does.

        An approval that has run out, or no longer fits policy, files or rules, lets nothing run; the
        record then says so.

        Raises ExecutionNotFound, InvalidState when it does not await its run or nobody has approved it,
        AlreadyApproved when another process runs it, WrongWorkspace when it belongs to another one, LockHeld
        inside an execution of this workspace.
        """
        record, plan, changeset, decision = self._awaiting(execution_id)
        approval = self.store.get_approval(execution_id)
        if approval is None:
            reason = f"nobody has approved it yet; executor approve {execution_id} does"
            raise InvalidState(execution_id, _AWAITING, reason)
        if record.workspace_id != self.store.workspace_id:
            raise WrongWorkspace(execution_id, self.where(record.workspace_id))
        if self._surroundings().inside:
            raise LockHeld(str(self.root), "the execution whose check this is", 0.0)
        if expired(approval, self._clock()):
            return self._expire(execution_id, approval)
        folder = ArtifactFolder(self.state, execution_id)
        folder.create()
        try:
            with self._present(execution_id, cancel) as cancel:
                if self.store.begin_approved(execution_id):
                    folder.write_json("approval.json", approval)
                    self._attempt(
                        record,
                        (plan, changeset, decision),
                        folder,
                        self._recorder(execution_id, folder, observer),
                        approval=approval,
                        cancel=cancel,
                        wait_seconds=wait_seconds,
                    ).resume()
                    return self._settled(execution_id, folder)
        except BlockingIOError as cause:
            raise AlreadyApproved(execution_id, approval.approved_by, approval.approved_at) from cause
        raise AlreadyApproved(execution_id, approval.approved_by, approval.approved_at)

    def deny(self, execution_id: str, *, by: str, reason: str) -> ExecutionRecord:
        """Ends an execution that awaits approval: somebody does not want it. Takes an approval back, too.

        Raises ExecutionNotFound, InvalidState when it does not await approval, AlreadyApproved when it runs.
        """
        reason = self._redactor.redact(reason)
        return self._end_awaiting(
            execution_id,
            code=DENIED,
            message=f"denied by {by}: {reason}",
            denied={"denied_by": by, "reason": reason},
        )

    def withdraw(self, execution_id: str, *, by: str, reason: str | None = None) -> ExecutionRecord:
        """Ends an execution that awaits approval: it is not wanted any more. Raises as `deny` does."""
        because = f": {reason}" if reason else ""
        return self._end_awaiting(execution_id, code=WITHDRAWN, message=f"withdrawn by {by}{because}")

    def stop(self, execution_id: str, *, by: str, reason: str | None = None) -> None:
        """Asks the process that runs an execution to stop and roll back; does not wait for it.

        Raises ExecutionNotFound, WrongWorkspace, InvalidState when no process runs it.
        """
        record = self.store.get_execution(execution_id)
        if record is None:
            raise ExecutionNotFound(execution_id)
        if record.ended:
            raise InvalidState(execution_id, record.status, "it has ended")
        if record.workspace_id != self.store.workspace_id:
            raise WrongWorkspace(execution_id, self.where(record.workspace_id))
        if not is_live(self.state, execution_id):
            raise InvalidState(execution_id, record.status, "no process runs it")
        redacted = None if reason is None else self._redactor.redact(reason)
        request_cancel(self.state, execution_id, CancelRequest(by, redacted))
        if not is_live(self.state, execution_id):
            # It ended in between, and nobody is left to take the request away.
            forget_request(self.state, execution_id)

    def cancel_expired(self) -> list[ExecutionRecord]:
        """Ends the executions whose approval has run out before anybody ran them; returns them."""
        ended = []
        for execution_id in self.store.list_expired_approvals(self._clock()):
            approval = self.store.get_approval(execution_id)
            if approval is not None:
                ended.append(self._expire(execution_id, approval))
        return ended

    def _expire(self, execution_id: str, approval: Approval) -> ExecutionRecord:
        message = f"the approval by {approval.approved_by} ran out at {approval.expires_at}"
        try:
            return self._end_awaiting(execution_id, code=EXPIRED, message=message)
        except (InvalidState, AlreadyApproved):
            # Somebody else came to the same end, or began in the last moment.
            record = self.store.get_execution(execution_id)
            assert record is not None
            return record

    def recover(self, *, wait_seconds: float = 0.0) -> list[Recovery]:
        """Finishes or undoes what dead processes left in this state directory; returns what was done.

        What belongs to another workspace, or to one that stays in use for `wait_seconds`, is left for later.
        Raises WorkspaceUnwritable when one cannot be read or written, after all others are in order.
        """
        self._notifier.resume()
        if not any_marks(self.state):
            return []
        done: list[Recovery] = []
        refused: WorkspaceUnwritable | None = None
        with abandoned(self.state) as found:
            for presence in found:
                if presence.workspace_id != self.store.workspace_id:
                    continue
                remove_scratch(self.state, presence.execution_id)
                before = self.store.get_execution(presence.execution_id)
                try:
                    recovery = recover(presence, self._surroundings(), wait_seconds=wait_seconds)
                except WorkspaceUnwritable as cause:
                    # The others are put in order all the same; then this one is named, not passed over.
                    refused = refused or cause
                    continue
                if recovery is not None:
                    done.append(recovery)
                    self._tell_recovered(before, recovery)
                    if recovery.settled:
                        clear(self.state, presence.execution_id)
        if refused is not None:
            raise refused
        return done

    def _tell_recovered(self, before: ExecutionRecord | None, recovery: Recovery) -> None:
        """Before the mark goes: whoever is killed in between tells it once more, under the same id."""
        after = self.store.get_execution(recovery.execution_id)
        if after is not None and (after.ended or after.awaiting_approval):
            mended = after.error_code == RollbackIncomplete.code and recovery.complete
            self._notifier.tell(after, recovered=mended or after != before)

    def _failed(self, execution_id: str) -> ExecutionRecord:
        """One that can be tried again. Raises ExecutionNotFound, WrongWorkspace, InvalidState."""
        record = self.store.get_execution(execution_id)
        if record is None:
            raise ExecutionNotFound(execution_id)
        if record.workspace_id != self.store.workspace_id:
            raise WrongWorkspace(execution_id, self.where(record.workspace_id))
        if record.status == ExecutionStatus.COMPLETED:
            raise InvalidState(execution_id, "completed", "there is nothing to retry")
        if record.awaiting_approval:
            raise InvalidState(execution_id, "awaiting approval", "a person has to decide first")
        if not record.ended:
            raise InvalidState(execution_id, record.status, "it has not ended yet")
        return record

    def _stored(self, record: ExecutionRecord) -> tuple[Changeset, ChangePlan]:
        """What can be applied again. Raises InvalidState."""
        execution_id = record.execution_id
        changeset, plan = self.store.get_changeset(execution_id), self.store.get_plan(execution_id)
        if changeset is None and plan is not None and plan.command is not None:
            reason = f"its command left no change; executor retry {execution_id} --rerun runs it again"
            raise InvalidState(execution_id, record.status, reason)
        if changeset is None or plan is None:
            raise InvalidState(execution_id, record.status, "its change was recorded without content")
        dropped = self.store.get_payload_dropped(execution_id)
        if dropped is not None:
            raise PayloadDropped(execution_id, dropped.timestamp)
        if any(change.new_sha256 is not None and change.content is None for change in changeset.changes):
            raise InvalidState(execution_id, record.status, "the content of its change is not kept any more")
        return changeset, plan

    def where(self, workspace_id: str | None) -> str:
        """Host and path of a workspace, as far as they are known."""
        known = self.store.get_workspace(workspace_id) if workspace_id else None
        return f"{known.path} on {known.host}" if known else f"workspace {workspace_id}"

    def _recorder(
        self, execution_id: str, folder: ArtifactFolder, observer: Observer | None = None
    ) -> EventRecorder:
        return EventRecorder(
            self.store, execution_id, folder.events, redactor=self._redactor, observer=observer
        )

    def _write_documents(
        self,
        folder: ArtifactFolder,
        recorder: EventRecorder,
        plan: ChangePlan,
        changeset: Changeset,
        decision: GovernanceDecision,
    ) -> bool:
        """Whether there was room for them; without it the execution has ended as failed."""
        try:
            folder.write_json("plan.json", plan)
            folder.write_json("changeset.json", changeset)
            folder.write_json("decision.json", decision)
        except WorkspaceUnwritable as cause:
            self.store.record_execution_end(
                folder.execution_id,
                ExecutionStatus.FAILED,
                error_message=str(cause),
                error_step=StepName.VALIDATE,
                error_code=cause.code,
            )
            recorder.catch_up()
            return False
        return True

    def _attempt(
        self,
        record: ExecutionRecord,
        documents: tuple[ChangePlan, Changeset, GovernanceDecision],
        folder: ArtifactFolder,
        recorder: EventRecorder,
        *,
        approval: Approval | None,
        cancel: threading.Event | None,
        wait_seconds: float,
        steps_before: int = 0,
        began: float | None = None,
    ) -> Attempt:
        plan, changeset, decision = documents
        names = {name for check in plan.verification for name in check.environment}
        names.update(name for check in plan.health_checks for name in check.environment)
        link = Link(
            record.execution_id,
            record.correlation_id or record.execution_id,
            str(self.root),
            self._environ.get("EXECUTOR_DATABASE_URL"),
        )
        return Attempt(
            self._surroundings(),
            record.execution_id,
            plan=plan,
            changeset=changeset,
            decision=decision,
            folder=folder,
            recorder=recorder,
            environment=check_environment(self._environ, names, link=link),
            cancel=cancel or threading.Event(),
            wait_seconds=wait_seconds,
            approval=approval,
            steps_before=steps_before,
            began=began,
            database_url=self._database_url,
        )

    def _settled(self, execution_id: str, folder: ArtifactFolder) -> ExecutionRecord:
        """The record as it is now, with its copy beside the artifacts."""
        record = self.store.get_execution(execution_id)
        assert record is not None
        try:
            folder.write_json("execution.json", record.to_dict())
        except WorkspaceUnwritable as cause:
            # It has come out as the record says; to report anything else for want of the copy would be untrue.
            logger.warning("the artifacts of %s are incomplete: %s", execution_id, cause)
        if record.ended or record.awaiting_approval:
            self._notifier.tell(record)
        return record

    def _covering(
        self, record: ExecutionRecord, plan: ChangePlan, decision: GovernanceDecision
    ) -> Approval | None:
        """An approval of an earlier attempt at this same change that holds for this one, too."""
        if decision.verdict is not Verdict.NEED_APPROVAL or record.trigger_kind not in ATTEMPT_TRIGGERS:
            return None
        found = self.store.list_approvals(str(record.correlation_id), record.checksum)
        if not found:
            return None
        now = self._clock()
        attempts = {
            attempt.execution_id: attempt for attempt in self.store.get_attempt_tree(record.execution_id)
        }
        for approval in found:
            approved = attempts.get(approval.execution_id)
            # Who denies or withdraws what was approved takes the approval back.
            if approved is None or approved.status == ExecutionStatus.CANCELLED:
                continue
            if not expired(approval, now) and difference(approval, plan, decision) is None:
                return approval
        return None

    def _awaiting(
        self, execution_id: str
    ) -> tuple[ExecutionRecord, ChangePlan, Changeset, GovernanceDecision]:
        """An execution that waits for a person, and its documents.

        Raises ExecutionNotFound, AlreadyApproved when it runs by its approval, and InvalidState when it does
        not wait for other reasons, or what it would change is not kept any more.
        """
        record = self.store.get_execution(execution_id)
        if record is None:
            raise ExecutionNotFound(execution_id)
        if not record.awaiting_approval:
            approval = self.store.get_approval(execution_id)
            if approval is not None and not record.ended:
                raise AlreadyApproved(execution_id, approval.approved_by, approval.approved_at)
            raise InvalidState(execution_id, record.status, _why_not_awaiting(record))
        changeset, plan, decision = (
            self.store.get_changeset(execution_id),
            self.store.get_plan(execution_id),
            self.store.get_decision(execution_id),
        )
        if changeset is None or plan is None or decision is None:
            raise InvalidState(execution_id, _AWAITING, "its change was recorded without content")
        if any(change.new_sha256 is not None and change.content is None for change in changeset.changes):
            raise InvalidState(execution_id, _AWAITING, "the content of its change is not kept any more")
        return record, plan, changeset, decision

    def _refuse_void(
        self, execution_id: str, plan: ChangePlan, changeset: Changeset, decision: GovernanceDecision
    ) -> None:
        """Refuses an approval that would be void at once. Raises ApprovalVoid, BaseChanged."""
        gate = self.gate
        if gate.policy.digest != decision.policy_hash:
            raise ApprovalVoid(execution_id, "the policy has changed since the change was judged")
        again = gate.evaluate(plan, changeset, now=self._clock())
        if again.verdict is not decision.verdict:
            raise ApprovalVoid(execution_id, f"the gate says {again.verdict.value} now")
        changed = []
        for change in changeset.changes:
            try:
                found = self.tree.fingerprint(change.path)
            except UnsafePath as cause:
                changed.append((change.path, cause.reason))
                continue
            if (found.sha256 if found else None) != change.old_sha256:
                changed.append((change.path, "is not what it was" if found else "is gone"))
        if changed:
            raise BaseChanged(changed)

    def _end_awaiting(
        self, execution_id: str, *, code: str, message: str, denied: Mapping[str, object] | None = None
    ) -> ExecutionRecord:
        """Raises ExecutionNotFound, InvalidState, AlreadyApproved when it runs by its approval."""
        message = self._redactor.redact(message)
        if not self.store.cancel_awaiting(
            execution_id, error_code=code, error_message=message, denied=denied
        ):
            record = self.store.get_execution(execution_id)
            if record is None:
                raise ExecutionNotFound(execution_id)
            approval = self.store.get_approval(execution_id)
            if approval is not None and not record.ended:
                raise AlreadyApproved(execution_id, approval.approved_by, approval.approved_at)
            raise InvalidState(execution_id, record.status, _why_not_awaiting(record))
        record = self.store.get_execution(execution_id)
        assert record is not None
        if record.workspace_id == self.store.workspace_id:
            self._catch_up(record)
        return record

    def _catch_up(self, record: ExecutionRecord) -> None:
        """Brings the files of an execution up to what is recorded."""
        folder = ArtifactFolder(self.state, record.execution_id)
        folder.create()
        self._recorder(record.execution_id, folder).catch_up()
        folder.write_json("execution.json", record.to_dict())

    def _surroundings(self) -> Surroundings:
        inside = bool(self._environ.get(INSIDE)) and self._environ.get(WORKSPACE) == str(self.root)
        return Surroundings(
            tree=self.tree,
            state=self.state,
            store=self.store,
            gate=lambda: self.gate,
            redactor=self._redactor,
            clock=self._clock,
            environ=self._environ,
            inside=inside,
            on_output=self.on_check_output,
        )

    def _base_contents(self, changeset: Changeset) -> dict[str, bytes]:
        """What the files are before, as far as they are what the change was made for."""
        contents: dict[str, bytes] = {}
        for change in changeset.changes:
            if change.old_sha256 is None:
                continue
            try:
                found = self.tree.read(change.path)
            except (UnsafePath, InvalidChange):
                # The check before the first write will say so; there is nothing to keep.
                continue
            if found is not None and sha256(found.content) == change.old_sha256:
                contents[change.old_sha256] = found.content
        return contents


def _why_not_awaiting(record: ExecutionRecord) -> str:
    if not record.ended:
        return "it is running and does not wait for a person"
    because = f": {record.error_message}" if record.error_message else ""
    return f"it has ended{because}"
