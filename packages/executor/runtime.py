"""The composition root: a directory and an environment become a workspace ready to be asked and changed."""

from __future__ import annotations

import shlex
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import structs

from executor.errors import (
    AlreadyApproved,
    ApprovalRefused,
    BaseChanged,
    ExecutionNotFound,
    InvalidChange,
    InvalidSettings,
    LockHeld,
    WrongWorkspace,
)
from executor.events.redaction import Redactor
from executor.governance.policy import Policy
from executor.host.artifacts import ArtifactFolder
from executor.host.capture import DEFAULT_TIMEOUT_SECONDS
from executor.host.environment import DATABASE
from executor.host.executor import HostExecutor
from executor.host.facts import gather_facts
from executor.host.git import find_workspace
from executor.host.kept_artifacts import KeptArtifacts
from executor.host.origin import Origin, account_name, approval_refusal, find_origin, outer_workspace
from executor.host.recovery import Recovery
from executor.host.reports import check_report_path
from executor.host.settings import (
    load_checks,
    load_health_checks,
    load_isolate,
    load_retention,
    write_defaults,
)
from executor.host.transcript import Transcript, check_transcript, read_transcript
from executor.models.approval import Approval
from executor.models.change import Changeset, FileChange
from executor.models.decision import GovernanceDecision
from executor.models.execution import ExecutionFilter, ExecutionRecord, TriggerKind
from executor.models.plan import CapturedCommand, ChangePlan, Check
from executor.models.times import Clock, utc_now
from executor.planner.commands import read_check
from executor.planner.planner import plan_change, with_required
from executor.planner.verification import FoundCheck, find_verification
from executor.storage.filters import exact_pattern
from executor.storage.location import (
    main_worktree,
    read_workspace_id,
    resolve_workspace,
    state_directory,
)
from executor.storage.store import ExecutionStore

if TYPE_CHECKING:
    from executor.changes.base import BaseEntry, BaseReader
    from executor.events.recorder import Observer
    from executor.host.commit import CommitPlan
    from executor.host.retention import Collector
    from executor.host.transfer import Export, Import, Place

InputKind = Literal["patch", "changeset"]

# How often a wait looks: soon at first, then seldom.
_FIRST_LOOK_SECONDS = 0.1
_SLOWEST_LOOK_SECONDS = 1.0

# A repair is new work; these are the parent's, and the parent's rules hold for them.
_GOES_ON = frozenset({TriggerKind.RETRY, TriggerKind.CHILD})

# How many earlier executions are looked at to tell whether a change is in place already.
_REPEATS = 20


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that has been read, planned and judged, and not yet applied."""

    plan: ChangePlan
    changeset: Changeset
    decision: GovernanceDecision
    origin: Origin
    # The execution it undoes.
    reverts: str | None = None
    transcript: Path | None = None


@dataclass(frozen=True, slots=True)
class _CheckOptions:
    """What every check of one proposal has in common."""

    timeout_seconds: float | None
    environment: tuple[str, ...]
    reports: tuple[str, ...]

    def read(self, command: str, reason: str = "") -> Check:
        return read_check(
            command,
            timeout_seconds=self.timeout_seconds,
            environment=self.environment,
            reason=reason,
            reports=self.reports,
        )


def open_runtime(start: Path, *, environ: Mapping[str, str], clock: Clock = utc_now) -> Runtime:
    """The workspace that `start` lies in: the nearest parent with `.executor`, else the git work tree.

    What Executor's variables say is read from `environ`, never from this process.

    Raises WorkspaceNotFound, InvalidSettings and what opening a store raises.
    """
    root = find_workspace(resolve_workspace(start))
    outer = outer_workspace(environ, root)
    if outer is not None:
        # The variables of an execution say where its own nested ones are recorded, not those of other places.
        environ = {name: value for name, value in environ.items() if name != DATABASE}
    store = ExecutionStore(root, durability="full", environ=environ)
    try:
        host = HostExecutor(root, store=store, environ=environ, clock=clock)
        if store.get_workspace(store.workspace_id) is None:
            store.register_workspace(store.workspace_id, socket.gethostname(), str(main_worktree(root)))
    except BaseException:
        store.close()
        raise
    return Runtime(root, store=store, host=host, environ=environ, clock=clock, outer=outer)


class Runtime:
    """One workspace with its store, gate and host."""

    def __init__(
        self,
        root: Path,
        *,
        store: ExecutionStore,
        host: HostExecutor,
        environ: Mapping[str, str],
        clock: Clock,
        outer: str | None = None,
    ) -> None:
        self.root = root
        # Of the execution this runs inside, when that is of another workspace.
        self.outer = outer
        self.store = store
        self.host = host
        self._environ = environ
        self._clock = clock

    def close(self) -> None:
        self.host.close()
        self.store.close()

    @property
    def workspace_id(self) -> str:
        return self.store.workspace_id

    @property
    def policy(self) -> Policy:
        """What changes are judged by now. Raises InvalidPolicy."""
        return self.host.policy

    def write_default_settings(self) -> list[Path]:
        """Writes the policy and the settings that are missing; returns which."""
        return write_defaults(self.root)

    @property
    def actor(self) -> str:
        return self.origin().actor

    def artifacts(self, execution_id: str) -> ArtifactFolder:
        return ArtifactFolder(self.state, execution_id)

    def kept_artifacts(self, execution_id: str) -> KeptArtifacts:
        """What can be read here of an execution, whichever host ran it."""
        return KeptArtifacts(self.store, execution_id, self.artifacts(execution_id))

    @property
    def state(self) -> Path:
        return state_directory(self.root, self._environ)

    def recover_abandoned(self, *, wait_seconds: float = 0.0) -> list[Recovery]:
        """Puts in order what dead processes left, unless the workspace stays in use.

        Ends what was approved and not run in time, too.
        """
        self.host.cancel_expired()
        return self.host.recover(wait_seconds=wait_seconds)

    def collector(
        self, *, keep_days: int | None = None, keep_count: int | None = None, all_workspaces: bool = False
    ) -> Collector:
        """Drops payloads that are older than these limits; one that is not given is that of `config.toml`.

        Raises InvalidSettings when there is none at all.
        """
        from executor.host.retention import Collector, Limits

        days, count = load_retention(self.root)
        limits = Limits(days if keep_days is None else keep_days, count if keep_count is None else keep_count)
        return Collector(
            self.store,
            self.state,
            limits,
            now=self._clock(),
            redactor=Redactor(self._environ),
            actor=self.actor,
            all_workspaces=all_workspaces,
        )

    @property
    def _place(self) -> Place:
        from executor.host.transfer import Place

        beside = self.store.target.path
        owner = None if beside is None else read_workspace_id(beside.parent, {})
        return Place(self.store.target, self.state, owner or self.workspace_id, Redactor(self._environ))

    def export(
        self,
        correlation_id: str,
        file: Path,
        *,
        content: bool = False,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Export:
        """Raises what `export_correlation` raises."""
        from executor.host.transfer import export_correlation

        return export_correlation(self._place, correlation_id, file, content=content, progress=progress)

    def import_archive(
        self,
        file: Path,
        *,
        dry_run: bool = False,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Import:
        """Raises what `executor.host.transfer.import_archive` raises."""
        from executor.host.transfer import import_archive

        return import_archive(self._place, file, now=self._clock(), dry_run=dry_run, progress=progress)

    def resolve(self, text: str, *, all_workspaces: bool = False) -> str:
        """The execution meant on a command line. Raises ExecutionNotFound, AmbiguousId."""
        return self.store.resolve_execution_id(text, workspace_id=None if all_workspaces else ...)

    def resolve_correlation(self, text: str) -> str:
        """The correlation meant: one that has executions, else that of the execution meant."""
        if self.store.list_executions_by_correlation(text, limit=1):
            return text
        record = self.store.get_execution(self.resolve(text))
        if record is None or record.correlation_id is None:
            raise ExecutionNotFound(text)
        return record.correlation_id

    def origin(
        self,
        *,
        trigger: str | None = None,
        parent: str | None = None,
        correlation: str | None = None,
        run_id: str | None = None,
    ) -> Origin:
        return find_origin(
            self._environ,
            workspace=str(self.root),
            trigger=trigger,
            parent=parent,
            correlation=correlation,
            run_id=run_id,
        )

    def propose(
        self,
        data: bytes,
        *,
        kind: InputKind,
        origin: Origin,
        verify: Sequence[str] = (),
        find_checks: bool = True,
        timeout_seconds: float | None = None,
        environment: Sequence[str] = (),
        reports: Sequence[str] = (),
        isolate: bool | None = None,
        transcript: str | None = None,
        title: str | None = None,
        why: str | None = None,
        wait_seconds: float = 0.0,
    ) -> Proposal | ExecutionRecord:
        """Reads a change against the workspace, plans and judges it; writes nothing.

        An execution that is changing the same files is waited for, at most `wait_seconds`: it may put them back.

        Without `verify` the planner finds what verifies the change; with `find_checks` off there is only what
        is named. `isolate` has the checks pass in a scratch copy first; None is what the settings say.
        `transcript` is a URL, or a file of which a redacted copy will be kept.
        Returns the completed execution instead when its change is this one and still in place.
        Raises InvalidChange, UnsafePath, InvalidSettings (a check that cannot be read), InvalidPolicy,
        BaseChanged, and LockHeld in its place while another execution changes the same files.
        """
        options = _CheckOptions(
            timeout_seconds, tuple(environment), tuple(check_report_path(path) for path in reports)
        )
        checks = self._named(verify, options)
        told = self._transcript(transcript)
        if told.path is not None:
            check_transcript(told.path)
        # A policy that cannot be read comes before a change that cannot.
        _ = self.host.gate
        try:
            changes = self._read_settled(data, kind, wait_seconds)
        except (BaseChanged, InvalidChange) as failure:
            applied = self._already_applied(data, kind, failure)
            if applied is not None:
                return applied
            raise
        plan, changeset, decision = self._judge(
            changes,
            origin=origin,
            options=options,
            checks=checks,
            find_checks=find_checks,
            title=title,
            why=why,
            isolate=isolate,
            transcript_url=told.url,
        )
        return Proposal(plan, changeset, decision, origin, transcript=told.path)

    def capture(
        self,
        command: Sequence[str],
        *,
        origin: Origin,
        capture_timeout: float | None = None,
        verify: Sequence[str] = (),
        find_checks: bool = True,
        timeout_seconds: float | None = None,
        environment: Sequence[str] = (),
        reports: Sequence[str] = (),
        isolate: bool | None = None,
        transcript: str | None = None,
        title: str | None = None,
        why: str | None = None,
        cancel: threading.Event | None = None,
        observer: Observer | None = None,
        on_output: Callable[[str], None] | None = None,
        wait_seconds: float = 0.0,
        on_change: Callable[[Changeset], None] | None = None,
    ) -> ExecutionRecord:
        """Runs a command in a scratch copy; what it changed is planned, judged and carried out.

        The checks are chosen as in `propose`. `on_change` gets the changeset before anything is applied; what it
        raises ends the execution. Raises InvalidSettings, InvalidPolicy and what `HostExecutor.capture` raises.
        """
        told = self._transcript(transcript)
        kept = CapturedCommand(
            argv=tuple(command),
            timeout_seconds=capture_timeout or DEFAULT_TIMEOUT_SECONDS,
            checks=tuple(verify),
            find_checks=find_checks,
            check_timeout_seconds=timeout_seconds,
            environment=tuple(environment),
            reports=tuple(check_report_path(path) for path in reports),
            transcript=None if told.path is None else str(told.path),
        )
        return self._capture(
            kept,
            origin=origin,
            title=title,
            why=why,
            isolate=isolate,
            transcript_url=told.url,
            cancel=cancel,
            observer=observer,
            on_output=on_output,
            wait_seconds=wait_seconds,
            on_change=on_change,
        )

    def rerun(
        self,
        execution_id: str,
        *,
        why: str | None = None,
        run_id: str | None = None,
        timeout_seconds: float | None = None,
        environment: Sequence[str] = (),
        isolate: bool | None = None,
        cancel: threading.Event | None = None,
        observer: Observer | None = None,
        on_output: Callable[[str], None] | None = None,
        wait_seconds: float = 0.0,
        on_change: Callable[[Changeset], None] | None = None,
    ) -> ExecutionRecord:
        """Runs the command of a failed execution again, in a scratch copy of the workspace as it is now.

        What it changes this time is carried out as its child, with checks chosen as before; `timeout_seconds` and
        `environment` replace and add to what these had. Raises what `HostExecutor.command_of` and `capture` raise.
        """
        command, plan = self.host.command_of(execution_id)
        again = structs.replace(
            command,
            check_timeout_seconds=timeout_seconds or command.check_timeout_seconds,
            environment=tuple(dict.fromkeys((*command.environment, *environment))),
        )
        return self._capture(
            again,
            origin=self.origin(trigger="retry", parent=execution_id, run_id=run_id),
            title=plan.title,
            why=why or plan.why,
            isolate=plan.isolate if isolate is None else isolate,
            transcript_url=None,
            cancel=cancel,
            observer=observer,
            on_output=on_output,
            wait_seconds=wait_seconds,
            on_change=on_change,
        )

    def _capture(
        self,
        command: CapturedCommand,
        *,
        origin: Origin,
        title: str | None,
        why: str | None,
        isolate: bool | None,
        transcript_url: str | None,
        cancel: threading.Event | None,
        observer: Observer | None,
        on_output: Callable[[str], None] | None,
        wait_seconds: float,
        on_change: Callable[[Changeset], None] | None,
    ) -> ExecutionRecord:
        options = _CheckOptions(command.check_timeout_seconds, command.environment, command.reports)
        checks = self._named(command.checks, options)
        # A policy that cannot be read is told before the command has run, not after.
        _ = self.host.gate
        name = shlex.join(command.argv)
        words = tuple(self.host.redact(word) for word in command.argv)
        kept = structs.replace(command, argv=words, masked=words != command.argv)
        first = plan_change(
            Changeset.of(()),
            workspace_id=self.workspace_id,
            now=self._clock(),
            title=self.host.redact(title or name),
            why=None if why is None else self.host.redact(why),
            trigger_kind=origin.trigger_kind,
            judged_as=(origin.asking, *self._repeated(origin)),
            proposed_by=origin.account,
            command=kept,
            isolate=load_isolate(self.root) if isolate is None else isolate,
            transcript_url=transcript_url,
            model=None if origin.model is None else self.host.redact(origin.model),
        )

        def propose(changes: tuple[FileChange, ...]) -> tuple[ChangePlan, Changeset, GovernanceDecision]:
            plan, changeset, decision = self._judge(
                changes,
                origin=origin,
                options=options,
                checks=checks,
                find_checks=command.find_checks,
                title=first.title,
                why=why,
                isolate=first.isolate,
                transcript_url=transcript_url,
                first=first,
            )
            if on_change is not None:
                on_change(changeset)
            return plan, changeset, decision

        return self.host.capture(
            Check(name=name, argv=command.argv, timeout_seconds=command.timeout_seconds),
            first,
            propose,
            correlation_id=origin.correlation_id,
            parent_execution_id=origin.parent_execution_id,
            trigger_kind=origin.trigger_kind,
            run_id=origin.run_id,
            actor=origin.actor,
            session=origin.session,
            cancel=cancel,
            observer=observer,
            on_output=on_output,
            wait_seconds=wait_seconds,
            transcript=None if command.transcript is None else Path(command.transcript),
        )

    def _transcript(self, text: str | None) -> Transcript:
        """Raises InvalidSettings."""
        return Transcript() if text is None else read_transcript(text, Path.cwd(), self.host.redact)

    def _judge(
        self,
        changes: tuple[FileChange, ...],
        *,
        origin: Origin,
        options: _CheckOptions,
        checks: list[Check],
        find_checks: bool,
        title: str | None,
        why: str | None,
        isolate: bool | None,
        transcript_url: str | None,
        first: ChangePlan | None = None,
    ) -> tuple[ChangePlan, Changeset, GovernanceDecision]:
        """`first` is the plan that is kept already, from when there was no change yet."""
        gate = self.host.gate
        changeset = Changeset.of(changes)
        unverified: tuple[str, ...] = ()
        absent: tuple[FoundCheck, ...] = ()
        if find_checks:
            if not checks:
                found = find_verification(changeset, gather_facts(self.host.tree, changeset, self._environ))
                checks = [options.read(check.command, check.reason) for check in found.checks]
                unverified, absent = found.unverified, found.absent
            required = gate.policy.checks_for(changeset.paths)
            checks = with_required(
                checks, required, timeout_seconds=options.timeout_seconds, environment=options.environment
            )
        plan = plan_change(
            changeset,
            workspace_id=self.workspace_id,
            now=self._clock(),
            verification=checks,
            health_checks=load_health_checks(self.root),
            title=None if title is None else self.host.redact(title),
            why=None if why is None else self.host.redact(why),
            trigger_kind=origin.trigger_kind,
            drift=gate.policy.drift,
            judged_as=(origin.asking, *self._repeated(origin)),
            proposed_by=origin.account,
            unverified=unverified,
            absent=absent,
            command=first.command if first is not None else None,
            plan_id=first.plan_id if first is not None else None,
            isolate=load_isolate(self.root) if isolate is None else isolate,
            transcript_url=transcript_url,
            model=None if origin.model is None else self.host.redact(origin.model),
        )
        decision = gate.evaluate(plan, changeset, now=self._clock())
        return plan, changeset, decision

    def _repeated(self, origin: Origin) -> tuple[TriggerKind, ...]:
        """What the parent was judged as, where the child goes on with the parent's work."""
        if origin.parent_execution_id is None or origin.trigger_kind not in _GOES_ON:
            return ()
        try:
            plan = self.store.get_plan(origin.parent_execution_id)
        except ExecutionNotFound:
            return ()
        return plan.trigger_kinds if plan is not None else ()

    def execute(
        self,
        proposal: Proposal,
        *,
        cancel: threading.Event | None = None,
        observer: Observer | None = None,
        wait_seconds: float = 0.0,
    ) -> ExecutionRecord:
        """Carries a proposal out; the record says how it came out."""
        origin = proposal.origin
        return self.host.execute(
            proposal.plan,
            proposal.changeset,
            proposal.decision,
            correlation_id=origin.correlation_id,
            parent_execution_id=origin.parent_execution_id,
            trigger_kind=origin.trigger_kind,
            run_id=origin.run_id,
            actor=origin.actor,
            session=origin.session,
            cancel=cancel,
            observer=observer,
            wait_seconds=wait_seconds,
            reverts=proposal.reverts,
            transcript=proposal.transcript,
        )

    def accept(self, proposal: Proposal, *, execution_id: str | None = None) -> ExecutionRecord:
        """Records a proposal that `run_accepted` carries out later, perhaps in another process."""
        origin = proposal.origin
        return self.host.accept(
            proposal.plan,
            proposal.changeset,
            proposal.decision,
            correlation_id=origin.correlation_id,
            parent_execution_id=origin.parent_execution_id,
            trigger_kind=origin.trigger_kind,
            run_id=origin.run_id,
            execution_id=execution_id,
            actor=origin.actor,
            session=origin.session,
            reverts=proposal.reverts,
        )

    def propose_retry(self, execution_id: str, *, origin: Origin, why: str | None = None) -> Proposal:
        """What `retry` would carry out. Raises what `HostExecutor.plan_retry` raises."""
        planned = self.host.plan_retry(execution_id, why=why, judged_as=(origin.asking,))
        return Proposal(*planned, origin, self.host.undoing(execution_id))

    def propose_revert(
        self,
        execution_id: str,
        *,
        origin: Origin,
        verify: Sequence[str] | None = (),
        timeout_seconds: float | None = None,
        environment: Sequence[str] = (),
        reports: Sequence[str] = (),
        why: str | None = None,
    ) -> Proposal | ExecutionRecord:
        """What undoing an execution would carry out; writes nothing.

        `verify` are the checks; without any it is verified as the execution was, with None not at all. Returns
        what undid it when it is undone already, or the execution itself when nobody here did. It is caused by
        the execution it undoes, and triggered by a person or an agent, whatever `origin` says.

        Raises InvalidSettings and what `HostExecutor.plan_revert` raises.
        """
        options = _CheckOptions(
            timeout_seconds, tuple(environment), tuple(check_report_path(path) for path in reports)
        )
        checks = self._named(verify or (), options)
        agent = origin.asking is TriggerKind.AGENT
        origin = replace(
            origin,
            trigger_kind=TriggerKind.AGENT if agent else TriggerKind.MANUAL,
            parent_execution_id=execution_id,
            correlation_id=None,
        )
        planned = self.host.plan_revert(
            execution_id,
            verification=checks if checks or verify is None else None,
            why=why,
            trigger_kind=origin.trigger_kind,
            timeout_seconds=timeout_seconds,
            environment=options.environment,
            judged_as=(origin.asking,),
            proposed_by=origin.account,
        )
        if isinstance(planned, ExecutionRecord):
            return planned
        return Proposal(*planned, origin, execution_id)

    def plan_commit(self) -> CommitPlan:
        """Raises InvalidSettings."""
        return self.host.plan_commit()

    def commit(self, plan: CommitPlan, record: ExecutionRecord) -> str:
        """Raises CommitRefused."""
        return self.host.commit(plan, record)

    def run_accepted(
        self,
        execution_id: str,
        *,
        cancel: threading.Event | None = None,
        wait_seconds: float = 0.0,
    ) -> ExecutionRecord:
        """Raises what `HostExecutor.run_accepted` raises."""
        return self.host.run_accepted(execution_id, cancel=cancel, wait_seconds=wait_seconds)

    @property
    def named_checks(self) -> dict[str, str]:
        """The command lines that requests may name. Raises InvalidSettings."""
        return load_checks(self.root)

    def retry(
        self,
        execution_id: str,
        *,
        why: str | None = None,
        run_id: str | None = None,
        timeout_seconds: float | None = None,
        environment: Sequence[str] = (),
        isolate: bool | None = None,
        cancel: threading.Event | None = None,
        observer: Observer | None = None,
        wait_seconds: float = 0.0,
    ) -> ExecutionRecord:
        """Applies the stored change of a failed execution again, as its child. Raises InvalidState."""
        origin = self.origin(trigger="retry", parent=execution_id, run_id=run_id)
        return self.host.retry(
            execution_id,
            why=why,
            run_id=origin.run_id,
            actor=origin.actor,
            session=origin.session,
            timeout_seconds=timeout_seconds,
            environment=environment,
            isolate=isolate,
            judged_as=(origin.asking,),
            cancel=cancel,
            observer=observer,
            wait_seconds=wait_seconds,
        )

    def approve(
        self,
        execution_id: str,
        *,
        reason: str | None = None,
        at_terminal: bool,
        approver: str | None = None,
    ) -> Approval:
        """Keeps the word of the person at this terminal; an approval that is there already is returned.

        `approver` is somebody whom a token names who may approve from anywhere. Raises ApprovalRefused, and what
        `HostExecutor.approve` raises.
        """
        refused = None
        if approver is None:
            refused = approval_refusal(self._environ, at_terminal=at_terminal)
        if refused is not None:
            raise ApprovalRefused(execution_id, refused)
        record = self.store.get_execution(execution_id)
        if approver is not None and record is not None and record.actor == approver:
            # What the policy lets a person do at a terminal, a program does not do for itself.
            raise ApprovalRefused(execution_id, f"{approver} proposed it; somebody else has to approve it")
        if record is not None and record.awaiting_approval:
            given = self.store.get_approval(execution_id)
            if given is not None:
                return given
        return self.host.approve(execution_id, approver=approver or account_name(), reason=reason)

    def resume(
        self,
        execution_id: str,
        *,
        cancel: threading.Event | None = None,
        observer: Observer | None = None,
        wait_seconds: float = 0.0,
    ) -> ExecutionRecord:
        """Runs what was approved. Raises what `HostExecutor.resume` raises."""
        return self.host.resume(execution_id, cancel=cancel, observer=observer, wait_seconds=wait_seconds)

    def deny(self, execution_id: str, reason: str, *, by: str | None = None) -> ExecutionRecord:
        """Raises what `HostExecutor.deny` raises."""
        return self.host.deny(execution_id, by=by or self.actor, reason=reason)

    def withdraw(
        self, execution_id: str, reason: str | None = None, *, by: str | None = None
    ) -> ExecutionRecord:
        """Raises what `HostExecutor.withdraw` raises."""
        return self.host.withdraw(execution_id, by=by or self.actor, reason=reason)

    def stop(
        self, execution_id: str, reason: str | None = None, *, patience_seconds: float, by: str | None = None
    ) -> ExecutionRecord:
        """Has the process that runs an execution roll it back; returns the record once it has ended.

        After `patience_seconds` it is returned as it is then. Raises what `HostExecutor.stop` raises.
        """
        self.host.stop(execution_id, by=by or self.actor, reason=reason)
        return self.wait(execution_id, timeout_seconds=patience_seconds, cancel=threading.Event())

    def wait(
        self,
        execution_id: str,
        *,
        timeout_seconds: float | None = None,
        run: bool = False,
        cancel: threading.Event,
        observer: Observer | None = None,
        wait_seconds: float = 0.0,
    ) -> ExecutionRecord:
        """Waits until the execution has ended; returns it as it is then, or when time is up or `cancel` set.

        With `run` it is run here as soon as it is approved, unless somebody else does. Raises
        ExecutionNotFound, and with `run` WrongWorkspace.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        pause = _FIRST_LOOK_SECONDS
        while True:
            record = self.store.get_execution(execution_id)
            if record is None:
                raise ExecutionNotFound(execution_id)
            if record.ended:
                return record
            if run:
                ran = self._run_if_approved(record, cancel, observer, wait_seconds)
                if ran is not None:
                    return ran
            left = pause if deadline is None else min(pause, deadline - time.monotonic())
            if left <= 0 or cancel.wait(left):
                return record
            pause = min(pause * 1.5, _SLOWEST_LOOK_SECONDS)
            # Whoever ran it may have died meanwhile.
            self.recover_abandoned()

    def _run_if_approved(
        self,
        record: ExecutionRecord,
        cancel: threading.Event,
        observer: Observer | None,
        wait_seconds: float,
    ) -> ExecutionRecord | None:
        execution_id = record.execution_id
        if record.workspace_id != self.workspace_id:
            raise WrongWorkspace(execution_id, self.host.where(record.workspace_id))
        if not record.awaiting_approval or self.store.get_approval(execution_id) is None:
            return None
        try:
            return self.resume(execution_id, cancel=cancel, observer=observer, wait_seconds=wait_seconds)
        except AlreadyApproved:
            # Another process was quicker: what is waited for is how it comes out there.
            return None

    def _named(self, commands: Sequence[str], options: _CheckOptions) -> list[Check]:
        """Checks as somebody named them. Raises InvalidSettings, also for a secret among the words of one."""
        for command in commands:
            shown = self.host.redact(command)
            if shown != command:
                # The plan keeps a check as it is, because a retry and an approval run it again.
                raise InvalidSettings(
                    f"the check {shown!r} holds a secret, which would be kept with the plan; put it into a "
                    f"variable, let the check see that with --env NAME, and name it in its place: "
                    f"sh -c '... \"$NAME\" ...'"
                )
        return [options.read(command) for command in commands]

    def _read_settled(self, data: bytes, kind: InputKind, wait_seconds: float) -> tuple[FileChange, ...]:
        """The change, read against files that no execution is about to put back, as far as time allows.

        Raises what `_read` raises, and LockHeld in place of a BaseChanged such an execution may be the reason of.
        """
        deadline = time.monotonic() + wait_seconds
        pause = _FIRST_LOOK_SECONDS
        while True:
            changes: tuple[FileChange, ...] = ()
            unfit: BaseChanged | None = None
            try:
                changes = self._read(data, kind, _Gated(self.host.tree))
            except BaseChanged as failure:
                unfit = failure
            paths = (
                {change.path for change in changes} if unfit is None else {path for path, _ in unfit.paths}
            )
            other = self.host.at_work()
            if other is None or paths.isdisjoint(other[1].affected_paths):
                if unfit is not None:
                    raise unfit
                return changes
            left = deadline - time.monotonic()
            if left <= 0:
                if unfit is not None:
                    raise LockHeld(str(self.root), str(other[0]), wait_seconds) from unfit
                return changes
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _SLOWEST_LOOK_SECONDS)
            # Whoever works here may have died meanwhile.
            self.recover_abandoned()

    def _read(self, data: bytes, kind: InputKind, base: BaseReader) -> tuple[FileChange, ...]:
        if kind == "patch":
            from executor.changes.patch import read_patch

            return read_patch(data, base)
        from executor.changes.document import read_changeset

        return read_changeset(data, base)

    def _already_applied(
        self, data: bytes, kind: InputKind, failure: BaseChanged | InvalidChange
    ) -> ExecutionRecord | None:
        """The completed execution of this same change whose result is what the workspace holds now.

        A change that is in place no longer fits the workspace; it is read against what the files were
        before each earlier execution instead, and the checksums are compared.
        """
        path = failure.paths[0][0] if isinstance(failure, BaseChanged) else failure.path
        if path is None:
            return None
        earlier = ExecutionFilter(
            workspace=(self.workspace_id,), status=("completed",), path=(exact_pattern(path),)
        )
        for record in self.store.list_executions(earlier, limit=_REPEATS):
            changeset = self.store.get_changeset(record.execution_id)
            if changeset is None or not self._in_place(changeset):
                continue
            try:
                changes = self._read(
                    data, kind, _Before(self.host.tree, self.store, record.execution_id, changeset)
                )
            except (BaseChanged, InvalidChange):
                continue
            if Changeset.of(changes).checksum == changeset.checksum:
                return record
        return None

    def _in_place(self, changeset: Changeset) -> bool:
        for change in changeset.changes:
            found = self.host.tree.fingerprint(change.path)
            if (found.sha256 if found else None) != change.new_sha256:
                return False
        return True


class _Gated:
    """The workspace as inputs are read against it. What the gate refuses anyway is not opened."""

    def __init__(self, tree: BaseReader) -> None:
        self._tree = tree

    def read(self, path: str) -> BaseEntry | None:
        from executor.changes.paths import is_protected

        return None if is_protected(path) else self._tree.read(path)


class _Before:
    """The workspace as it was before one completed execution."""

    def __init__(
        self, tree: BaseReader, store: ExecutionStore, execution_id: str, changeset: Changeset
    ) -> None:
        self._tree, self._store, self._execution_id = tree, store, execution_id
        self._changes = {change.path: change for change in changeset.changes}

    def read(self, path: str) -> BaseEntry | None:
        from executor.changes.base import BaseEntry

        change = self._changes.get(path)
        if change is None:
            return self._tree.read(path)
        if change.old_sha256 is None or change.old_mode is None:
            return None
        content = self._store.get_content(self._execution_id, change.old_sha256)
        if content is None:
            raise InvalidChange(f"the earlier content of {path!r} is not kept any more", path=path)
        return BaseEntry(content, change.old_mode)
