"""`ExecutionStore`: the record of all executions, whatever database it is kept in."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from executor import graph
from executor.errors import (
    AlreadyApproved,
    AmbiguousId,
    CorrelationMismatch,
    ExecutionEnded,
    ExecutionExists,
    ExecutionNotFound,
    InvalidInput,
    InvalidLimit,
    InvalidSettings,
    InvalidState,
    ParentNotFound,
    SelfParent,
    StepEnded,
    StepNotFound,
    TokenNotFound,
    TryAgain,
)
from executor.models.execution import (
    ATTEMPT_TRIGGERS,
    STEP_LOG_BYTES,
    TERMINAL_STATUSES,
    EventRecord,
    EventType,
    ExecutionFilter,
    ExecutionRecord,
    ExecutionStatus,
    Lineage,
    LineCounts,
    LinkKind,
    LinkRecord,
    Page,
    Statistics,
    StepCounts,
    StepLog,
    StepOutput,
    StepRecord,
    StepStatus,
    TestOutcome,
    TestResult,
    WorkspaceRecord,
)
from executor.models.ids import check_execution_id, check_label
from executor.models.numbers import check_count, check_limit, check_seconds
from executor.models.times import Clock, format_time, utc_now
from executor.storage import checks, rows
from executor.storage.base import ExecutionStorage, Scope
from executor.storage.cursor import Position, chain_digest, decode_cursor, encode_cursor, question_digest
from executor.storage.engine import Connection, Durability, Engine, Row, Watch
from executor.storage.filters import (
    Conditions,
    check_filter,
    conditions,
    count_statement,
    group_statement,
    grouped,
    in_workspace,
    joined,
    list_statement,
    of_correlation,
    page_with_total,
    sought,
    total_statement,
)
from executor.storage.location import (
    DATABASE_FILE,
    create_state_directory,
    ensure_workspace_id,
    read_workspace_id,
    resolve_workspace,
    state_directory,
)
from executor.storage.statistics import COUNTED, count_column, count_columns, summarize

if TYPE_CHECKING:
    from datetime import datetime

    from executor.migrations.target import DatabaseTarget
    from executor.models.approval import Approval
    from executor.models.change import Changeset
    from executor.models.decision import GovernanceDecision
    from executor.models.detail import ExecutionDetail
    from executor.models.plan import ChangePlan
    from executor.models.retention import PayloadSize, PayloadState
    from executor.models.token import TokenRecord
    from executor.storage._statements import Bound, Statements
    from executor.storage.imports import Batch

LIST_LIMIT: Final = 10_000
TOTAL_COUNTED: Final = 10_000

# Generations and rows a statement is asked for at most: more than any database holds.
_BOUNDLESS: Final = 1_000_000_000
# Ancestors fetched at a time: a cycle among them is noticed after as many rows.
_ANCESTORS_AT_A_TIME: Final = 1_000
_STATUS: Final = [field.name for field in fields(ExecutionRecord)].index("status")
# Nothing has to make up for these, whatever their verdict.
_SETTLED: Final = frozenset({ExecutionStatus.COMPLETED.value, ExecutionStatus.CANCELLED.value})
_DOCUMENTS_AT_A_TIME: Final = 50
# Earlier attempts looked at for one answer: those of a sensible page, and no walk through an endless retry.
_ATTEMPTS_FOLLOWED: Final = 10_000
_CANDIDATES_SHOWN: Final = 6
# Fewer rows than these are sorted sooner than met on a walk along all.
_RARE: Final = 2_000

# What has to be equal for a second start to be the same start.
_START_FIELDS: Final = (
    "plan_id",
    "changeset_id",
    "decision_id",
    "checksum",
    "verdict",
    "risk_level",
    "affected_paths",
    "artifact_path",
    "correlation_id",
    "parent_execution_id",
    "trigger_kind",
    "run_id",
    "workspace_id",
    "title",
    "actor",
    "base_commit",
    "branch",
    "session",
)


_START_EVENT_FIELDS: Final = (
    "trigger_kind",
    "parent_execution_id",
    "run_id",
    "attempt",
    "workspace_id",
    "actor",
    "title",
    "verdict",
    "risk_level",
    "checksum",
)


class _Family(NamedTuple):
    correlation_id: str
    attempt: int
    status: str


class _Question(NamedTuple):
    """What a filter asks, what its cursors are bound to, and how to tell whether it asks for little."""

    asked: Conditions
    digest: str
    sought: Conditions | None = None
    probe: Bound | None = None


class ExecutionStore(ExecutionStorage):
    """The executions of a workspace, or of all workspaces that share a database.

    `url` wins (`sqlite:///…`, `postgresql://…`), then EXECUTOR_DATABASE_URL, then the file in the state directory of
    `workspace` (the current directory by default), which is made when it is missing. With a URL the
    workspace only names the default scope.

    `durability="normal"`: a loss of power may take the last commits, a dying process none.
    `durability="full"`: nothing acknowledged is lost; many threads share the wait for the disk.
    `migrate=False` raises SchemaOutdated in place of upgrading an older database. `environ` is where
    Executor's variables are read from.
    """

    def __init__(
        self,
        workspace: str | os.PathLike[str] | None = None,
        *,
        url: str | None = None,
        durability: Durability = "normal",
        clock: Clock = utc_now,
        migrate: bool = True,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        if durability not in ("normal", "full"):
            raise InvalidSettings(f"durability is {durability!r}; use 'normal' or 'full'")
        self._clock = clock
        self._environ = environ
        self._workspace_id: str | None = None
        self._own_id: str | None = None
        url = url if url is not None else environ.get("EXECUTOR_DATABASE_URL") or None
        self._state = state_directory(resolve_workspace(workspace), environ)
        if url is None:
            create_state_directory(self._state)
        self._engine, self._target = _open(
            url if url is not None else self._state / DATABASE_FILE, durability, migrate, environ
        )
        self._sql: Statements = self._engine.sql
        self._remembered = lru_cache(maxsize=64)(self._asked)
        if url is None:
            self._workspace_id = ensure_workspace_id(self._state, environ)

    @property
    def db_path(self) -> Path:
        """The database file. Raises InvalidSettings for the database of a server, which has none."""
        if self._target.path is None:
            raise InvalidSettings(f"{self._target} is no file; a server has it")
        return self._target.path

    @property
    def target(self) -> DatabaseTarget:
        """Which database this is."""
        return self._target

    @property
    def workspace_id(self) -> str:
        if self._workspace_id is None:
            self._workspace_id = ensure_workspace_id(self._state, self._environ)
        return self._workspace_id

    @property
    def _own_workspace_id(self) -> str | None:
        """The workspace that rows without one belong to: the one whose state directory holds the file.

        The database of a server is in no state directory; there it is whoever asks.
        """
        if self._own_id is None:
            path = self._target.path
            beside = None if path is None else read_workspace_id(path.parent, {})
            self._own_id = beside or self._known_workspace_id()
        return self._own_id

    def _known_workspace_id(self) -> str | None:
        """The default scope as far as it exists: asking makes none."""
        return self._workspace_id or read_workspace_id(self._state, self._environ)

    def close(self) -> None:
        self._engine.close()

    def __repr__(self) -> str:
        return f"ExecutionStore({str(self._target)!r})"

    def _now(self) -> str:
        return format_time(self._clock())

    # Recording.

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
        now = self._now()
        values: dict[str, Any] = {
            "execution_id": check_execution_id(execution_id),
            "plan_id": checks.text("plan_id", plan_id),
            "changeset_id": checks.text("changeset_id", changeset_id),
            "decision_id": checks.text("decision_id", decision_id),
            "checksum": checks.text("checksum", checksum),
            "verdict": checks.verdict(verdict),
            "status": "pending",
            "risk_level": checks.risk_level(risk_level),
            "affected_paths": checks.paths(affected_paths),
            "started_at": now if started_at is None else checks.time("started_at", started_at),
            "artifact_path": checks.optional_text("artifact_path", artifact_path),
            "created_at": now,
            "correlation_id": correlation_id
            if correlation_id is None
            else check_label("correlation id", correlation_id),
            "parent_execution_id": parent_execution_id
            if parent_execution_id is None
            else checks.asked_id(parent_execution_id, "parent execution id"),
            "trigger_kind": checks.trigger_kind(trigger_kind),
            "run_id": run_id if run_id is None else check_label("run id", run_id),
            "workspace_id": self.workspace_id
            if workspace_id is None
            else check_label("workspace id", workspace_id),
            "title": checks.optional_text("title", title),
            "actor": checks.optional_text("actor", actor),
            "attempt": 1,
            "base_commit": checks.optional_text("base_commit", base_commit),
            "branch": checks.optional_text("branch", branch),
            "session": checks.optional_text("session", session),
        }
        if parent_execution_id == execution_id:
            raise SelfParent(execution_id)
        given_time = None if started_at is None else values["started_at"]
        why = checks.optional_text("why", why)
        reverts = None if reverts is None else checks.asked_id(reverts)
        documents = self._documents(values, plan, changeset, decision, base_contents)

        def work(connection: Connection) -> ExecutionRecord:
            row = values | self._place_in_graph(connection, values)
            if connection.execute(*self._sql.start_execution(**row)).rowcount < 1:
                return self._same_start(connection, row, given_time)
            for statement in documents(row["correlation_id"]):
                connection.execute(*statement)
            if reverts is not None:
                self._link(connection, execution_id, LinkKind.REVERTS, reverts, row["correlation_id"])
            self._append_one(
                connection,
                EventType.EXECUTION_START,
                execution_id,
                row["correlation_id"],
                now,
                _start_data(row, why, reverts),
            )
            return ExecutionRecord(**row)

        return self._engine.write(work)

    def record_change(
        self,
        execution_id: str,
        *,
        plan: ChangePlan,
        changeset: Changeset,
        decision: GovernanceDecision,
        base_contents: Mapping[str, bytes] | None = None,
    ) -> ExecutionRecord:
        execution_id = checks.asked_id(execution_id)
        values: dict[str, Any] = {
            "execution_id": execution_id,
            "plan_id": checks.text("plan_id", plan.plan_id),
            "changeset_id": checks.text("changeset_id", changeset.changeset_id),
            "decision_id": checks.text("decision_id", decision.decision_id),
            "checksum": checks.text("checksum", changeset.checksum),
            "verdict": checks.verdict(decision.verdict.value),
            "risk_level": checks.risk_level(decision.effective_risk.value),
            "affected_paths": checks.paths(changeset.paths),
        }
        from executor.storage.documents import encode

        statement, text = self._sql.replace_change(**values), encode(plan)
        documents = self._documents(
            values | {"created_at": self._now()}, plan, changeset, decision, base_contents
        )

        def work(connection: Connection) -> None:
            found = connection.execute(*statement).fetchall()
            if not found:
                self._existing(connection, execution_id)
                raise ExecutionExists(execution_id, ("content",))
            for document in documents(found[0][0]):
                connection.execute(*document)
            connection.execute(
                *self._sql.replace_plan(plan_id=plan.plan_id, correlation_id=found[0][0], document=text)
            )

        self._engine.write(work)
        record = self.get_execution(execution_id)
        assert record is not None
        return record

    def _place_in_graph(self, connection: Connection, values: Mapping[str, Any]) -> dict[str, Any]:
        """Correlation and attempt, which depend on the parent. Raises ParentNotFound, CorrelationMismatch."""
        execution_id, given = values["execution_id"], values["correlation_id"]
        parent_id = values["parent_execution_id"]
        if parent_id is None:
            return {"correlation_id": execution_id if given is None else given}
        parent = self._family(connection, parent_id)
        if parent is None:
            raise ParentNotFound(execution_id, parent_id)
        if given is not None and given != parent.correlation_id:
            raise CorrelationMismatch(execution_id, given, parent_id, parent.correlation_id)
        attempt = parent.attempt + 1 if values["trigger_kind"] in ATTEMPT_TRIGGERS else 1
        return {"correlation_id": parent.correlation_id, "attempt": attempt}

    def _family(self, connection: Connection, execution_id: str) -> _Family | None:
        row = connection.execute(*self._sql.select_family(execution_id=execution_id)).fetchone()
        return None if row is None else _Family(*row)

    def _same_start(
        self, connection: Connection, row: Mapping[str, Any], given_time: str | None
    ) -> ExecutionRecord:
        """The record that has the id, when this start is the one it came from. Raises ExecutionExists."""
        (found,) = connection.execute(
            *self._sql.select_execution(execution_id=row["execution_id"])
        ).fetchall()
        first = rows.execution(found, self._own_workspace_id)
        wanted = ExecutionRecord(**row)
        differing = [name for name in _START_FIELDS if getattr(first, name) != getattr(wanted, name)]
        if given_time is not None and first.started_at != given_time:
            differing.append("started_at")
        if differing:
            raise ExecutionExists(first.execution_id, differing)
        return first

    def _documents(
        self,
        values: Mapping[str, Any],
        plan: ChangePlan | None,
        changeset: Changeset | None,
        decision: GovernanceDecision | None,
        base_contents: Mapping[str, bytes] | None,
    ) -> Callable[[str], Iterable[Bound]]:
        """What to write once the correlation is known. Raises InvalidInput for a foreign document."""
        if plan is None and changeset is None and decision is None and not base_contents:
            return lambda correlation_id: ()
        from executor.storage import documents

        for name, document in (("plan_id", plan), ("changeset_id", changeset), ("decision_id", decision)):
            if document is not None and getattr(document, name) != values[name]:
                raise InvalidInput(
                    f"the document has the {name} {getattr(document, name)!r}, not {values[name]!r}"
                )
        contents = documents.contents_of(changeset, base_contents)
        texts = {
            "plan": documents.encode(plan) if plan is not None else None,
            "changeset": documents.encode(documents.without_contents(changeset))
            if changeset is not None
            else None,
            "decision": documents.encode(decision) if decision is not None else None,
        }
        sql, created_at = self._sql, values["created_at"]

        def statements(correlation_id: str) -> Iterable[Bound]:
            if texts["plan"] is not None:
                yield sql.insert_plan(
                    plan_id=values["plan_id"],
                    correlation_id=correlation_id,
                    document=texts["plan"],
                    created_at=created_at,
                )
            if texts["changeset"] is not None:
                yield sql.insert_changeset(
                    changeset_id=values["changeset_id"],
                    correlation_id=correlation_id,
                    checksum=values["checksum"],
                    document=texts["changeset"],
                    created_at=created_at,
                )
            if texts["decision"] is not None:
                yield sql.insert_decision(
                    decision_id=values["decision_id"],
                    correlation_id=correlation_id,
                    document=texts["decision"],
                    created_at=created_at,
                )
            for sha256, content in contents.items():
                yield sql.insert_content(sha256=sha256, correlation_id=correlation_id, content=content)

        return statements

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
        now = self._now()
        execution_id = checks.asked_id(execution_id)
        values: dict[str, Any] = {
            "status": checks.terminal_status(status),
            "ended_at": now if ended_at is None else checks.time("ended_at", ended_at),
            "duration_seconds": duration_seconds
            if duration_seconds is None
            else check_seconds("duration_seconds", duration_seconds),
            "files_changed": check_count("files_changed", files_changed),
            "verification_passed": checks.flag("verification_passed", verification_passed),
            "health_checks_passed": checks.flag("health_checks_passed", health_checks_passed),
            "rolled_back": checks.flag("rolled_back", rolled_back),
            "error_message": checks.optional_text("error_message", error_message),
            "error_step": checks.error_step(error_step),
            "error_code": checks.optional_text("error_code", error_code),
        }

        def work(connection: Connection) -> None:
            ended = connection.execute(
                *self._sql.end_execution(execution_id=execution_id, **values)
            ).fetchall()
            if not ended:
                self._same_end(connection, execution_id, values, ended_at is not None)
                return
            ((correlation_id, first_step, code, message),) = ended
            data = _without_none(
                {
                    "status": values["status"],
                    "duration_seconds": values["duration_seconds"],
                    "files_changed": files_changed,
                    "verification_passed": verification_passed,
                    "health_checks_passed": health_checks_passed,
                    "rolled_back": rolled_back,
                    "error_step": first_step,
                    "error_code": code,
                    "error_message": message,
                }
            )
            self._append_one(connection, EventType.EXECUTION_END, execution_id, correlation_id, now, data)

        self._engine.write(work)

    def _same_end(
        self, connection: Connection, execution_id: str, values: Mapping[str, Any], with_time: bool
    ) -> None:
        """Returns when this end is the one the execution had. Raises ExecutionNotFound, ExecutionEnded."""
        found = connection.execute(*self._sql.select_execution(execution_id=execution_id)).fetchall()
        if not found:
            raise ExecutionNotFound(execution_id)
        first = rows.execution(found[0], None)
        # The first failing step was recorded whichever was given here.
        compared = {**values, "error_step": None}
        if not with_time:
            compared["ended_at"] = None
        if any(value is not None and getattr(first, name) != value for name, value in compared.items()):
            raise ExecutionEnded(execution_id, first.status)

    def update_execution_status(
        self,
        execution_id: str,
        status: str,
        error_message: str | None = None,
        error_step: str | None = None,
    ) -> None:
        execution_id = checks.asked_id(execution_id)
        statement = self._sql.update_status(
            execution_id=execution_id,
            status=checks.running_status(status),
            error_message=checks.optional_text("error_message", error_message),
            error_step=checks.error_step(error_step),
        )

        def work(connection: Connection) -> None:
            if not connection.execute(*statement).fetchall():
                raise ExecutionEnded(execution_id, self._existing(connection, execution_id).status)

        self._engine.write(work)

    def _existing(self, connection: Connection, execution_id: str) -> _Family:
        family = self._family(connection, execution_id)
        if family is None:
            raise ExecutionNotFound(execution_id)
        return family

    def _locked(self, connection: Connection, execution_id: str) -> _Family:
        """`_existing`, and nobody else counts its events or ends it before the transaction is over."""
        row = connection.execute(*self._sql.lock_family(execution_id=execution_id)).fetchone()
        if row is None:
            raise ExecutionNotFound(execution_id)
        return _Family(*row)

    def record_step_start(
        self,
        execution_id: str,
        step_num: int,
        step_name: str,
        log_ref: str | None = None,
        *,
        metadata: str | None = None,
    ) -> int:
        now = self._now()
        execution_id = checks.asked_id(execution_id)
        number, name = check_count("step_num", step_num), checks.step_name(step_name)
        log_ref = checks.optional_text("log_ref", log_ref)
        metadata = checks.optional_text("metadata", metadata)

        def work(connection: Connection) -> int:
            family = self._locked(connection, execution_id)
            if family.status in TERMINAL_STATUSES:
                raise ExecutionEnded(execution_id, family.status)
            ((step_id,),) = connection.execute(
                *self._sql.insert_step(
                    execution_id=execution_id,
                    step_num=number,
                    step_name=name,
                    status=StepStatus.RUNNING.value,
                    started_at=now,
                    log_ref=log_ref,
                    metadata=metadata,
                )
            ).fetchall()
            data = _without_none(
                {
                    "step_id": step_id,
                    "step_num": number,
                    "step_name": name,
                    "log_ref": log_ref,
                    "metadata": metadata,
                }
            )
            self._append_one(connection, EventType.STEP_START, execution_id, family.correlation_id, now, data)
            return int(step_id)

        def done(connection: Connection) -> int | None:
            written = map(rows.step, _run(connection, self._sql.select_steps(execution_id=execution_id)))
            this = (number, name, now, log_ref)
            return next(
                (s.id for s in written if (s.step_num, s.step_name, s.started_at, s.log_ref) == this), None
            )

        return self._engine.write(work, done)

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
        now = self._now()
        if type(step_id) is not int or not 0 <= step_id < 2**63:
            raise StepNotFound(step_id)
        values: dict[str, Any] = {
            "status": checks.step_end(status),
            "duration_seconds": duration_seconds
            if duration_seconds is None
            else check_seconds("duration_seconds", duration_seconds),
            "error_code": checks.optional_text("error_code", error_code),
            "error_message": checks.optional_text("error_message", error_message),
        }
        log = None if output is None else _log_values(output)

        def work(connection: Connection) -> None:
            ended = connection.execute(
                *self._sql.end_step(step_id=step_id, ended_at=now, **values)
            ).fetchall()
            if not ended:
                self._same_step_end(connection, step_id, values)
                return
            step = rows.step(ended[0])
            data = {"step_id": step_id, "step_num": step.step_num, "step_name": step.step_name, **values}
            family = self._locked(connection, step.execution_id)
            if log is not None:
                insert = self._sql.insert_step_log(
                    **log,
                    correlation_id=family.correlation_id,
                    execution_id=step.execution_id,
                    step_num=step.step_num,
                    created_at=now,
                )
                connection.execute(*insert)
            self._append_one(
                connection,
                EventType.STEP_END,
                step.execution_id,
                family.correlation_id,
                now,
                _without_none(data),
            )

        self._engine.write(work)

    def _same_step_end(self, connection: Connection, step_id: int, values: Mapping[str, Any]) -> None:
        found = connection.execute(*self._sql.select_step(step_id=step_id)).fetchall()
        if not found:
            raise StepNotFound(step_id)
        first = rows.step(found[0])
        if any(getattr(first, name) != value for name, value in values.items()):
            raise StepEnded(step_id, first.status)

    def record_many(self, rows: Iterable[ExecutionRecord | Mapping[str, Any]]) -> int:
        from executor.storage.imports import batches

        written = 0
        for batch in batches(rows):
            try:
                self._engine.write(partial(self._import, batch=batch), partial(self._imported, ids=batch.ids))
            except self._engine.IntegrityError as cause:
                raise ExecutionExists(self._taken(batch.ids), ["content"]) from cause
            written += len(batch)
        return written

    def _import(self, connection: Connection, batch: Batch) -> bool:
        def stored(ids: Sequence[str]) -> dict[str, tuple[str, int]]:
            statement = self._sql.select_families(values=self._engine.text_list(ids))
            return {row[0]: (row[1], row[2]) for row in _run(connection, statement)}

        self._engine.import_executions(connection, batch.settled(stored, self.workspace_id), len(batch))
        return True

    def _imported(self, connection: Connection, ids: Sequence[str]) -> bool | None:
        """True when all of the batch is there: it is written whole or not at all."""
        statement = self._sql.select_taken(values=self._engine.text_list(ids))
        return len(_run(connection, statement)) == len(ids) or None

    def _taken(self, ids: Sequence[str]) -> str:
        """An id of a batch that is stored already, or stands in it twice."""
        stored = self._engine.query(self._sql.select_taken(values=self._engine.text_list(ids)))
        return str(stored[0][0]) if stored else Counter(ids).most_common(1)[0][0]

    def append_events(
        self, execution_id: str, events: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> list[EventRecord]:
        execution_id = checks.asked_id(execution_id)
        now = self._now()
        encoded = [(checks.event(event), rows.event_text(data)) for event, data in events]

        def work(connection: Connection) -> list[Row]:
            correlation_id = self._locked(connection, execution_id).correlation_id
            self._engine.number_events(connection)
            (last,) = connection.execute(*self._sql.select_last_event(execution_id=execution_id)).fetchall()
            numbered = [
                (correlation_id, execution_id, last[0] + n, last[1] + n, event, now, text)
                for n, (event, text) in enumerate(encoded, 1)
            ]
            connection.executemany(self._sql.INSERT_EVENT, numbered)
            return numbered

        def done(connection: Connection) -> list[Row] | None:
            statement = self._sql.select_events(execution_id=execution_id, after=0, limit=_BOUNDLESS)
            these = [(event, now, text) for event, text in encoded]
            found = _run(connection, statement)
            for first in range(len(found) - len(these), -1, -1):
                candidates = found[first : first + len(these)]
                if [(event, time, text) for event, _, _, _, time, text, _ in candidates] == these:
                    return [
                        (correlation, execution, seq, position, event, time, text)
                        for event, execution, correlation, seq, time, text, position in candidates
                    ]
            return None

        written = self._engine.write(work, done)
        return [
            rows.event((event, execution, correlation, seq, timestamp, text, position))
            for correlation, execution, seq, position, event, timestamp, text in written
        ]

    def _append_one(
        self,
        connection: Connection,
        event: EventType,
        execution_id: str,
        correlation_id: str,
        timestamp: str,
        data: Mapping[str, Any],
    ) -> None:
        self._engine.append(
            connection,
            self._sql.append_event(
                correlation_id=correlation_id,
                execution_id=execution_id,
                event=event.value,
                timestamp=timestamp,
                data=rows.event_text(data),
            ),
        )

    def add_link(self, source_id: str, kind: str, target_id: str) -> None:
        source_id, target_id = checks.asked_id(source_id), checks.asked_id(target_id)
        kind = checks.link_kind(kind)

        def work(connection: Connection) -> None:
            correlation_id = self._existing(connection, source_id).correlation_id
            self._link(connection, source_id, kind, target_id, correlation_id)

        self._engine.write(work)

    def _link(
        self, connection: Connection, source_id: str, kind: str, target_id: str, correlation_id: str
    ) -> None:
        """Raises ExecutionNotFound."""
        if kind != LinkKind.COMMIT:
            self._existing(connection, target_id)
        connection.execute(
            *self._sql.insert_link(
                source_id=source_id, kind=kind, target_id=target_id, correlation_id=correlation_id
            )
        )

    def dismiss(self, execution_id: str, reason: str, actor: str | None = None) -> None:
        data = _without_none(
            {"reason": checks.text("reason", reason), "actor": checks.optional_text("actor", actor)}
        )
        self._set_dismissed(execution_id, True, data)

    def undismiss(self, execution_id: str, reason: str | None = None, actor: str | None = None) -> None:
        data = _without_none(
            {"reason": checks.optional_text("reason", reason), "actor": checks.optional_text("actor", actor)}
        )
        self._set_dismissed(execution_id, False, data)

    def _set_dismissed(self, execution_id: str, dismissed: bool, data: Mapping[str, Any]) -> None:
        now = self._now()
        execution_id = checks.asked_id(execution_id)

        def work(connection: Connection) -> None:
            self._locked(connection, execution_id)
            record = self._record(connection, execution_id)
            if dismissed and not graph.needs_someone(record):
                raise InvalidState(
                    execution_id,
                    record.status,
                    "only what failed, was rolled back or awaits approval is dismissed",
                )
            statement = self._sql.select_dismissed(execution_id=execution_id)
            if bool(connection.execute(*statement).fetchall()) == dismissed:
                return
            event = EventType.DISMISSED if dismissed else EventType.UNDISMISSED
            self._append_one(connection, event, execution_id, str(record.correlation_id), now, data)

        self._engine.write(work)

    # Approvals.

    def record_approval(self, approval: Approval) -> None:
        from executor.storage.documents import encode

        now = self._now()
        execution_id = checks.asked_id(approval.execution_id)
        data = _without_none(
            {
                "approval_id": approval.approval_id,
                "approved_by": approval.approved_by,
                "reason": approval.reason,
                "expires_at": approval.expires_at,
            }
        )
        row = {
            "execution_id": execution_id,
            "approval_id": approval.approval_id,
            "checksum": approval.changeset_checksum,
            "document": encode(approval),
            "created_at": now,
            "expires_at": approval.expires_at,
        }

        def work(connection: Connection) -> bool:
            pending = ExecutionStatus.PENDING.value
            held = _run(connection, self._sql.move_awaiting(execution_id=execution_id, status=pending))
            for (correlation_id,) in held:
                insert = self._sql.insert_approval(**row, correlation_id=correlation_id)
                if connection.execute(*insert).rowcount < 1:
                    break
                self._append_one(connection, EventType.APPROVED, execution_id, correlation_id, now, data)
                return True
            first = self._approval(connection, execution_id)
            if first is not None:
                raise AlreadyApproved(execution_id, first.approved_by, first.approved_at)
            record = self._record(connection, execution_id)
            raise InvalidState(execution_id, record.status, "it does not await approval")

        def done(connection: Connection) -> bool | None:
            kept = self._approval(connection, execution_id)
            return (kept is not None and kept.approval_id == approval.approval_id) or None

        self._engine.write(work, done)

    def begin_approved(self, execution_id: str) -> bool:
        execution_id = checks.asked_id(execution_id)
        statement = self._sql.move_awaiting(
            execution_id=execution_id, status=ExecutionStatus.VALIDATING.value
        )

        def unknown(connection: Connection) -> bool | None:
            # Whether this caller moved it or another, nobody can tell: neither may go on.
            if self._existing(connection, execution_id).status != ExecutionStatus.PENDING:
                raise TryAgain(f"the connection was lost while execution {execution_id!r} was being begun")
            return None

        return self._engine.write(lambda connection: bool(_run(connection, statement)), unknown)

    def cancel_awaiting(
        self,
        execution_id: str,
        *,
        error_code: str,
        error_message: str,
        denied: Mapping[str, Any] | None = None,
    ) -> bool:
        now = self._now()
        execution_id = checks.asked_id(execution_id)
        end = {
            "status": ExecutionStatus.CANCELLED.value,
            "error_code": checks.text("error_code", error_code),
            "error_message": checks.text("error_message", error_message),
        }
        statement = self._sql.end_awaiting(
            execution_id=execution_id,
            ended_at=now,
            error_code=end["error_code"],
            error_message=end["error_message"],
        )

        def work(connection: Connection) -> bool:
            ended = _run(connection, statement)
            if not ended:
                return False
            ((correlation_id,),) = ended
            if denied is not None:
                self._append_one(connection, EventType.DENIED, execution_id, correlation_id, now, denied)
            self._append_one(connection, EventType.EXECUTION_END, execution_id, correlation_id, now, end)
            return True

        def done(connection: Connection) -> bool | None:
            record = self._record(connection, execution_id)
            return (record.status, record.ended_at) == (ExecutionStatus.CANCELLED, now) or None

        return self._engine.write(work, done)

    def get_approval(self, execution_id: str) -> Approval | None:
        execution_id = checks.asked_id(execution_id)
        return self._engine.read(lambda connection: self._approval(connection, execution_id))

    def _approval(self, connection: Connection, execution_id: str) -> Approval | None:
        found = _run(connection, self._sql.select_approval(execution_id=execution_id))
        return self._decoded_approval(found[0]) if found else None

    def list_approvals(self, correlation_id: str, checksum: str) -> list[Approval]:
        found = self._engine.query(
            self._sql.select_approvals(
                correlation_id=checks.asked_id(correlation_id, "correlation id"),
                checksum=checks.asked_id(checksum, "checksum"),
            )
        )
        return [approval for row in found if (approval := self._decoded_approval(row)) is not None]

    def _decoded_approval(self, row: Row) -> Approval | None:
        from executor.models.approval import Approval
        from executor.storage.documents import decode

        return decode(row[0], Approval)

    def list_expired_approvals(self, now: datetime) -> list[str]:
        found = self._engine.query(self._sql.select_expired(now=format_time(now, "now")))
        return [row[0] for row in found]

    # Results of tests.

    def record_test_results(self, results: Sequence[TestResult]) -> None:
        outcomes = {outcome.value for outcome in TestOutcome}
        rows: list[dict[str, Any]] = []
        for result in results:
            if result.outcome not in outcomes:
                raise InvalidInput(
                    f"{result.outcome!r} is no outcome of a test: {', '.join(sorted(outcomes))}"
                )
            rows.append(
                {
                    "execution_id": checks.asked_id(result.execution_id),
                    "step_num": check_count("step_num", result.step_num),
                    "test_id": checks.text("test id", result.test_id),
                    "outcome": result.outcome,
                    "duration_seconds": None
                    if result.duration_seconds is None
                    else check_seconds("duration_seconds", result.duration_seconds),
                    "exception_type": checks.optional_text("exception type", result.exception_type),
                    "message": checks.optional_text("message", result.message),
                    "file": checks.optional_text("file", result.file),
                    "line": None if result.line is None else check_count("line", result.line),
                }
            )

        def work(connection: Connection) -> None:
            owners = dict.fromkeys((str(row["execution_id"]) for row in rows), "")
            for execution_id in owners:
                owners[execution_id] = str(self._record(connection, execution_id).correlation_id)
            for row in rows:
                insert = self._sql.insert_test_result(**row, correlation_id=owners[str(row["execution_id"])])
                connection.execute(*insert)

        if rows:
            self._engine.write(work)

    def list_test_results(self, execution_id: str) -> list[TestResult]:
        found = self._engine.query(self._sql.select_test_results(execution_id=checks.asked_id(execution_id)))
        return [TestResult(*row) for row in found]

    def list_test_history(self, test_id: str, limit: int = 100) -> list[TestResult]:
        statement = self._sql.select_test_history(
            test_id=checks.text("test id", test_id), limit=min(check_limit("limit", limit), _BOUNDLESS)
        )
        return [TestResult(*row) for row in self._engine.query(statement)]

    # Logs of steps.

    def list_step_logs(self, execution_id: str) -> list[StepLog]:
        found = self._engine.query(self._sql.select_step_logs(execution_id=checks.asked_id(execution_id)))
        return [rows.step_log(row) for row in found]

    def get_step_log(self, execution_id: str, name: str) -> bytes | None:
        statement = self._sql.select_step_log(
            execution_id=checks.asked_id(execution_id), name=checks.asked_id(name, "name of a log")
        )
        found = self._engine.query(statement)
        return rows.step_log_content(found[0]) if found else None

    def register_workspace(self, workspace_id: str, host: str, path: str) -> None:
        statement = self._sql.register_workspace(
            workspace_id=check_label("workspace id", workspace_id),
            host=checks.text("host", host),
            path=checks.text("path", path),
            created_at=self._now(),
        )
        self._engine.write(lambda connection: connection.execute(*statement).rowcount)

    # Reading.

    def get_execution(self, execution_id: str) -> ExecutionRecord | None:
        found = self._engine.query(self._sql.select_execution(execution_id=checks.asked_id(execution_id)))
        return rows.execution(found[0], self._own_workspace_id) if found else None

    def _record(self, connection: Connection, execution_id: str) -> ExecutionRecord:
        found = connection.execute(*self._sql.select_execution(execution_id=execution_id)).fetchall()
        if not found:
            raise ExecutionNotFound(execution_id)
        return rows.execution(found[0], self._own_workspace_id)

    def get_execution_detail(self, execution_id: str) -> ExecutionDetail:
        from executor.models.approval import Approval
        from executor.models.decision import GovernanceDecision
        from executor.models.detail import ExecutionDetail
        from executor.models.plan import ChangePlan
        from executor.storage.documents import decode

        execution_id = checks.asked_id(execution_id)

        reverting = self._sql.select_reverted(values=self._engine.text_list([execution_id]))

        def work(
            connection: Connection,
        ) -> tuple[Row, bool, list[Row], list[LinkRecord], Row | None, list[Row]]:
            found = _run(connection, self._sql.select_detail(execution_id=execution_id))
            if not found:
                raise ExecutionNotFound(execution_id)
            # Most executions came out well, and need no look at their families.
            open_end = found[0][_STATUS] not in _SETTLED and bool(
                _run(connection, self._sql.select_unresolved(execution_id=execution_id))
            )
            steps = _run(connection, self._sql.select_steps(execution_id=execution_id))
            links = list(map(rows.link, _run(connection, self._sql.select_links(execution_id=execution_id))))
            undone = LinkKind.REVERTS in [link.kind for link in links] and _run(connection, reverting)
            dropped = _run(connection, self._sql.select_dropped(execution_id=execution_id))
            return found[0], open_end, steps, links, undone[0] if undone else None, dropped

        (*row, plan, decision, approval), unresolved, steps, links, undone, dropped = self._engine.read(work)
        return ExecutionDetail(
            execution=rows.execution(tuple(row), self._own_workspace_id),
            unresolved=unresolved,
            steps=[rows.step(step) for step in steps],
            plan=decode(plan, ChangePlan),
            decision=decode(decision, GovernanceDecision),
            approval=decode(approval, Approval),
            links=links,
            reverted_by=undone[1] if undone else None,
            payload_dropped=rows.event(dropped[0]) if dropped else None,
        )

    def get_execution_steps(self, execution_id: str) -> list[StepRecord]:
        found = self._engine.query(self._sql.select_steps(execution_id=checks.asked_id(execution_id)))
        return [rows.step(row) for row in found]

    def list_steps(self, execution_ids: Sequence[str]) -> dict[str, list[StepRecord]]:
        given = {checks.asked_id(name): name for name in execution_ids}
        found: dict[str, list[StepRecord]] = {name: [] for name in execution_ids}
        asked = self._sql.select_steps_of(values=self._engine.text_list(list(given)))
        for row in self._engine.query(asked):
            step = rows.step(row)
            found[given[step.execution_id]].append(step)
        return found

    def list_first_attempts(self, execution_ids: Sequence[str]) -> dict[str, str]:
        given = {checks.asked_id(name): name for name in execution_ids}
        asked = self._sql.select_first_attempts(
            values=self._engine.text_list(list(given)), limit=_ATTEMPTS_FOLLOWED
        )
        first = graph.first_attempts(dict(self._engine.query(asked)))
        return {name: first[asked] for asked, name in given.items() if asked in first}

    def count_lines(self, execution_ids: Sequence[str]) -> dict[str, LineCounts]:
        from executor.storage.documents import line_counts

        given = {checks.asked_id(name): name for name in execution_ids}
        ids = list(given)
        found: dict[str, LineCounts] = {}
        # Those of large changes are large: not all in memory at once.
        for first in range(0, len(ids), _DOCUMENTS_AT_A_TIME):
            some = self._engine.text_list(ids[first : first + _DOCUMENTS_AT_A_TIME])
            for execution_id, text in self._engine.query(self._sql.select_changesets(values=some)):
                counts = line_counts(text)
                if counts is not None:
                    found[given[execution_id]] = counts
        return found

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
        check_limit("limit", limit, LIST_LIMIT)
        _check_offset(offset)
        question = self._question(filter, oldest_first)
        asked = self._way_to(question)
        after = None if cursor is None else decode_cursor(cursor, question.digest)
        statement = self._listing(
            asked, limit=limit + 1, offset=offset, after=after, oldest_first=oldest_first
        )
        total: int | None = None
        if with_total:
            found, total = self._page_and_total(statement, self._counting(asked), oldest_first)
        else:
            found = self._engine.query(statement)
        items = rows.executions(found[:limit], self._own_workspace_id)
        more = len(found) > limit
        last = Position(items[-1].started_at, items[-1].execution_id) if more else None
        return Page(
            items,
            next_cursor=encode_cursor(last, question.digest) if last else None,
            total=total if total is not None and total <= TOTAL_COUNTED else None,
            total_at_least=TOTAL_COUNTED if total is not None and total > TOTAL_COUNTED else None,
        )

    def _listing(
        self,
        asked: Conditions,
        *,
        limit: int,
        offset: int = 0,
        after: Position | None = None,
        oldest_first: bool = False,
    ) -> Bound:
        return list_statement(
            self._sql.LIST_EXECUTIONS,
            asked,
            self._engine,
            limit=limit,
            offset=offset,
            after=after,
            oldest_first=oldest_first,
        )

    def _counting(self, asked: Conditions) -> Bound:
        return total_statement(self._sql.COUNT_EXECUTIONS, asked, self._sql, TOTAL_COUNTED + 1)

    def _page_and_total(self, listing: Bound, counting: Bound, oldest_first: bool) -> tuple[list[Row], int]:
        """Of one moment."""
        if self._engine.is_remote:
            found = self._engine.query(page_with_total(listing, counting, oldest_first=oldest_first))
            if found:
                return [row[:-1] for row in found], found[0][-1]
            # Without a row, nothing carries the total.
        page, ((total,),) = self._engine.read(
            lambda connection: (_run(connection, listing), _run(connection, counting))
        )
        return page, total

    def get_statistics(self, filter: ExecutionFilter | None = None) -> Statistics:
        asked = self._question(filter, False).asked
        return self._engine.read(lambda connection: self._statistics(connection, asked.anywhere()))

    def _question(self, filter: ExecutionFilter | None, oldest_first: bool) -> _Question:
        if filter is None or type(filter) is ExecutionFilter:
            # The next page, or the same list in a moment, is the usual question.
            with suppress(TypeError):
                return self._remembered(filter, self._own_workspace_id, oldest_first)
        return self._asked(filter, self._own_workspace_id, oldest_first)

    def _asked(
        self, filter: ExecutionFilter | None, own_workspace_id: str | None, oldest_first: bool
    ) -> _Question:
        checked = check_filter(filter)
        asked = conditions(checked, self._engine, own_workspace_id)
        digest = question_digest(checked, oldest_first)
        found = sought(checked, self._engine)
        if found is None:
            return _Question(asked, digest)
        name, condition = found
        return _Question(
            asked,
            digest,
            sought=conditions(checked, self._engine, own_workspace_id, seek=name),
            probe=count_statement(self._sql.COUNT_EXECUTIONS, Conditions(((condition,),)), self._sql, _RARE),
        )

    def _way_to(self, question: _Question) -> Conditions:
        """The conditions in the form that finds a page soonest. All forms let pass the same rows."""
        if question.probe is not None and question.sought is not None:
            ((found,),) = self._engine.query(question.probe)
            if found < _RARE:
                return question.sought
        return question.asked

    def _statistics(self, connection: Connection, asked: Bound) -> Statistics:
        if asked[0] or _run(connection, self._nameless()):
            asked = joined(
                " AND ", map(grouped, [*([asked] if asked[0] else []), self._sql.where_identified()])
            )
        counted = self._counts(connection, asked)
        timed = [self._sql.where_ended_with_duration(), *([asked] if asked[0] else [])]
        condition = joined(" AND ", map(grouped, timed))
        found = _run(connection, group_statement(self._sql.LIST_DURATIONS, condition, 0))
        durations = sorted(seconds for (seconds,) in found if isinstance(seconds, int | float))
        return summarize(counted, durations)

    def _nameless(self) -> Bound:
        """Asks for a row that has no id and does not count."""
        return group_statement(self._sql.COUNT_EXECUTIONS, self._sql.where_nameless(), 0)

    def _counts(self, connection: Connection, asked: Bound) -> dict[str, Counter[str]]:
        """How often each value occurs, by column; of the steps, only those of failures."""
        sql = self._sql
        if asked[0]:
            return count_columns(_run(connection, group_statement(sql.COUNT_BY_ALL, asked, len(COUNTED))))
        # Everything is asked for: each count is one walk along an index, without touching the rows.
        failed = joined(" OR ", [sql.where_failed(), sql.where_rolled_back()])
        heads = {
            "status": (sql.COUNT_BY_STATUS, asked),
            "verdict": (sql.COUNT_BY_VERDICT, asked),
            "risk_level": (sql.COUNT_BY_RISK_LEVEL, asked),
            "trigger_kind": (sql.COUNT_BY_TRIGGER_KIND, asked),
            "error_step": (sql.COUNT_FAILING_STEPS, failed),
        }
        return {
            name: count_column(name, _run(connection, group_statement(head, condition, 1)))
            for name, (head, condition) in heads.items()
        }

    def count_steps(self) -> StepCounts:
        by_name, by_status = self._engine.read(
            lambda connection: (
                _run(connection, self._sql.count_steps_by_name()),
                _run(connection, self._sql.count_steps_by_status()),
            )
        )
        return StepCounts(dict(by_name), dict(by_status))

    def resolve_execution_id(self, text: str, *, workspace_id: Scope = ...) -> str:
        text = checks.asked_id(text)
        scope = self._scope_filter(workspace_id)
        if text in ("@last", "@last-failed"):
            return self._newest(text, scope)
        if self._engine.query(self._sql.select_family(execution_id=text)):
            return text
        if text:
            for question in (self._begins_with(text), self._sql.where_id_ends(value=text)):
                found = self._ids(question, scope)
                if len(found) == 1:
                    return found[0]
                if found:
                    raise AmbiguousId(text, found)
        raise ExecutionNotFound(text)

    def _newest(self, text: str, scope: ExecutionFilter) -> str:
        if text == "@last-failed":
            failed = (ExecutionStatus.FAILED.value, ExecutionStatus.ROLLED_BACK.value)
            scope = ExecutionFilter(workspace=scope.workspace, status=failed)
        newest = self.list_executions(scope, limit=1).items
        if not newest:
            raise ExecutionNotFound(text)
        return newest[0].execution_id

    def _begins_with(self, text: str) -> Bound:
        above = _successor(text)
        if above is None:
            return self._sql.where_id_from(low=text)
        return self._sql.where_id_between(low=text, high=above)

    def _ids(self, question: Bound, scope: ExecutionFilter) -> list[str]:
        scoped = conditions(scope, self._engine, self._own_workspace_id)
        asked = Conditions(scoped.parts).with_all([question])
        statement = list_statement(self._sql.LIST_EXECUTION_IDS, asked, self._engine, limit=_CANDIDATES_SHOWN)
        return [row[0] for row in self._engine.query(statement)]

    def _scope_filter(self, workspace_id: Scope) -> ExecutionFilter:
        if workspace_id is None:
            return ExecutionFilter()
        return ExecutionFilter(workspace=(self.workspace_id if workspace_id is ... else workspace_id,))

    def find_completed_by_checksum(self, checksum: str, workspace_id: Scope = ...) -> list[ExecutionRecord]:
        sql = self._sql
        question = (
            sql.where_checksum_is(value=checks.asked_id(checksum, "checksum")),
            sql.where_also_completed(),
            *self._in_workspace(workspace_id),
        )
        return self._records(self._listing(Conditions((question,)), limit=LIST_LIMIT))

    def list_executions_by_plan(self, plan_id: str, limit: int = 100) -> list[ExecutionRecord]:
        question = self._sql.where_plan_id_is(value=checks.asked_id(plan_id, "plan id"))
        asked = Conditions(((question,),))
        return self._records(
            self._listing(asked, limit=min(check_limit("limit", limit), _BOUNDLESS), oldest_first=True)
        )

    def list_unended(self, workspace_id: Scope = ...) -> list[ExecutionRecord]:
        asked = Conditions(((self._sql.where_running(), *self._in_workspace(workspace_id)),))
        return self._records(self._listing(asked, limit=_BOUNDLESS, oldest_first=True))

    def _in_workspace(self, workspace_id: Scope) -> list[Bound]:
        return [
            in_workspace(name, self._engine, self._own_workspace_id)
            for name in self._scope_filter(workspace_id).workspace
        ]

    def _records(self, statement: Bound) -> list[ExecutionRecord]:
        return rows.executions(self._engine.query(statement), self._own_workspace_id)

    # The graph.

    def get_execution_lineage(self, execution_id: str, depth: int = 20, limit: int = 10_000) -> Lineage:
        depth = min(check_limit("depth", depth), _BOUNDLESS)
        limit = min(check_limit("limit", limit), _BOUNDLESS)
        execution_id = checks.asked_id(execution_id)
        return self._engine.read(lambda connection: self._lineage(connection, execution_id, depth, limit))

    def _lineage(self, connection: Connection, execution_id: str, depth: int, limit: int) -> Lineage:
        own = self._own_workspace_id
        execution = self._record(connection, execution_id)
        ancestors: list[Row] = []
        siblings: list[ExecutionRecord] = []
        more_above = False
        if execution.parent_execution_id is not None:
            ancestors, more_above = self._ancestors(connection, execution_id, min(depth, limit))
            asked = self._sql.select_siblings(
                parent_id=execution.parent_execution_id, execution_id=execution_id, limit=limit + 1
            )
            siblings = rows.executions(connection.execute(*asked), own)
        descendants, more_below = self._descendants(connection, execution_id, depth, limit)
        return {
            "execution": execution,
            "ancestors": rows.executions(reversed(ancestors), own),
            "descendants": descendants,
            "siblings": siblings[:limit],
            "truncated": {
                "ancestors": more_above,
                "descendants": more_below,
                "siblings": len(siblings) > limit,
            },
        }

    def _ancestors(self, connection: Connection, execution_id: str, wanted: int) -> tuple[list[Row], bool]:
        """The nearest `wanted`, nearest first, and whether there are more."""
        seen = {execution_id}
        found: list[Row] = []
        start = execution_id
        while True:
            depth = min(wanted + 1 - len(found), _ANCESTORS_AT_A_TIME)
            above = _run(connection, self._sql.select_ancestors(execution_id=start, depth=depth))
            for row in above:
                if row[0] in seen:
                    return found, False
                if len(found) == wanted:
                    return found, True
                seen.add(row[0])
                found.append(row)
            if len(above) < depth:
                return found, False
            start = found[-1][0]

    def _descendants(
        self, connection: Connection, execution_id: str, depth: int, limit: int
    ) -> tuple[list[ExecutionRecord], bool]:
        """The first `limit` of the nearest `depth` generations, and whether there are more.

        Most answers are whole: these are fetched as they come and put in order here, which is cheaper
        than sorting wide rows in the database. An answer that is cut has to be cut in order.
        """
        own = self._own_workspace_id
        asked = self._sql.select_descendants(execution_id=execution_id, depth=depth, limit=limit + 1)
        found, deepest = rows.generations(connection.execute(*asked), own)
        if len(found) > limit:
            asked = self._sql.select_first_descendants(execution_id=execution_id, depth=depth, limit=limit)
            return rows.generations(connection.execute(*asked), own)[0], True
        if deepest < depth:
            return found, False
        deeper = self._sql.select_deeper(execution_id=execution_id, depth=depth + 1)
        return found, bool(_run(connection, deeper))

    def list_executions_by_correlation(self, correlation_id: str, limit: int = 100) -> list[ExecutionRecord]:
        limit = min(check_limit("limit", limit), _BOUNDLESS)
        correlation_id = checks.asked_id(correlation_id, "correlation id")
        return self._records(self._sql.select_chain(correlation_id=correlation_id, limit=limit))

    def list_chain(
        self, correlation_id: str, limit: int = 100, cursor: str | None = None
    ) -> Page[ExecutionRecord]:
        check_limit("limit", limit, LIST_LIMIT)
        correlation_id = checks.asked_id(correlation_id, "correlation id")
        question = chain_digest(correlation_id)
        after = None if cursor is None else decode_cursor(cursor, question)
        statement = self._listing(
            of_correlation(correlation_id, self._engine), limit=limit + 1, after=after, oldest_first=True
        )
        found = self._records(statement)
        items = found[:limit]
        last = Position(items[-1].started_at, items[-1].execution_id) if len(found) > limit else None
        return Page(items, next_cursor=encode_cursor(last, question) if last else None)

    def count_executions_by_correlation(self, correlation_id: str) -> int:
        correlation_id = checks.asked_id(correlation_id, "correlation id")
        ((count,),) = self._engine.query(self._sql.count_chain(correlation_id=correlation_id))
        return int(count)

    def get_root_execution(self, correlation_id: str) -> ExecutionRecord | None:
        correlation_id = checks.asked_id(correlation_id, "correlation id")
        found = self._records(self._sql.select_root(correlation_id=correlation_id))
        return found[0] if found else None

    def get_attempt_tree(self, execution_id: str, limit: int = 10_000) -> list[ExecutionRecord]:
        limit = min(check_limit("limit", limit), _BOUNDLESS)
        execution_id = checks.asked_id(execution_id)
        found = self._records(self._sql.select_attempt_tree(execution_id=execution_id, limit=limit))
        if not found:
            raise ExecutionNotFound(execution_id)
        return found

    def is_unresolved(self, execution_id: str) -> bool:
        execution_id = checks.asked_id(execution_id)

        def work(connection: Connection) -> bool:
            self._existing(connection, execution_id)
            return bool(_run(connection, self._sql.select_unresolved(execution_id=execution_id)))

        return self._engine.read(work)

    # Events, links, documents.

    def list_events(
        self, execution_id: str, *, after: int = 0, limit: int = 1000, tail: int | None = None
    ) -> list[EventRecord]:
        execution_id = checks.asked_id(execution_id)
        limit = min(check_limit("limit", limit), _BOUNDLESS)
        after = _check_position("after", after)
        if tail is None:
            found = self._engine.query(
                self._sql.select_events(execution_id=execution_id, after=after, limit=limit)
            )
            return [rows.event(row) for row in found]
        tail = min(check_limit("tail", tail), limit)
        found = self._engine.query(
            self._sql.select_last_events(execution_id=execution_id, after=after, limit=tail)
        )
        return [rows.event(row) for row in reversed(found)]

    def read_events_after(self, position: int, limit: int = 1000) -> list[EventRecord]:
        limit = min(check_limit("limit", limit), _BOUNDLESS)
        position = _check_position("position", position)
        found = self._engine.query(self._sql.select_events_after(position=position, limit=limit))
        return [rows.event(row) for row in found]

    def last_event_position(self) -> int:
        ((position,),) = self._engine.query(self._sql.select_last_position())
        return int(position)

    def watch_events(self) -> Watch:
        return self._engine.watch()

    def list_reverted(self, execution_ids: Sequence[str]) -> dict[str, str]:
        asked = self._engine.text_list([checks.asked_id(name) for name in execution_ids])
        return dict(self._engine.query(self._sql.select_reverted(values=asked)))

    def list_links(self, execution_id: str) -> list[LinkRecord]:
        found = self._engine.query(self._sql.select_links(execution_id=checks.asked_id(execution_id)))
        return [rows.link(row) for row in found]

    def get_plan(self, execution_id: str) -> ChangePlan | None:
        from executor.models.plan import ChangePlan
        from executor.storage.documents import decode

        execution_id = checks.asked_id(execution_id)
        return decode(
            self._document(execution_id, self._sql.select_plan(execution_id=execution_id)), ChangePlan
        )

    def get_changeset(self, execution_id: str) -> Changeset | None:
        from executor.models.change import Changeset
        from executor.storage.documents import decode, with_contents

        execution_id = checks.asked_id(execution_id)
        text = self._document(execution_id, self._sql.select_changeset(execution_id=execution_id))
        changeset = decode(text, Changeset)
        if changeset is None:
            return None
        wanted = {change.new_sha256 for change in changeset.changes if change.new_sha256 is not None}
        contents = self._engine.read(
            lambda connection: {name: self._content(connection, execution_id, name) for name in wanted}
        )
        return with_contents(
            changeset, {name: content for name, content in contents.items() if content is not None}
        )

    def get_decision(self, execution_id: str) -> GovernanceDecision | None:
        from executor.models.decision import GovernanceDecision
        from executor.storage.documents import decode

        execution_id = checks.asked_id(execution_id)
        text = self._document(execution_id, self._sql.select_decision(execution_id=execution_id))
        return decode(text, GovernanceDecision)

    def _document(self, execution_id: str, statement: Bound) -> str | None:
        def work(connection: Connection) -> str | None:
            self._existing(connection, execution_id)
            found = _run(connection, statement)
            return found[0][0] if found else None

        return self._engine.read(work)

    def get_content(self, execution_id: str, sha256: str) -> bytes | None:
        execution_id = checks.asked_id(execution_id)
        name = checks.asked_id(sha256, "SHA-256")

        def work(connection: Connection) -> bytes | None:
            self._existing(connection, execution_id)
            return self._content(connection, execution_id, name)

        return self._engine.read(work)

    def _content(self, connection: Connection, execution_id: str, sha256: str) -> bytes | None:
        found = _run(connection, self._sql.select_content(execution_id=execution_id, sha256=sha256))
        return bytes(found[0][0]) if found else None

    # Payloads.

    def list_payloads(self, execution_ids: Sequence[str]) -> list[PayloadState]:
        from executor.storage import payloads

        ids = [checks.asked_id(execution_id) for execution_id in execution_ids]
        return self._engine.read(
            lambda connection: payloads.states(connection, self._engine, ids, self._now())
        )

    def measure_payloads(self, execution_ids: Sequence[str]) -> dict[str, PayloadSize]:
        from executor.storage import payloads

        ids = [checks.asked_id(execution_id) for execution_id in execution_ids]

        def work(connection: Connection) -> dict[str, PayloadSize]:
            known = payloads.states(connection, self._engine, ids, self._now())
            return {name: share.size for name, share in payloads.shares(connection, self._engine, known)}

        return self._engine.read(work)

    def drop_payloads(self, drops: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        from executor.storage import payloads

        now = self._now()
        given = {checks.asked_id(name): data for name, data in drops}
        for data in given.values():
            rows.event_text(data)

        def work(connection: Connection) -> None:
            self._engine.hold_contents(connection)
            known = [
                state
                for state in payloads.states(connection, self._engine, list(given), now)
                if state.held is None and state.dropped_at is None
            ]
            told = []
            for state, share in zip(known, payloads.shares(connection, self._engine, known), strict=True):
                name, part = share
                if part.size.present or given[name].get("artifact_count"):
                    payloads.delete(connection, self._engine, state.correlation_id, part)
                    told.append((state, {**given[name], **part.counts}))
            for state, data in told:
                self._append_one(
                    connection,
                    EventType.PAYLOAD_DROPPED,
                    state.execution_id,
                    state.correlation_id,
                    now,
                    data,
                )

        self._engine.write(work)

    def get_payload_dropped(self, execution_id: str) -> EventRecord | None:
        found = self._engine.query(self._sql.select_dropped(execution_id=checks.asked_id(execution_id)))
        return rows.event(found[0]) if found else None

    def list_workspaces(self) -> list[WorkspaceRecord]:
        return [rows.workspace(row) for row in self._engine.query(self._sql.select_workspaces())]

    # Tokens.

    def record_token(self, token: TokenRecord) -> None:
        now = self._now()
        check_label("token name", token.name)
        insert = self._sql.insert_token(
            token_id=token.token_id,
            kind=token.kind,
            name=token.name,
            scopes=token.scopes,
            secret_sha256=token.secret_sha256,
            created_at=token.created_at,
            valid_until=token.valid_until,
            revoked_at=token.revoked_at,
        )
        forget = self._sql.forget_tokens(valid_until=now)

        def work(connection: Connection) -> bool:
            connection.execute(*forget)
            connection.execute(*insert)
            return True

        def done(connection: Connection) -> bool | None:
            return bool(_run(connection, self._sql.select_token(token_id=token.token_id))) or None

        self._engine.write(work, done)

    def get_token(self, token_id: str) -> TokenRecord | None:
        token_id = checks.asked_id(token_id, "token id")
        found = self._engine.query(self._sql.select_token(token_id=token_id))
        return rows.token(found[0]) if found else None

    def list_tokens(self) -> list[TokenRecord]:
        return [rows.token(row) for row in self._engine.query(self._sql.select_tokens())]

    def revoke_token(self, token_id: str) -> bool:
        token_id, now = checks.asked_id(token_id, "token id"), self._now()
        revoke = self._sql.revoke_token(token_id=token_id, revoked_at=now)

        def work(connection: Connection) -> bool:
            if not _run(connection, self._sql.select_token(token_id=token_id)):
                raise TokenNotFound(token_id)
            return connection.execute(*revoke).rowcount > 0

        def unknown(connection: Connection) -> bool | None:
            # Whether this caller revoked it or another, nobody can tell: neither was the first.
            (found,) = _run(connection, self._sql.select_token(token_id=token_id))
            return None if rows.token(found).revoked_at is None else False

        return self._engine.write(work, unknown)

    def get_workspace(self, workspace_id: str) -> WorkspaceRecord | None:
        workspace_id = checks.asked_id(workspace_id, "workspace id")
        found = self._engine.query(self._sql.select_workspace(workspace_id=workspace_id))
        return rows.workspace(found[0]) if found else None


def _open(
    db: str | Path, durability: Durability, migrate: bool, environ: Mapping[str, str]
) -> tuple[Engine, DatabaseTarget]:
    """The engine for a URL or a file. Raises InvalidSettings for a URL of another kind."""
    from executor.migrations.target import DatabaseTarget

    target = DatabaseTarget.parse(db, environ)
    if target.is_server:
        from executor.migrations.server import driver

        driver()
        from executor.storage.pool_settings import PoolSettings
        from executor.storage.postgresql import PostgresqlEngine

        settings = PoolSettings.from_environment(environ)
        return PostgresqlEngine(target, durability=durability, migrate=migrate, settings=settings), target
    from executor.storage.sqlite import SqliteEngine

    return SqliteEngine(target, durability=durability, migrate=migrate), target


def _run(connection: Connection, statement: Bound) -> list[Row]:
    return connection.execute(*statement).fetchall()


def _without_none(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value is not None}


def _start_data(row: Mapping[str, Any], why: str | None, reverts: str | None) -> dict[str, Any]:
    """The own fields of `execution_start`."""
    own = {name: row[name] for name in _START_EVENT_FIELDS}
    return _without_none({**own, "why": why, "reverts": reverts})


def _log_values(output: StepOutput) -> dict[str, Any]:
    """Raises InvalidInput."""
    size = len(output.content)
    if size > STEP_LOG_BYTES:
        raise InvalidInput(f"a log of {size:,} bytes is not kept; shorten it to {STEP_LOG_BYTES:,}")
    return {
        "name": checks.text("name of a log", output.name),
        "size": size,
        "truncated": checks.flag("truncated", output.truncated),
        "content": zlib.compress(output.content),
    }


def _check_offset(offset: object) -> None:
    if type(offset) is not int or not 0 <= offset <= _BOUNDLESS:
        raise InvalidLimit("offset", offset, "a whole number of at least 0")


def _check_position(name: str, value: object) -> int:
    if type(value) is not int or value < 0:
        raise InvalidLimit(name, value, "a whole number of at least 0")
    return min(value, 2**63 - 1)


def _successor(prefix: str) -> str | None:
    """The first text that sorts after everything beginning with `prefix`; None when there is none.

    Surrogates are no characters: the one after U+D7FF is U+E000.
    """
    for end in range(len(prefix), 0, -1):
        last = ord(prefix[end - 1])
        if last < 0x10FFFF:
            return prefix[: end - 1] + chr(0xE000 if last == 0xD7FF else last + 1)
    return None
