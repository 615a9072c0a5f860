"""Makes room: drops what executions hold beside their record, once they are old enough.

Payload is what is large or exact: contents of files before and after a change, logs of checks, reports. The
record, its steps, events, links and documents stay for good. The event is written in the transaction that
drops the contents; the files of the artifact folder go after that, and `dropped.json` there is the last
thing written, so that whoever comes after a crash sees what is left to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from executor.errors import InvalidSettings, WorkspaceUnwritable
from executor.events.recorder import EventRecorder
from executor.host.artifacts import DROPPED, ArtifactFolder
from executor.host.journal import leaves_journal
from executor.host.presence import is_marked
from executor.models.execution import TERMINAL_STATUSES, ExecutionFilter
from executor.models.retention import Held, PayloadSize
from executor.models.times import format_time

if TYPE_CHECKING:
    from datetime import datetime

    from executor.events.redaction import Redactor
    from executor.models.execution import EventRecord, ExecutionRecord
    from executor.storage.base import ExecutionStorage

_PAGE: Final = 1_000
# Executions whose contents go in one transaction: others who write wait that long.
_AT_ONCE: Final = 50
# Names of files that an event lists; it counts the others.
_NAMES_TOLD: Final = 100
_MOST_DAYS: Final = 36_500

# Called with the executions done and those there are.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept: everything that ended in the last `keep_days` days, and the newest `keep_count`.

    Given both, an execution is kept when either keeps it. Raises InvalidSettings when neither is given, or
    one is negative or too large to count with.
    """

    keep_days: int | None = None
    keep_count: int | None = None

    def __post_init__(self) -> None:
        if self.keep_days is None and self.keep_count is None:
            raise InvalidSettings(
                "say what to keep: --keep-days N or --keep-count N, or [retention] in .executor/config.toml"
            )
        for name, value, most in (
            ("keep_days", self.keep_days, _MOST_DAYS),
            ("keep_count", self.keep_count, 2**53),
        ):
            if value is not None and not 0 <= value <= most:
                raise InvalidSettings(f"{name} is {value}; it must be a whole number from 0 to {most}")

    def since(self, now: datetime) -> str | None:
        """What ended at this time or later is kept; None when age keeps nothing."""
        return None if self.keep_days is None else format_time(now - timedelta(days=self.keep_days))


@dataclass(frozen=True, slots=True)
class Drop:
    """The payload of one execution, dropped or to be dropped. `rescued` files are left for a person."""

    execution_id: str
    correlation_id: str
    ended_at: str | None
    title: str | None
    files: tuple[tuple[str, int], ...] = ()
    rescued: int = 0
    size: PayloadSize = field(default_factory=PayloadSize)

    @property
    def file_bytes(self) -> int:
        return sum(size for _, size in self.files)

    @property
    def bytes(self) -> int:
        return self.file_bytes + self.size.bytes

    @property
    def empty(self) -> bool:
        return not self.files and not self.size.present

    def to_dict(self) -> dict[str, Any]:
        return {
            "execution_id": self.execution_id,
            "correlation_id": self.correlation_id,
            "ended_at": self.ended_at,
            "title": self.title,
            "artifacts": [name for name, _ in self.files],
            "artifact_bytes": self.file_bytes,
            "content_count": self.size.contents,
            "content_bytes": self.size.content_bytes,
            "log_count": self.size.logs,
            "log_bytes": self.size.log_bytes,
            "rescued": self.rescued,
        }


@dataclass(frozen=True, slots=True)
class Collection:
    """What was dropped, or would be; what is older and stays, and why; what an earlier gc was killed over."""

    dropped: tuple[Drop, ...] = ()
    held: tuple[tuple[str, Held], ...] = ()
    finished: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(drop.bytes for drop in self.dropped)


class Collector:
    """Drops payloads in one database and one state directory.

    Of executions of other workspaces only the contents in the database go; their files go when it runs there.
    """

    def __init__(
        self,
        store: ExecutionStorage,
        state: Path,
        limits: Limits,
        *,
        now: datetime,
        redactor: Redactor,
        actor: str | None = None,
        all_workspaces: bool = False,
    ) -> None:
        self._store, self._state, self._limits = store, state, limits
        self._now, self._redactor, self._actor = now, redactor, actor
        self._all_workspaces = all_workspaces

    def look(self) -> Collection:
        """What `collect` would do. Changes nothing."""
        drops, held, unfinished = self._sorted()
        measured: list[Drop] = []
        for group in _by_correlation(drops):
            sizes = self._store.measure_payloads([drop.execution_id for drop in group])
            measured += (replace(drop, size=sizes.get(drop.execution_id, PayloadSize())) for drop in group)
        return Collection(
            tuple(drop for drop in measured if not drop.empty),
            tuple(held),
            tuple(event.execution_id for event in unfinished),
        )

    def collect(self, progress: Progress = lambda *_: None) -> Collection:
        """Drops what is older than the limits; killed anywhere, the next call does the rest.

        Raises WorkspaceUnwritable for a file that cannot be removed, after everything else is done.
        """
        drops, held, unfinished = self._sorted()
        refused: WorkspaceUnwritable | None = None
        done: list[Drop] = []
        total = len(drops) + len(unfinished)
        progress(0, total)
        events = list(unfinished)
        seen = 0
        for batch in _batches(drops):
            self._store.drop_payloads([(drop.execution_id, self._told(drop)) for drop in batch])
            for drop in batch:
                event = self._store.get_payload_dropped(drop.execution_id)
                if event is not None:
                    events.append(event)
                    done.append(replace(drop, size=_size_of(event)))
            seen += len(batch)
            refused = self._finish_all(events) or refused
            events.clear()
            progress(seen, total)
        refused = self._finish_all(events) or refused
        progress(total, total)
        if refused is not None:
            raise refused
        return Collection(tuple(done), tuple(held), tuple(event.execution_id for event in unfinished))

    def _told(self, drop: Drop) -> dict[str, Any]:
        """The own fields of the event, beside those the store adds."""
        told = {
            "artifact_count": len(drop.files),
            "artifact_bytes": drop.file_bytes,
            "artifacts": [name for name, _ in drop.files[:_NAMES_TOLD]],
            "keep_days": self._limits.keep_days,
            "keep_count": self._limits.keep_count,
            "actor": self._actor,
        }
        return {name: value for name, value in told.items() if value is not None}

    def _sorted(self) -> tuple[list[Drop], list[tuple[str, Held]], list[EventRecord]]:
        """What is old enough: to be dropped, held, and dropped before but not to the end."""
        drops: list[Drop] = []
        held: list[tuple[str, Held]] = []
        unfinished: list[EventRecord] = []
        for page in self._pages():
            old = {record.execution_id: record for record in page if self._is_old(record)}
            for state in self._store.list_payloads([record.execution_id for record in page]):
                folder = self._folder(state.execution_id)
                if state.dropped_at is not None:
                    if folder.exists() and not folder.dropped:
                        event = self._store.get_payload_dropped(state.execution_id)
                        unfinished += [] if event is None else [event]
                    continue
                record = old.get(state.execution_id)
                if record is None:
                    continue
                reason = state.held or self._held_here(record)
                if reason is not None:
                    held.append((state.execution_id, reason))
                    continue
                files = tuple(folder.payload())
                drops.append(
                    Drop(
                        state.execution_id,
                        state.correlation_id,
                        record.ended_at,
                        record.title,
                        files,
                        folder.rescued_count(),
                    )
                )
        return drops, held, unfinished

    def _pages(self) -> Iterator[list[ExecutionRecord]]:
        """Every ended execution, newest first."""
        wanted = ExecutionFilter(
            workspace=() if self._all_workspaces else (self._store.workspace_id,),
            status=tuple(sorted(TERMINAL_STATUSES)),
        )
        self._seen: Counter[str | None] = Counter()
        cursor = None
        while True:
            page = self._store.list_executions(wanted, limit=_PAGE, cursor=cursor)
            yield list(page.items)
            cursor = page.next_cursor
            if cursor is None:
                return

    def _is_old(self, record: ExecutionRecord) -> bool:
        self._seen[record.workspace_id] += 1
        newest = self._limits.keep_count
        if newest is not None and self._seen[record.workspace_id] <= newest:
            return False
        since = self._limits.since(self._now)
        return since is None or (record.ended_at or record.started_at) < since

    def _held_here(self, record: ExecutionRecord) -> Held | None:
        """What the files beside the database say."""
        if record.workspace_id != self._store.workspace_id:
            return Held.JOURNAL if record.error_code == "rollback_incomplete" else None
        if leaves_journal(self._state, record.execution_id):
            return Held.JOURNAL
        return Held.RUNNING if is_marked(self._state, record.execution_id) else None

    def _folder(self, execution_id: str) -> ArtifactFolder:
        return ArtifactFolder(self._state, execution_id)

    def _finish_all(self, events: Sequence[EventRecord]) -> WorkspaceUnwritable | None:
        """The first refusal, once everything else is done."""
        refused = None
        for event in events:
            try:
                self._finish(event)
            except WorkspaceUnwritable as cause:
                refused = refused or cause
        return refused

    def _finish(self, event: EventRecord) -> None:
        folder = self._folder(event.execution_id)
        if not folder.exists():
            return
        EventRecorder(self._store, event.execution_id, folder.events, redactor=self._redactor).catch_up()
        folder.drop_payload()
        folder.write_json(DROPPED, event.to_dict())


def names_artifact(event: EventRecord, name: str) -> bool:
    """Whether a file of this name may be among those that were dropped."""
    names, count = event.data.get("artifacts"), event.data.get("artifact_count")
    listed = names if isinstance(names, list) else []
    if event.data.get("log_count") and name.startswith("steps/") and name.endswith(".log"):
        return True
    return name in listed or (isinstance(count, int) and count > len(listed))


def _size_of(event: EventRecord) -> PayloadSize:
    names = ("content_count", "content_bytes", "log_count", "log_bytes")
    contents, content_bytes, logs, log_bytes = (int(event.data.get(name, 0)) for name in names)
    return PayloadSize(contents, content_bytes, logs, log_bytes, present=bool(contents or logs))


def _by_correlation(drops: Sequence[Drop]) -> Iterator[list[Drop]]:
    groups: dict[str, list[Drop]] = {}
    for drop in drops:
        groups.setdefault(drop.correlation_id, []).append(drop)
    yield from groups.values()


def _batches(drops: Sequence[Drop]) -> Iterator[list[Drop]]:
    """Whole correlations where they fit: contents they share are then looked up once."""
    batch: list[Drop] = []
    for group in _by_correlation(drops):
        for drop in group:
            batch.append(drop)
            if len(batch) == _AT_ONCE:
                yield batch
                batch = []
    if batch:
        yield batch
