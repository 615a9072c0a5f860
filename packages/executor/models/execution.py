"""Executions, their steps and events, and the questions asked about them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Protocol, TypedDict, TypeVar, cast

from executor.models.text import clean_text

if TYPE_CHECKING:
    from typing import Self


class TriggerKind(StrEnum):
    """What caused an execution: the label of the edge from its parent."""

    MANUAL = "manual"
    AGENT = "agent"
    RETRY = "retry"
    REPAIR = "repair"
    CHILD = "child"
    SCHEDULED = "scheduled"


class Verdict(StrEnum):
    """What the gate said."""

    ALLOW = "allow"
    NEED_APPROVAL = "need_approval"
    DENY = "deny"


class RiskLevel(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class ExecutionStatus(StrEnum):
    PENDING = "pending"
    VALIDATING = "validating"
    BACKING_UP = "backing_up"
    APPLYING = "applying"
    VERIFYING = "verifying"
    HEALTH_CHECKING = "health_checking"
    COMPLETED = "completed"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"


class StepName(StrEnum):
    CAPTURE = "capture"
    VALIDATE = "validate"
    BACKUP = "backup"
    APPLY = "apply"
    VERIFY = "verify"
    HEALTH = "health"
    ROLLBACK = "rollback"


class StepStatus(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


TERMINAL_STATUSES: Final = frozenset(
    {
        ExecutionStatus.COMPLETED.value,
        ExecutionStatus.FAILED.value,
        ExecutionStatus.ROLLED_BACK.value,
        ExecutionStatus.CANCELLED.value,
    }
)
# In front of the error code of a check that failed in a scratch copy, before the workspace was touched.
ISOLATED: Final = "isolated_"
# The metadata of a step that ran there.
IN_SCRATCH: Final = '{"where": "scratch"}'
ATTEMPT_TRIGGERS: Final = frozenset({TriggerKind.RETRY.value, TriggerKind.REPAIR.value})


_quoted: Final = json.encoder.encode_basestring_ascii


class _KeyedRow(Protocol):
    """What `sqlite3.Row` offers and we use."""

    def keys(self) -> Sequence[str]: ...
    def __getitem__(self, key: str, /) -> Any: ...


def decode_paths(text: object) -> list[str]:
    """The JSON list in `affected_paths`; old programs wrote other things, which read as no paths."""
    if not text or not isinstance(text, str):
        return []
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def encode_paths(paths: Iterable[str]) -> str:
    """ASCII only, so that every engine holds any path."""
    return "[" + ",".join([_quoted(clean_text(path)) for path in paths]) + "]"


@dataclass(slots=True)
class ExecutionRecord:
    """One attempt to change a workspace: a node of the execution graph.

    Times are text as `models.times` writes them; old rows keep the spelling they came with.
    Answers of the store show effective values: a missing correlation is the own id, a missing
    trigger kind is `manual`. `from_row` alone keeps what the row holds.

    `affected_paths` may be given as the JSON text a row holds; it is decoded when it is first read.
    """

    execution_id: str
    plan_id: str
    changeset_id: str
    decision_id: str
    checksum: str
    verdict: str
    status: str
    started_at: str
    risk_level: str | None = None
    affected_paths: list[str] = field(default_factory=list)
    ended_at: str | None = None
    duration_seconds: float | None = None
    files_changed: int = 0
    verification_passed: bool = False
    health_checks_passed: bool = False
    rolled_back: bool = False
    artifact_path: str | None = None
    error_message: str | None = None
    error_step: str | None = None
    created_at: str | None = None
    correlation_id: str | None = None
    parent_execution_id: str | None = None
    trigger_kind: str | None = None
    run_id: str | None = None
    workspace_id: str | None = None
    title: str | None = None
    actor: str | None = None
    attempt: int | None = None
    error_code: str | None = None
    base_commit: str | None = None
    branch: str | None = None
    session: str | None = None

    @classmethod
    def from_row(cls, row: _KeyedRow) -> Self:
        """Maps a row with or without the newer columns: absent and NULL both give None."""
        present = set(row.keys())
        values: dict[str, Any] = {f.name: row[f.name] for f in fields(cls) if f.name in present}
        values["affected_paths"] = values.get("affected_paths") or ""
        values["files_changed"] = values.get("files_changed") or 0
        for name in ("verification_passed", "health_checks_passed", "rolled_back"):
            values[name] = bool(values.get(name))
        return cls(**values)

    @property
    def paths_text(self) -> str:
        """`affected_paths` as JSON text, without decoding what is plainly a list of texts."""
        held = _HELD_PATHS.__get__(self)
        if isinstance(held, str) and held[:2] in ('["', "[]") and held.isascii():
            return held
        return encode_paths(self.affected_paths)

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL_STATUSES

    @property
    def awaiting_approval(self) -> bool:
        return self.status == ExecutionStatus.PENDING and self.verdict == Verdict.NEED_APPROVAL

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, as JSON values."""
        return dict(zip(_RECORD_FIELDS, _record_values(self), strict=True))


_RECORD_FIELDS: Final = tuple(field.name for field in fields(ExecutionRecord))
_record_values: Final = attrgetter(*_RECORD_FIELDS)


def _decode_late(slot: Any) -> property:
    """A list that its slot may hold as JSON text: most rows of a page are never asked for their paths."""

    def read(record: ExecutionRecord) -> list[str]:
        value = slot.__get__(record)
        if type(value) is not list:
            value = list(value) if isinstance(value, tuple) else decode_paths(value)
            slot.__set__(record, value)
        return cast("list[str]", value)

    return property(read, slot.__set__)


_HELD_PATHS: Final = ExecutionRecord.__dict__["affected_paths"]
setattr(ExecutionRecord, "affected_paths", _decode_late(_HELD_PATHS))  # noqa: B010
# What the slot holds, list or text.
setattr(ExecutionRecord, "held_paths", _HELD_PATHS)  # noqa: B010


@dataclass(frozen=True, slots=True)
class LineCounts:
    """How many lines a changeset adds and removes, over all its files."""

    added: int
    removed: int


@dataclass(slots=True)
class StepRecord:
    """One step of an execution. `metadata` is JSON text: `IN_SCRATCH`, or whatever old programs put there."""

    id: int
    execution_id: str
    step_num: int
    step_name: str
    status: str
    started_at: str
    ended_at: str | None = None
    duration_seconds: float | None = None
    error_code: str | None = None
    error_message: str | None = None
    log_ref: str | None = None
    metadata: str | None = None

    @property
    def in_scratch(self) -> bool:
        """Whether it ran in a scratch copy, before the workspace was touched."""
        return self.metadata == IN_SCRATCH

    def to_dict(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


class EventType(StrEnum):
    """The closed list of event types; `docs/events.md` lists the fields of each."""

    EXECUTION_START = "execution_start"
    GATE_DECIDED = "gate_decided"
    APPROVAL_REQUESTED = "approval_requested"
    APPROVED = "approved"
    DENIED = "denied"
    STEP_START = "step_start"
    STEP_END = "step_end"
    FILE_CHANGED = "file_changed"
    COMMAND_OUTPUT = "command_output"
    TEST_FAILED = "test_failed"
    HEALTH_CHECK_FAILED = "health_check_failed"
    ROLLBACK_START = "rollback_start"
    ROLLBACK_END = "rollback_end"
    RECOVERED = "recovered"
    DRIFT = "drift"
    HEALTH_WARNING = "health_warning"
    DISMISSED = "dismissed"
    UNDISMISSED = "undismissed"
    PAYLOAD_DROPPED = "payload_dropped"
    EXECUTION_END = "execution_end"


@dataclass(slots=True)
class EventRecord:
    """One thing that happened to an execution.

    `seq` counts from 1 within the execution; `position` is the cursor over all executions of a store,
    ever growing, not without gaps. `data` holds the event's own fields.
    """

    event: str
    execution_id: str
    correlation_id: str
    seq: int
    timestamp: str
    data: Mapping[str, Any]
    position: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The flat object of one line of `events.jsonl`."""
        return {
            "event": self.event,
            "execution_id": self.execution_id,
            "correlation_id": self.correlation_id,
            "seq": self.seq,
            "timestamp": self.timestamp,
            **self.data,
        }


class LinkKind(StrEnum):
    """Relations that are not the cause: to another execution, and `commit` to what git calls the result."""

    REVERTS = "reverts"
    EVIDENCE = "evidence"
    COMMIT = "commit"


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """`source_id` relates to `target_id`: it reverts it, cites it as evidence, or became that commit."""

    source_id: str
    kind: str
    target_id: str


class TestOutcome(StrEnum):
    """How a test came out: a failed one found something wrong, an error kept it from finding out."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"

    __test__ = False


@dataclass(frozen=True, slots=True)
class TestResult:
    """How one test came out in one step of an execution. `message` is one line, `line` counts from one."""

    __test__: ClassVar[bool] = False

    execution_id: str
    step_num: int
    test_id: str
    outcome: str
    duration_seconds: float | None = None
    exception_type: str | None = None
    message: str | None = None
    file: str | None = None
    line: int | None = None

    @property
    def failing(self) -> bool:
        return self.outcome in (TestOutcome.FAILED, TestOutcome.ERROR)

    def to_dict(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


# As much of what a command prints is kept at most.
STEP_LOG_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What the command of a step printed, redacted and capped, as the store is to keep it.

    `name` is that of the artifact (`steps/04-verify.log`), `content` at most 1,000,000 bytes; `truncated` when more
    was printed.
    """

    name: str
    content: bytes
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class StepLog:
    """A log the store keeps, without its content. `size` is in bytes."""

    execution_id: str
    step_num: int
    name: str
    size: int
    truncated: bool
    created_at: str


@dataclass(frozen=True, slots=True)
class WorkspaceRecord:
    """Where a workspace was last seen: the host's name and the path there."""

    workspace_id: str
    host: str
    path: str
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFilter:
    """Which executions a list or a statistic is about. Everything unset lets everything pass.

    Each tuple holds alternatives: a row passes when its effective value equals any of them. A value that
    begins with `!` excludes instead; a row passes when its value equals none of these (a missing value
    equals nothing, so it passes). `workspace`: ids of workspaces. `commit`: full ids of
    the git commits made of executions.
    `path`: glob patterns in the manner of gitignore over the affected paths, any of which may match.
    `error_step`: the step that failed, whatever became of the execution.
    `q`: text that occurs in id, title, an affected path or the error message (ASCII letters match in
    either case). `since` (inclusive) and `until` (exclusive) bound `started_at`; text in the stored form.
    `unresolved` and `awaiting`: True keeps only these, False only the others.
    """

    correlation_id: tuple[str, ...] = ()
    run_id: tuple[str, ...] = ()
    parent_execution_id: tuple[str, ...] = ()
    workspace: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    verdict: tuple[str, ...] = ()
    risk_level: tuple[str, ...] = ()
    trigger_kind: tuple[str, ...] = ()
    actor: tuple[str, ...] = ()
    commit: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    error_step: tuple[str, ...] = ()
    q: str | None = None
    since: str | None = None
    until: str | None = None
    unresolved: bool | None = None
    awaiting: bool | None = None


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A slice of a list; iterates over its items.

    `total` is exact up to 10,000; beyond, it is None and `total_at_least` says how many there are at
    the least. Both are None when no total was asked for. `next_cursor` is None on the last page.
    """

    items: list[T]
    next_cursor: str | None = None
    total: int | None = None
    total_at_least: int | None = None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> T:
        return self.items[index]


class Truncated(TypedDict):
    """For each list of a lineage: whether there are more relatives than it holds."""

    ancestors: bool
    descendants: bool
    siblings: bool


class Lineage(TypedDict):
    """The relatives of one execution.

    `ancestors`: topmost first, immediate parent last. `descendants`: breadth first, inside a generation
    by `started_at`, then id. `siblings`: the others with the same parent, in the same order.
    """

    execution: ExecutionRecord
    ancestors: list[ExecutionRecord]
    descendants: list[ExecutionRecord]
    siblings: list[ExecutionRecord]
    truncated: Truncated


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts over the executions a filter lets pass.

    Durations are seconds over ended executions, None when there are none. `failing_steps` counts
    `error_step` of executions that failed or were rolled back.
    """

    total: int
    by_status: Mapping[str, int]
    by_verdict: Mapping[str, int]
    by_risk_level: Mapping[str, int]
    by_trigger_kind: Mapping[str, int]
    failing_steps: Mapping[str, int]
    success_rate: float | None
    rollback_rate: float | None
    average_duration_seconds: float | None
    median_duration_seconds: float | None
    p95_duration_seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True)
class StepCounts:
    """How many steps were recorded, of each name and with each status."""

    by_name: Mapping[str, int]
    by_status: Mapping[str, int]
