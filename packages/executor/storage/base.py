"""What a store promises to its callers.

Every method is synchronous and may be called from any thread. A write has happened, whole, when its call
returns, and has not happened when the call raises; how durable it is against a loss of power is the
store's `durability`. A read sees every write that returned before it began, from any process, and one
answer shows one moment. Records shown are effective: a missing correlation is the own id, a missing
trigger kind `manual`, a missing attempt 1, a missing workspace the one the database belongs to.

Raised by any method: DatabaseUnavailable, DatabaseDamaged, SchemaTooNew and SchemaOutdated when the
database cannot be used, TryAgain when it stayed busy. Nothing that was stored makes a read raise, however
odd it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Self

    from executor.models.approval import Approval
    from executor.models.change import Changeset
    from executor.models.decision import GovernanceDecision
    from executor.models.detail import ExecutionDetail
    from executor.models.execution import (
        EventRecord,
        ExecutionFilter,
        ExecutionRecord,
        Lineage,
        LineCounts,
        LinkRecord,
        Page,
        Statistics,
        StepCounts,
        StepLog,
        StepOutput,
        StepRecord,
        TestResult,
        WorkspaceRecord,
    )
    from executor.models.plan import ChangePlan
    from executor.models.retention import PayloadSize, PayloadState
    from executor.models.token import TokenRecord
    from executor.storage.engine import Watch

# Which workspace a question is about: `...` the store's own, None all, else the one with this id.
Scope: TypeAlias = str | EllipsisType | None


class ExecutionStorage(ABC):
    """Executions, their steps, events, documents and the graph between them."""

    @property
    @abstractmethod
    def workspace_id(self) -> str:
        """The workspace new executions belong to unless they name another.

        Made and written into the state directory on first use when there is none yet.
        """

    @abstractmethod
    def close(self) -> None:
        """Lets go of every connection. Using the store again opens them again; closing twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # Recording.

    @abstractmethod
    def record_execution_start(
        self,
        execution_id: str,
        plan_id: str,
        changeset_id: str,
        decision_id: str,
        checksum: str,
        verdict: str,
        risk_level: str,
        affected_paths: Sequence[str],
        artifact_path: str | None,
        correlation_id: str | None = None,
        parent_execution_id: str | None = None,
        trigger_kind: str = "manual",
        run_id: str | None = None,
        *,
        workspace_id: str | None = None,
        title: str | None = None,
        why: str | None = None,
        actor: str | None = None,
        base_commit: str | None = None,
        branch: str | None = None,
        session: str | None = None,
        started_at: datetime | str | None = None,
        plan: ChangePlan | None = None,
        changeset: Changeset | None = None,
        decision: GovernanceDecision | None = None,
        base_contents: Mapping[str, bytes] | None = None,
        reverts: str | None = None,
    ) -> ExecutionRecord:
        """Records a new execution as `pending`, its `execution_start` event and the given documents.

        The correlation defaults to the parent's, for a root to the own id. `attempt` is one more than the
        parent's for a retry or repair, else 1. `changeset` is kept with the content of every file it
        writes, `base_contents` (by SHA-256) holds what the files were before. `why` goes into the event.
        `reverts` is an execution that this one undoes: a link to it is recorded.

        A second call with equal values returns the first record as it now is and writes nothing;
        `started_at` counts only when it is given, documents do not count beyond their ids.

        Raises InvalidId, InvalidInput, InvalidTime, UnknownVerdict, UnknownRiskLevel, UnknownTriggerKind,
        SelfParent, ParentNotFound, CorrelationMismatch, ExecutionExists; ExecutionNotFound for what is
        reverted.
        """

    @abstractmethod
    def record_change(
        self,
        execution_id: str,
        *,
        plan: ChangePlan,
        changeset: Changeset,
        decision: GovernanceDecision,
        base_contents: Mapping[str, bytes] | None = None,
    ) -> ExecutionRecord:
        """Says what an execution changes that was recorded before this was known; returns it as it is then.

        Ids, checksum, verdict, risk and paths become those of the documents, which are kept as
        `record_execution_start` keeps them; a plan kept under the same id gives way. Raises ExecutionNotFound;
        ExecutionExists when the execution is not `pending` any more; InvalidInput.
        """

    @abstractmethod
    def record_execution_end(
        self,
        execution_id: str,
        status: str,
        duration_seconds: float | None = None,
        files_changed: int = 0,
        verification_passed: bool = False,
        health_checks_passed: bool = False,
        rolled_back: bool = False,
        error_message: str | None = None,
        error_step: str | None = None,
        error_code: str | None = None,
        *,
        ended_at: datetime | str | None = None,
    ) -> None:
        """Gives the execution its terminal status and writes its `execution_end` event.

        An `error_step` that was recorded before stays; an `error_message` or `error_code` that is not
        given leaves the recorded one. A second call with equal values does nothing; `ended_at` and
        `duration_seconds` count only when they are given.

        Raises ExecutionNotFound, ExecutionEnded (other values than the first time), UnknownStatus (also
        for one that is not terminal), UnknownStep, InvalidNumber, InvalidTime.
        """

    @abstractmethod
    def update_execution_status(
        self,
        execution_id: str,
        status: str,
        error_message: str | None = None,
        error_step: str | None = None,
    ) -> None:
        """Moves a running execution on. The first `error_step` given stays.

        Raises ExecutionNotFound, ExecutionEnded, UnknownStatus (also for a terminal one), UnknownStep.
        """

    @abstractmethod
    def record_step_start(
        self,
        execution_id: str,
        step_num: int,
        step_name: str,
        log_ref: str | None = None,
        *,
        metadata: str | None = None,
    ) -> int:
        """Records a step as running, with its `step_start` event; returns the id of the step. `metadata` is JSON text.

        Raises ExecutionNotFound, ExecutionEnded, UnknownStep, InvalidNumber.
        """

    @abstractmethod
    def record_step_end(
        self,
        step_id: int,
        status: str,
        duration_seconds: float | None = None,
        error_code: str | None = None,
        error_message: str | None = None,
        *,
        output: StepOutput | None = None,
    ) -> None:
        """Ends a step as completed, failed or skipped, with its `step_end` event and the log of its command.

        Also after the execution has ended: that closes what a dead process left. A second call with
        equal values does nothing; the log of the first stays.

        Raises StepNotFound, StepEnded (other values than the first time), UnknownStatus, InvalidNumber,
        InvalidInput for a log that is longer than 1,000,000 bytes.
        """

    @abstractmethod
    def record_many(self, rows: Iterable[ExecutionRecord | Mapping[str, Any]]) -> int:
        """Imports executions as they are, ended ones included; returns how many.

        Each batch of some ten thousand rows is one transaction; when a row is refused, its batch and all
        after it are not written. A parent must be stored already or stand in the same batch or before;
        ids of old databases are taken in any shape. Times are brought into the stored form. Writes no
        events: what happened to an imported execution is not known here.

        Raises what `record_execution_start` raises, UnknownStatus and InvalidNumber; ExecutionExists
        for an id that is taken.
        """

    @abstractmethod
    def append_events(
        self, execution_id: str, events: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> list[EventRecord]:
        """Appends events (type, own fields) in order, all or none; returns them as stored.

        Also after the execution has ended: later facts are new rows. Fields that would make the row
        longer than 64 KB are shortened, and `truncated` is set.

        Raises ExecutionNotFound, UnknownEvent, InvalidInput for fields that are no JSON or that carry the
        name of a field every event has.
        """

    @abstractmethod
    def add_link(self, source_id: str, kind: str, target_id: str) -> None:
        """Relates two executions, or one and a commit; an equal link is kept once.

        Raises ExecutionNotFound for either execution, InvalidInput for an unknown kind.
        """

    @abstractmethod
    def dismiss(self, execution_id: str, reason: str, actor: str | None = None) -> None:
        """Takes the execution off the unresolved ones, with a `dismissed` event. Twice is once.

        Raises ExecutionNotFound; InvalidState when it neither failed, was rolled back nor awaits
        approval.
        """

    @abstractmethod
    def undismiss(self, execution_id: str, reason: str | None = None, actor: str | None = None) -> None:
        """Takes a dismissal back, with an `undismissed` event; does nothing when there is none.

        Raises ExecutionNotFound.
        """

    # Approvals.

    @abstractmethod
    def record_approval(self, approval: Approval) -> None:
        """Keeps an approval of an execution that awaits one, with its `approved` event.

        Raises ExecutionNotFound, AlreadyApproved when it has been approved, whatever became of it: of several
        who approve at once one is the first; InvalidState when it does not await approval for other reasons.
        """

    @abstractmethod
    def begin_approved(self, execution_id: str) -> bool:
        """Moves an execution that awaits approval to `validating`.

        False when it awaits none any more: of several who begin at once one may go on. Whether it was
        approved is the caller's to know.
        """

    @abstractmethod
    def cancel_awaiting(
        self,
        execution_id: str,
        *,
        error_code: str,
        error_message: str,
        denied: Mapping[str, Any] | None = None,
    ) -> bool:
        """Ends an execution that awaits approval as `cancelled`, with its `execution_end` event.

        `denied` are the fields of a `denied` event before that. False when it awaits none any more.
        """

    @abstractmethod
    def get_approval(self, execution_id: str) -> Approval | None:
        """The approval of this execution, whatever became of it since, or None."""

    @abstractmethod
    def list_approvals(self, correlation_id: str, checksum: str) -> list[Approval]:
        """The approvals of one change within a correlation, newest first."""

    @abstractmethod
    def list_expired_approvals(self, now: datetime) -> list[str]:
        """The executions that await approval still, though theirs has run out, oldest first."""

    @abstractmethod
    def record_test_results(self, results: Sequence[TestResult]) -> None:
        """Keeps how tests came out, all of them or none; one that is kept already stays as it is.

        Raises ExecutionNotFound, InvalidInput for an unknown outcome or a number that is none.
        """

    @abstractmethod
    def list_test_results(self, execution_id: str) -> list[TestResult]:
        """How the tests of an execution came out, by step, then id; none for an unknown execution."""

    @abstractmethod
    def list_test_history(self, test_id: str, limit: int = 100) -> list[TestResult]:
        """How one test came out in the executions with the greatest ids, those first. Raises InvalidLimit."""

    @abstractmethod
    def list_step_logs(self, execution_id: str) -> list[StepLog]:
        """The logs that are kept of an execution, by step; none for an unknown execution."""

    @abstractmethod
    def get_step_log(self, execution_id: str, name: str) -> bytes | None:
        """What the command of a step printed, redacted and capped; None when it is not kept, or damaged."""

    @abstractmethod
    def register_workspace(self, workspace_id: str, host: str, path: str) -> None:
        """Says where a workspace is; a later call moves it and keeps `created_at`."""

    # Reading.

    @abstractmethod
    def get_execution(self, execution_id: str) -> ExecutionRecord | None:
        """The execution with exactly this id, or None."""

    @abstractmethod
    def get_execution_detail(self, execution_id: str) -> ExecutionDetail:
        """The execution and what is kept beside it, all at one moment. Raises ExecutionNotFound."""

    @abstractmethod
    def get_execution_steps(self, execution_id: str) -> list[StepRecord]:
        """The steps in the order of their numbers, then ids; none for an unknown execution."""

    @abstractmethod
    def list_steps(self, execution_ids: Sequence[str]) -> dict[str, list[StepRecord]]:
        """The steps of many executions, as `get_execution_steps` gives those of one; a key for each id."""

    @abstractmethod
    def list_first_attempts(self, execution_ids: Sequence[str]) -> dict[str, str]:
        """Where the retries and repairs behind each execution began; itself, where it is neither.

        No key for an execution that is not there, nor where the beginning is missing, hidden by a cycle or
        more than 10,000 attempts away, all that are asked for together.
        """

    @abstractmethod
    def count_lines(self, execution_ids: Sequence[str]) -> dict[str, LineCounts]:
        """How many lines the changesets of executions add and remove; no key for one without a changeset."""

    @abstractmethod
    def list_executions(
        self,
        filter: ExecutionFilter | None = None,
        limit: int = 20,
        cursor: str | None = None,
        *,
        oldest_first: bool = False,
        with_total: bool = False,
        offset: int = 0,
    ) -> Page[ExecutionRecord]:
        """A page of executions, newest first: by `started_at`, then id, both falling.

        `limit` is 1 to 10,000. `cursor` is the `next_cursor` of an earlier page of the same question;
        rows that come in meanwhile neither repeat nor hide others. `offset` skips rows and grows slower
        the larger it is. With `with_total` the page says how many rows the filter lets pass.

        Raises InvalidLimit, InvalidCursor, InvalidFilter, InvalidTime.
        """

    @abstractmethod
    def get_statistics(self, filter: ExecutionFilter | None = None) -> Statistics:
        """Counts and durations of what the filter lets pass. Raises InvalidFilter, InvalidTime."""

    @abstractmethod
    def count_steps(self) -> StepCounts:
        """Steps of all executions, counted."""

    @abstractmethod
    def resolve_execution_id(self, text: str, *, workspace_id: Scope = ...) -> str:
        """The id meant by an exact id, a unique prefix or suffix, `@last` or `@last-failed`.

        An exact id is found in every workspace, the others within `workspace_id`. An exact id wins over
        a prefix, a prefix over a suffix. Letters count as they are.

        Raises ExecutionNotFound, AmbiguousId.
        """

    @abstractmethod
    def find_completed_by_checksum(self, checksum: str, workspace_id: Scope = ...) -> list[ExecutionRecord]:
        """Completed executions of a changeset with this checksum, newest first."""

    @abstractmethod
    def list_executions_by_plan(self, plan_id: str, limit: int = 100) -> list[ExecutionRecord]:
        """The executions of a plan by `started_at`, then id; the limit keeps the earliest."""

    @abstractmethod
    def list_unended(self, workspace_id: Scope = ...) -> list[ExecutionRecord]:
        """Executions without a terminal status, oldest first.

        Rows started before the graph columns came do not count: the program that left them is gone.
        """

    # The graph.

    @abstractmethod
    def get_execution_lineage(self, execution_id: str, depth: int = 20, limit: int = 10_000) -> Lineage:
        """The relatives of an execution; `docs/graph.md` says exactly which.

        `depth` counts generations both ways, `limit` bounds each list. Raises ExecutionNotFound,
        InvalidLimit.
        """

    @abstractmethod
    def list_executions_by_correlation(self, correlation_id: str, limit: int = 100) -> list[ExecutionRecord]:
        """The executions of a correlation by `started_at`, then id; the limit keeps the earliest.

        Empty for an unknown correlation. Raises InvalidLimit.
        """

    @abstractmethod
    def list_chain(
        self, correlation_id: str, limit: int = 100, cursor: str | None = None
    ) -> Page[ExecutionRecord]:
        """A page of the executions of a correlation by `started_at`, then id.

        `limit` is 1 to 10,000; `cursor` is the `next_cursor` of an earlier page of the same correlation. Empty
        for an unknown correlation. Raises InvalidLimit, InvalidCursor.
        """

    @abstractmethod
    def count_executions_by_correlation(self, correlation_id: str) -> int:
        """How many executions the whole correlation has."""

    @abstractmethod
    def get_root_execution(self, correlation_id: str) -> ExecutionRecord | None:
        """The earliest execution of the correlation that has no parent, or None."""

    @abstractmethod
    def get_attempt_tree(self, execution_id: str, limit: int = 10_000) -> list[ExecutionRecord]:
        """The executions connected with this one by retry and repair edges, itself included.

        By `started_at`, then id; the limit keeps the earliest. Raises ExecutionNotFound, InvalidLimit.
        """

    @abstractmethod
    def is_unresolved(self, execution_id: str) -> bool:
        """Whether it failed, was rolled back or awaits approval, and nothing has made up for that.

        Raises ExecutionNotFound.
        """

    # Events, links, documents.

    @abstractmethod
    def list_events(
        self, execution_id: str, *, after: int = 0, limit: int = 1000, tail: int | None = None
    ) -> list[EventRecord]:
        """Events of one execution in order, those with a `seq` above `after`.

        `limit` keeps the first of them, `tail` only the last so many. None for an unknown execution.
        Raises InvalidLimit.
        """

    @abstractmethod
    def read_events_after(self, position: int, limit: int = 1000) -> list[EventRecord]:
        """Events of all executions in the order of their `position`, those above the one given.

        No event ever appears below a position that was read before. Raises InvalidLimit.
        """

    @abstractmethod
    def last_event_position(self) -> int:
        """The position of the newest event, 0 without any."""

    @abstractmethod
    def watch_events(self) -> Watch:
        """What to wait with for events that are recorded from now on, by any process."""

    @abstractmethod
    def list_reverted(self, execution_ids: Sequence[str]) -> dict[str, str]:
        """Those of the executions that are undone, each with the execution that undid it.

        Only a completed execution undoes what it reverts, of several the latest, and only while it is not
        undone itself: who reverts a revert puts back what that had undone.
        """

    @abstractmethod
    def list_links(self, execution_id: str) -> list[LinkRecord]:
        """The links from and to an execution, by source, kind and target."""

    @abstractmethod
    def get_plan(self, execution_id: str) -> ChangePlan | None:
        """The plan kept with the execution, or None. Raises ExecutionNotFound."""

    @abstractmethod
    def get_changeset(self, execution_id: str) -> Changeset | None:
        """The changeset kept with the execution, or None. Raises ExecutionNotFound.

        A file whose content was dropped since has `content` None.
        """

    @abstractmethod
    def get_decision(self, execution_id: str) -> GovernanceDecision | None:
        """The decision kept with the execution, or None. Raises ExecutionNotFound."""

    @abstractmethod
    def get_content(self, execution_id: str, sha256: str) -> bytes | None:
        """Exact bytes kept with the execution's correlation, before or after the change, or None.

        Raises ExecutionNotFound.
        """

    # Payloads: contents of files, which may be dropped once an execution has ended.

    @abstractmethod
    def list_payloads(self, execution_ids: Sequence[str]) -> list[PayloadState]:
        """What has become of the payload of each execution, and what holds it; none for unknown ids."""

    @abstractmethod
    def measure_payloads(self, execution_ids: Sequence[str]) -> dict[str, PayloadSize]:
        """What would go with each execution, if they went together in this order; nothing for unknown ids.

        Contents that an execution not named here needs would stay.
        """

    @abstractmethod
    def drop_payloads(self, drops: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Drops the contents of executions, with a `payload_dropped` event each that has the fields given.

        All of them or none. What an execution needs that is not named here stays. Passed over are executions
        that are unknown, held, or dropped already; those with no contents get their event where
        `artifact_count` is given and not 0.

        Raises InvalidInput for fields that are no JSON or that carry the name of a field every event has.
        """

    @abstractmethod
    def get_payload_dropped(self, execution_id: str) -> EventRecord | None:
        """The event that tells when and why the payload went; None while it is kept."""

    @abstractmethod
    def list_workspaces(self) -> list[WorkspaceRecord]:
        """The registered workspaces by id."""

    # Tokens.

    @abstractmethod
    def record_token(self, token: TokenRecord) -> None:
        """Keeps a new token; keys and sessions that ran out are forgotten. Raises InvalidInput for its name."""

    @abstractmethod
    def get_token(self, token_id: str) -> TokenRecord | None:
        """The token with this id, whether it still holds or not."""

    @abstractmethod
    def list_tokens(self) -> list[TokenRecord]:
        """All that are kept, newest first."""

    @abstractmethod
    def revoke_token(self, token_id: str) -> bool:
        """From now on it holds nowhere. False when it was revoked before: of several at once one is the first.

        Raises TokenNotFound.
        """

    @abstractmethod
    def get_workspace(self, workspace_id: str) -> WorkspaceRecord | None:
        """Where a workspace was registered, or None."""
