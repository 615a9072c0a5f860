"""What goes over the wire, for the OpenAPI document. Answers are made in `answers`, which a test compares.

Statuses and the like are texts here: rows of old programs may hold others than those of today.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from executor.models.execution import EventType

STATUSES = (
    "pending",
    "validating",
    "backing_up",
    "applying",
    "verifying",
    "health_checking",
    "completed",
    "failed",
    "rolled_back",
    "cancelled",
)
MAX_LIST = 500
MAX_OFFSET = 10_000
MAX_FAMILY = 10_000
MAX_VALUES = 64
MAX_TEXT = 1024


def _closed(*values: str) -> str:
    """One of these, or with `!` all but it."""
    return f"^!?({'|'.join(values)})$"


Text = Annotated[str, Field(max_length=MAX_TEXT)]
DroppedAt = Annotated[
    str | None,
    Field(description="When gc dropped logs, reports and contents of files; null while they are kept."),
]
_Status = Annotated[str, Field(pattern=_closed(*STATUSES))]
_Verdict = Annotated[str, Field(pattern=_closed("allow", "need_approval", "deny"))]
_Risk = Annotated[str, Field(pattern=_closed("low", "medium", "high", "critical"))]
_Trigger = Annotated[str, Field(pattern=_closed("manual", "agent", "retry", "repair", "child", "scheduled"))]


def _many(description: str, **more: Any) -> Any:
    return Field(
        default_factory=list,
        max_length=MAX_VALUES,
        description=f"{description} Repeatable: any of them. With a leading `!`: none of them.",
        **more,
    )


class Filter(BaseModel):
    """Which executions are meant. Everything unset lets everything pass."""

    model_config = ConfigDict(extra="forbid")

    correlation_id: list[Text] = _many("Correlation.")
    run_id: list[Text] = _many("Run, as given by whoever started it.")
    parent_execution_id: list[Text] = _many("Children of this execution.")
    workspace: list[Text] = _many("Id of a workspace (`GET /workspaces` lists them).")
    status: list[_Status] = _many("Status.", examples=[["failed", "rolled_back"]])
    verdict: list[_Verdict] = _many("Verdict of the gate.")
    risk_level: list[_Risk] = _many("Effective risk.")
    trigger_kind: list[_Trigger] = _many("What caused the execution.")
    actor: list[Text] = _many("Who proposed it.")
    commit: list[Text] = _many("Full id of the git commit that was made of it.")
    path: list[Text] = _many(
        "Glob in the manner of gitignore over the affected paths.", examples=[["src/**"]]
    )
    error_step: list[Text] = _many("The step that failed.", examples=[["verify"]])
    q: Text | None = Field(None, description="Text in id, title, a path or the error; a–z match A–Z.")
    since: Text | None = Field(
        None, description="Started at or after: ISO-8601 with its zone.", examples=["2026-01-31T12:00:00Z"]
    )
    until: Text | None = Field(
        None, description="Started before: ISO-8601 with its zone.", examples=["2026-02-01T00:00:00Z"]
    )
    unresolved: bool | None = Field(
        None, description="Failed, rolled back or awaiting approval, and nothing has made up for it."
    )
    awaiting: bool | None = Field(None, description="Waiting for a person to approve.")


class ListQuery(Filter):
    include: list[Literal["steps", "lines", "attempts"]] = Field(
        default_factory=list,
        max_length=MAX_VALUES,
        description="More about each execution: `steps`, `lines` its change adds and removes, or where its "
        "`attempts` began. Repeatable.",
    )
    limit: int = Field(20, ge=1, le=MAX_LIST)
    cursor: Text | None = Field(
        None, description="The `next_cursor` of an earlier page of the same question; not with `offset`."
    )
    offset: int = Field(
        0, ge=0, description=f"At most {MAX_OFFSET:,}; go on with `cursor` beyond.", examples=[0]
    )


class ChainQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=MAX_LIST)
    cursor: Text | None = Field(None, description="The `next_cursor` of an earlier page of this correlation.")


class LineageQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    depth: int = Field(20, ge=1, le=MAX_FAMILY, description="Generations, both ways.")
    limit: int = Field(
        1000, ge=1, le=MAX_FAMILY, description="The most of each: ancestors, descendants, siblings."
    )


class EventsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: int = Field(0, ge=0, le=2**63 - 1, description="Only events with a higher `seq`.")
    tail: int | None = Field(None, ge=1, le=MAX_FAMILY, description="Only the last so many.")
    limit: int = Field(1000, ge=1, le=MAX_FAMILY)


class StreamQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    execution_id: list[Text] = Field(
        default_factory=list, max_length=MAX_VALUES, description="Only events of these executions."
    )
    correlation_id: list[Text] = Field(
        default_factory=list, max_length=MAX_VALUES, description="Only events of these correlations."
    )
    type: list[EventType] = Field(
        default_factory=list,
        max_length=MAX_VALUES,
        description="Only events of these types (docs/events.md).",
    )
    after: int | None = Field(
        None, ge=0, le=2**63 - 1, description="Begin after this position (0: with the first event ever)."
    )


class ArtifactQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tail: int | None = Field(
        None, ge=1, le=MAX_FAMILY, description="Only the last so many lines, at most 1 MB of them."
    )


class ReplayQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    log_lines: int = Field(
        0,
        ge=0,
        le=MAX_FAMILY,
        description="So many of the last lines of each failing step's log, too; needs the scope `content`.",
    )


class NoQuery(BaseModel):
    """An operation without parameters; one that is given is a mistake."""

    model_config = ConfigDict(extra="forbid")


class Execution(BaseModel):
    """One attempt to change a workspace: every field of the record, as it is in effect."""

    execution_id: str = Field(examples=["exec_002"])
    plan_id: str
    changeset_id: str
    decision_id: str
    checksum: str
    verdict: str = Field(examples=["allow"])
    status: str = Field(examples=["completed"])
    started_at: str = Field(examples=["2026-01-31T12:00:00.000000Z"])
    risk_level: str | None
    affected_paths: list[str]
    ended_at: str | None
    duration_seconds: float | None
    files_changed: int
    verification_passed: bool
    health_checks_passed: bool
    rolled_back: bool
    artifact_path: str | None
    error_message: str | None
    error_step: str | None
    created_at: str | None
    correlation_id: str
    parent_execution_id: str | None
    trigger_kind: str = Field(examples=["retry"])
    run_id: str | None
    workspace_id: str | None
    title: str | None
    actor: str | None
    attempt: int = Field(examples=[2])
    error_code: str | None
    base_commit: str | None
    branch: str | None
    session: str | None


class StepSummary(BaseModel):
    step_name: str = Field(examples=["verify"])
    status: str = Field(examples=["completed"])
    duration_seconds: float | None


class ListedExecution(Execution):
    """An execution with what `include` asked for; what was not asked for is absent."""

    steps: list[StepSummary] | None = Field(None, description="With `include=steps`, in order.")
    lines_added: int | None = Field(None, description="With `include=lines`; null without a changeset.")
    lines_removed: int | None = Field(None, description="With `include=lines`; null without a changeset.")
    first_attempt_id: str | None = Field(
        None,
        description="With `include=attempts`: where its retries and repairs began, itself for a first attempt; "
        "null when that is not recorded.",
    )


class ExecutionList(BaseModel):
    """A page of executions. `total` is exact up to 10,000, else null; `total_at_least` says so then."""

    executions: list[ListedExecution]
    total: int | None
    total_at_least: int | None
    limit: int
    offset: int
    next_cursor: str | None


class ExecutionStatistics(BaseModel):
    """Counts over what the filter lets pass. Durations in seconds over ended executions."""

    total: int
    by_status: dict[str, int]
    by_verdict: dict[str, int]
    by_risk_level: dict[str, int]
    by_trigger_kind: dict[str, int]
    failing_steps: dict[str, int] = Field(description="`error_step` of failed and rolled back executions")
    success_rate: float | None
    rollback_rate: float | None
    average_duration_seconds: float | None
    median_duration_seconds: float | None
    p95_duration_seconds: float | None


class LineageExecutionSummary(BaseModel):
    """An execution as a node of the graph."""

    execution_id: str = Field(examples=["exec_002"])
    plan_id: str
    title: str | None
    status: str
    verdict: str
    risk_level: str | None
    started_at: str
    ended_at: str | None
    duration_seconds: float | None
    files_changed: int
    attempt: int
    error_step: str | None
    correlation_id: str
    parent_execution_id: str | None
    trigger_kind: str
    run_id: str | None


class Truncated(BaseModel):
    """For each list: whether there are more relatives than it holds."""

    ancestors: bool
    descendants: bool
    siblings: bool


class ExecutionLineage(BaseModel):
    """The relatives of an execution. `ancestors`: topmost first. `descendants`: breadth first."""

    execution: LineageExecutionSummary
    ancestors: list[LineageExecutionSummary]
    descendants: list[LineageExecutionSummary]
    siblings: list[LineageExecutionSummary]
    truncated: Truncated
    depth: int
    limit: int


class CorrelationChain(BaseModel):
    """The executions of one correlation, oldest first. `total_executions` counts the whole chain."""

    correlation_id: str
    total_executions: int
    root_execution_id: str | None
    executions: list[LineageExecutionSummary]
    next_cursor: str | None


class Step(BaseModel):
    """`metadata` is JSON text: `{"where": "scratch"}` for a check in a scratch copy, or what old programs put there."""

    id: int
    execution_id: str
    step_num: int
    step_name: str
    status: str
    started_at: str
    ended_at: str | None
    duration_seconds: float | None
    error_code: str | None
    error_message: str | None
    log_ref: str | None
    metadata: str | None


class Link(BaseModel):
    """`source_id` reverts `target_id` (once it has completed), cites it as evidence, or is the commit `target_id`."""

    source_id: str
    kind: str = Field(examples=["reverts"])
    target_id: str


class RuleResult(BaseModel):
    rule: str
    outcome: Literal["pass", "need_approval", "deny"]
    reason: str
    evidence: list[str]


class BaseFile(BaseModel):
    path: str
    kind: str
    sha256: str | None


class Decision(BaseModel):
    """What the gate said, every rule with its outcome and evidence."""

    model_config = ConfigDict(extra="allow")

    decision_id: str
    workspace_id: str
    plan_id: str
    changeset_id: str
    changeset_checksum: str
    policy_name: str
    policy_hash: str
    verdict: str
    proposed_risk: str
    effective_risk: str
    rules: list[RuleResult]
    base: list[BaseFile]
    decided_at: str


class Check(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str
    argv: list[str]


class RiskReason(BaseModel):
    level: str
    reason: str
    evidence: str


class Plan(BaseModel):
    """What was going to happen to the change, and why."""

    model_config = ConfigDict(extra="allow")

    plan_id: str
    workspace_id: str
    changeset_id: str
    trigger_kind: str
    title: str
    why: str | None
    scope: list[str]
    proposed_risk: str
    risk_reasons: list[RiskReason]
    verification: list[Check]
    health_checks: list[Check]
    rollback: str
    drift: str
    created_at: str


class Approval(BaseModel):
    """Who approved what, when, why and until when."""

    model_config = ConfigDict(extra="allow")

    approval_id: str
    execution_id: str
    approved_by: str
    reason: str | None
    approved_at: str
    expires_at: str


class ExecutionDetail(BaseModel):
    """One execution with what is kept beside it; null where nothing is."""

    execution: Execution
    unresolved: bool
    steps: list[Step]
    plan: Plan | None
    decision: Decision | None
    approval: Approval | None
    links: list[Link]
    reverted_by: str | None = Field(
        description="The execution that undid it, unless that was undone itself: nothing of the change is left."
    )
    first_attempt_id: str | None = Field(
        description="Where its retries and repairs began, itself for a first attempt; null when that is not recorded."
    )
    artifact_path: str | None
    transcript: str | None = Field(
        description="What an agent said while it made the change: `transcript`, an artifact, or a URL."
    )
    payload_dropped_at: DroppedAt = None


class Event(BaseModel):
    """One thing that happened; further fields by its type (docs/events.md)."""

    model_config = ConfigDict(extra="allow")

    event: str = Field(examples=["step_end"])
    execution_id: str
    correlation_id: str
    seq: int
    timestamp: str


class ExecutionEvents(BaseModel):
    """Events in order. `last_seq`, given as `after`, asks for what comes later."""

    execution_id: str
    events: list[Event]
    last_seq: int


class LogEnd(BaseModel):
    """The last lines of a log."""

    name: str = Field(examples=["steps/04-verify.log"])
    lines: list[str]


class ExecutionReplay(BaseModel):
    """What the artifacts alone tell. `gaps` says, a sentence each, what they cannot tell; none when complete."""

    execution_id: str
    complete: bool
    gaps: list[str]
    reverts: str | None = Field(description="the execution it undoes")
    reverted_by: str | None = Field(
        description="the execution that undid it, as far as its artifacts are here, too"
    )
    execution: dict[str, Any] | None = Field(description="execution.json; null when missing or damaged")
    plan: dict[str, Any] | None = Field(description="plan.json")
    decision: dict[str, Any] | None = Field(description="decision.json")
    events: list[Event]
    artifacts: list[str]
    logs: list[LogEnd] = Field(description="Of the failing steps; empty unless `log_lines` asks for them.")


class Artifact(BaseModel):
    name: str = Field(examples=["steps/04-verify.log"])
    media_type: str = Field(
        "application/octet-stream",
        description="What it is, by its name; every artifact is served as plain text.",
        examples=["text/plain"],
    )
    size: int = Field(description="bytes")
    modified_at: str


class ExecutionArtifacts(BaseModel):
    """The files of the artifact folder; the logs alone when it is gone or on another host."""

    execution_id: str
    artifacts: list[Artifact]
    complete: bool = Field(False, description="The execution has ended and nothing is missing.")
    missing: list[str] = Field(
        default_factory=list, description="What it should have by now and is not there, or not whole."
    )
    payload_dropped_at: DroppedAt = None


class ChangedFile(BaseModel):
    operation: str = Field(examples=["update"])
    path: str
    old_sha256: str | None
    new_sha256: str | None
    lines_added: int | None
    lines_removed: int | None


class ExecutionDiff(BaseModel):
    """What the execution changed or meant to change. `diff` is in git's form; contents of binary files stay out."""

    execution_id: str
    changeset_id: str
    checksum: str
    files: list[ChangedFile]
    diff: str


class PolicyInForce(BaseModel):
    """`name` is `built-in` or the path of the file. With a `problem` there are no rules: every change is refused."""

    name: str | None
    hash: str | None = Field(description="SHA-256 over the rules, as decisions name it.")
    problem: str | None


class Workspace(BaseModel):
    """`served`: this server can read its artifacts and change it. `policy` is null where it is not served."""

    workspace_id: str
    host: str | None
    path: str | None
    created_at: str | None
    served: bool
    policy: PolicyInForce | None


class Workspaces(BaseModel):
    workspaces: list[Workspace]


class NewExecution(BaseModel):
    """A change, as a git diff or as a changeset (docs/changesets.md), and how to verify it."""

    model_config = ConfigDict(extra="forbid")

    workspace: Text | None = Field(
        None, description="Id of a served workspace; needed when there are several."
    )
    patch: str | None = Field(None, description="A unified or git diff. This or `changeset`.")
    changeset: dict[str, Any] | None = Field(None, description="A changeset. This or `patch`.")
    verify: list[Text] | None = Field(
        None,
        max_length=MAX_VALUES,
        description="Names of checks in `[checks]` of `.executor/config.toml`; all of them when it is not given.",
    )
    title: Text | None = None
    why: Text | None = None
    correlation_id: Text | None = None
    parent_execution_id: Text | None = None
    trigger_kind: Literal["manual", "agent", "retry", "repair", "child", "scheduled"] | None = None
    run_id: Text | None = None

    @model_validator(mode="after")
    def _one_change(self) -> Self:
        if (self.patch is None) == (self.changeset is None):
            raise ValueError("give the change as patch or as changeset")
        return self


class Again(BaseModel):
    model_config = ConfigDict(extra="forbid")

    why: Text | None = None
    run_id: Text | None = None


class Reversal(BaseModel):
    model_config = ConfigDict(extra="forbid")

    why: Text | None = None
    run_id: Text | None = None
    verify: list[Text] | None = Field(
        None,
        max_length=MAX_VALUES,
        description="Names of checks in `[checks]` of `.executor/config.toml`; "
        "when it is not given it is verified as the execution was. None: an empty list.",
    )


class Because(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Text | None = None


class Denial(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Text = Field(min_length=1)


class Dismissal(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Text | None = Field(None, description="Needed unless `undo` is set.")
    undo: bool = Field(False, description="Take an earlier dismissal back.")

    @model_validator(mode="after")
    def _say_why(self) -> Self:
        if not self.undo and not self.reason:
            raise ValueError("say why it needs no attention: reason")
        return self


class Accepted(BaseModel):
    """The execution as it is now; `GET /executions/{execution_id}` and its events tell how it goes on.

    `already_applied`: the workspace has this change already, by the execution named; nothing is run. To undo what
    is undone is answered so, too; the execution named is the one that undid it, if there is one.
    """

    execution_id: str
    status: str = Field(examples=["pending"])
    verdict: str = Field(examples=["allow"])
    already_applied: bool


class Health(BaseModel):
    status: Literal["ok"]
    version: str


class Readiness(BaseModel):
    """Whether the server can do its work, check by check."""

    ready: bool
    database: bool
    schema_version: int | None
    schema_current: bool
    disk_free_bytes: int | None
    disk: bool


class Database(BaseModel):
    """`log_bytes` is SQLite's log of writes beside the file, else 0."""

    engine: Literal["sqlite", "postgresql"]
    version: str
    bytes: int
    log_bytes: int


class Token(BaseModel):
    """A token of a program, without its secret."""

    token_id: str
    name: str
    scopes: list[str] = Field(examples=[["read", "run"]])
    created_at: str
    valid_until: str | None = Field(description="Null: until it is revoked.")
    revoked_at: str | None
    active: bool = Field(description="It opens what its scopes say, now.")


class Tokens(BaseModel):
    """Newest first."""

    tokens: list[Token]
