"""Every statement the store runs, by name, once for all engines.

Imported only to compile (`executor.storage.compile`) and by tests; the store runs the text that came out.
Parameters are named and typed, columns are listed, nothing is left to be expanded at run time. Answers
list the columns of a record in the order of its fields.

A `statement` stands by itself. A `clause` is a condition on `executions` from which the questions of
callers are put together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import (
    CTE,
    Alias,
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Float,
    FromClause,
    Integer,
    LargeBinary,
    Select,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    case,
    cast,
    column,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    table,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.type_api import TypeEngine

from executor.graph import REVERTS_FOLLOWED
from executor.models.execution import (
    ATTEMPT_TRIGGERS,
    TERMINAL_STATUSES,
    EventType,
    ExecutionRecord,
    ExecutionStatus,
    LinkKind,
    StepLog,
    StepRecord,
    StepStatus,
    TriggerKind,
    Verdict,
)
from executor.schema import (
    approvals,
    changesets,
    contents,
    decisions,
    execution_events,
    execution_links,
    execution_steps,
    executions,
    plans,
    step_logs,
    test_results,
    tokens,
    workspaces,
)
from executor.storage.constructs import Bytewise, CrossJoin, EndsWith, LookupJoin, OneOf, RowKey, Truth

# The ledger belongs to the migrations; only the day of one entry is asked for here.
schema_migrations: Final = table("schema_migrations", column("version", Integer), column("applied_at", Text))

TOTAL_COUNTED: Final = 10_000

Statement = Any
Insert = Callable[[Table], Any]

e: Final = executions.c


def text_parameter(name: str) -> BindParameter[str]:
    return bindparam(name, type_=Text())


def number_parameter(name: str) -> BindParameter[int]:
    return bindparam(name, type_=BigInteger())


def parameter_for(target: Column[Any], name: str | None = None) -> BindParameter[Any]:
    return bindparam(name or target.name, type_=_plain_type(target))


def _plain_type(target: Column[Any]) -> TypeEngine[Any]:
    if isinstance(target.type, Integer):
        return BigInteger()
    for kind in (Float, LargeBinary):
        if isinstance(target.type, kind):
            return kind()
    return Text()


def words(values: Sequence[str] | frozenset[str]) -> list[ColumnElement[str]]:
    """Constants written into the statement, so that partial indexes can be recognised."""
    return [literal_column(f"'{value}'", Text()) for value in sorted(values)]


def word(value: str) -> ColumnElement[str]:
    return literal_column(f"'{value}'", Text())


ONE: Final[ColumnElement[int]] = literal_column("1", Integer())

FAILED_STATUSES: Final = frozenset({ExecutionStatus.FAILED.value, ExecutionStatus.ROLLED_BACK.value})
RUNNING_STATUSES: Final = frozenset(ExecutionStatus) - TERMINAL_STATUSES
STEP_ENDS: Final = frozenset(StepStatus) - {StepStatus.RUNNING}
DISMISSALS: Final = frozenset({"dismissed", "undismissed"})


# What answers show.

TRUTHS: Final = ("verification_passed", "health_checks_passed", "rolled_back")


def effective_correlation(rows: Table | Alias = executions) -> ColumnElement[str]:
    return func.coalesce(rows.c.correlation_id, rows.c.execution_id)


def record_columns(rows: Table | Alias = executions) -> list[ColumnElement[Any]]:
    """The fields of an ExecutionRecord with their effective values, the workspace excepted."""
    shown: dict[str, ColumnElement[Any]] = {
        "correlation_id": effective_correlation(rows).label("correlation_id"),
        "trigger_kind": func.coalesce(rows.c.trigger_kind, word(TriggerKind.MANUAL)).label("trigger_kind"),
        "attempt": func.coalesce(rows.c.attempt, ONE).label("attempt"),
        "files_changed": func.coalesce(rows.c.files_changed, literal_column("0")).label("files_changed"),
        **{name: Truth(rows.c[name]).label(name) for name in TRUTHS},
    }
    return [shown.get(field.name, rows.c[field.name]) for field in fields(ExecutionRecord)]


EVENT_COLUMNS: Final = [
    execution_events.c.event,
    execution_events.c.execution_id,
    execution_events.c.correlation_id,
    execution_events.c.seq,
    execution_events.c.timestamp,
    execution_events.c.data,
    execution_events.c.position,
]
STEP_COLUMNS: Final = [execution_steps.c[field.name] for field in fields(StepRecord)]


def insert_row(table_: Table, insert: Insert) -> Any:
    """All columns, each by a parameter of its name."""
    # Inline: PostgreSQL would otherwise answer every insert with the key that was just given.
    return insert(table_).values({c.name: parameter_for(c) for c in table_.c}).inline()


def once(table_: Table, insert: Insert) -> Any:
    """Does nothing when a row with this key is there."""
    keys = [c.name for c in table_.primary_key.columns]
    return insert_row(table_, insert).on_conflict_do_nothing(index_elements=keys)


# Executions: writing.

# What an execution gets when it ends.
_LATER: Final = {
    "ended_at",
    "duration_seconds",
    "files_changed",
    "verification_passed",
    "health_checks_passed",
    "rolled_back",
    "error_message",
    "error_step",
    "error_code",
}


def start_execution(insert: Insert) -> Any:
    """A new row; none when the id is taken."""
    values = {c.name: parameter_for(c) for c in e if c.name not in _LATER}
    row = insert(executions).values(values)
    return row.on_conflict_do_nothing(index_elements=["execution_id"]).inline()


def end_execution() -> Any:
    """The terminal status of a row that has none; answers with its correlation."""
    return (
        update(executions)
        .where(e.execution_id == text_parameter("execution_id"), e.status.not_in(words(TERMINAL_STATUSES)))
        .values(
            status=parameter_for(e.status),
            ended_at=parameter_for(e.ended_at),
            duration_seconds=parameter_for(e.duration_seconds),
            files_changed=parameter_for(e.files_changed),
            verification_passed=parameter_for(e.verification_passed),
            health_checks_passed=parameter_for(e.health_checks_passed),
            rolled_back=parameter_for(e.rolled_back),
            error_message=func.coalesce(parameter_for(e.error_message), e.error_message),
            error_step=func.coalesce(e.error_step, parameter_for(e.error_step)),
            error_code=func.coalesce(parameter_for(e.error_code), e.error_code),
        )
        .returning(effective_correlation(), e.error_step, e.error_code, e.error_message)
    )


def update_status() -> Any:
    return (
        update(executions)
        .where(e.execution_id == text_parameter("execution_id"), e.status.not_in(words(TERMINAL_STATUSES)))
        .values(
            status=parameter_for(e.status),
            error_message=func.coalesce(parameter_for(e.error_message), e.error_message),
            error_step=func.coalesce(e.error_step, parameter_for(e.error_step)),
        )
        .returning(ONE)
    )


def replace_change() -> Any:
    """The change a row that has not begun is about; answers with its correlation."""
    return (
        update(executions)
        .where(e.execution_id == text_parameter("execution_id"), e.status == word(ExecutionStatus.PENDING))
        .values(
            plan_id=parameter_for(e.plan_id),
            changeset_id=parameter_for(e.changeset_id),
            decision_id=parameter_for(e.decision_id),
            checksum=parameter_for(e.checksum),
            verdict=parameter_for(e.verdict),
            risk_level=parameter_for(e.risk_level),
            affected_paths=parameter_for(e.affected_paths),
        )
        .returning(effective_correlation())
    )


def replace_plan() -> Update:
    """The plan of a change that was not known yet when the plan was first kept."""
    return (
        update(plans)
        .where(
            plans.c.plan_id == text_parameter("plan_id"),
            plans.c.correlation_id == text_parameter("correlation_id"),
        )
        .values(document=parameter_for(plans.c.document))
    )


def move_awaiting() -> Any:
    """Gives a row that awaits approval another status, or none but the hold on it; answers with its correlation."""
    return (
        update(executions)
        .where(e.execution_id == text_parameter("execution_id"), awaiting())
        .values(status=parameter_for(e.status))
        .returning(effective_correlation())
    )


def end_awaiting() -> Any:
    """Cancels a row that awaits approval; answers with its correlation."""
    return (
        update(executions)
        .where(e.execution_id == text_parameter("execution_id"), awaiting())
        .values(
            status=word(ExecutionStatus.CANCELLED),
            ended_at=parameter_for(e.ended_at),
            error_message=parameter_for(e.error_message),
            error_code=parameter_for(e.error_code),
        )
        .returning(effective_correlation())
    )


# Executions: one, a chain, a family.


def select_execution() -> Select[Any]:
    return select(*record_columns()).where(e.execution_id == text_parameter("execution_id"))


def select_detail() -> Select[Any]:
    """A record, and the documents kept with it."""
    kept = [
        select(documents.c.document)
        .where(documents.c[key] == e[key], documents.c.correlation_id == effective_correlation())
        .correlate(executions)
        .scalar_subquery()
        for documents, key in ((plans, "plan_id"), (decisions, "decision_id"), (approvals, "execution_id"))
    ]
    return select(*record_columns(), *kept).where(e.execution_id == text_parameter("execution_id"))


def select_family() -> Select[Any]:
    """What a child takes over from its parent, and whether the execution is over."""
    return select(effective_correlation(), func.coalesce(e.attempt, ONE), e.status).where(
        e.execution_id == text_parameter("execution_id")
    )


def lock_family() -> Select[Any]:
    """`select_family` that keeps others from writing about the execution until the transaction ends.

    On SQLite there is one writer anyway.
    """
    return select_family().with_for_update(key_share=True)


def select_families() -> Select[Any]:
    """`select_family` of many, with their ids."""
    return select(e.execution_id, effective_correlation(), func.coalesce(e.attempt, ONE)).where(
        OneOf(e.execution_id, text_parameter("values"))
    )


def select_taken() -> Select[Any]:
    """Those of many ids that are there."""
    return select(e.execution_id).where(OneOf(e.execution_id, text_parameter("values")))


def identified() -> ColumnElement[bool]:
    """A row without an id, which version 0 lets be written, is no execution."""
    return e.execution_id.is_not(None)


def _in_chain() -> ColumnElement[bool]:
    return and_(e.correlation_id == text_parameter("correlation_id"), identified())


def _own_chain() -> ColumnElement[bool]:
    """The row that stands in the chain of its own id, having been written without a correlation."""
    return and_(e.execution_id == text_parameter("correlation_id"), e.correlation_id.is_(None))


def select_chain() -> Any:
    return (
        union_all(
            select(*record_columns()).where(_in_chain()),
            select(*record_columns()).where(_own_chain()),
        )
        .order_by(column("started_at"), column("execution_id"))
        .limit(number_parameter("limit"))
    )


def count_chain() -> Select[Any]:
    members = union_all(
        select(ONE.label("one")).where(_in_chain()),
        select(ONE).where(_own_chain()),
    )
    return select(func.count()).select_from(members.subquery())


def select_root() -> Any:
    return (
        union_all(
            select(*record_columns()).where(_in_chain(), e.parent_execution_id.is_(None)),
            select(*record_columns()).where(_own_chain(), e.parent_execution_id.is_(None)),
        )
        .order_by(column("started_at"), column("execution_id"))
        .limit(ONE)
    )


def select_ancestors() -> Select[Any]:
    """The parent, its parent and so on, `depth` of them, nearest first.

    A cycle among them repeats until the depth is used up: the reader cuts at the first repetition.
    """
    start = executions.alias("start")
    up = (
        select(start.c.parent_execution_id.label("id"), ONE.label("depth"))
        .where(start.c.execution_id == text_parameter("execution_id"))
        .cte("up", recursive=True)
    )
    row = executions.alias("child")
    up = up.union_all(
        select(row.c.parent_execution_id, up.c.depth + ONE)
        .select_from(LookupJoin(up, row, row.c.execution_id == up.c.id))
        .where(up.c.depth < number_parameter("depth"))
    )
    return (
        select(*record_columns())
        .select_from(LookupJoin(up, executions, e.execution_id == up.c.id))
        .order_by(up.c.depth)
    )


def _descending() -> CTE:
    """Ids of the execution and all below it with their generation and their time.

    An execution has one parent, so only one that is its own descendant is met twice. The guard against
    that asks the rows of the recursion, never the table: a condition on the table's side makes a SQLite
    with statistics build a filter from all of it.
    """
    start = text_parameter("execution_id")
    down = select(
        Bytewise(start).label("id"),
        Bytewise(word("")).label("key"),
        literal_column("0", Integer()).label("depth"),
        Bytewise(word("")).label("started_at"),
    ).cte("down", recursive=True)
    below = executions.alias("below")
    return down.union_all(
        select(below.c.execution_id, RowKey(below), down.c.depth + ONE, below.c.started_at)
        .select_from(LookupJoin(down, below, below.c.parent_execution_id == down.c.id))
        .where(
            down.c.depth < number_parameter("depth"),
            or_(down.c.depth == literal_column("0"), down.c.id != start),
        )
    )


def _below(down: CTE) -> ColumnElement[bool]:
    # A row without an id compares with nothing and so drops out here.
    return and_(down.c.depth > literal_column("0"), down.c.id != text_parameter("execution_id"))


def select_descendants() -> Select[Any]:
    """Any `limit` descendants with their generation; all of them when there are no more."""
    down = _descending()
    return (
        select(*record_columns(), down.c.depth)
        .select_from(LookupJoin(down, executions, RowKey(executions) == down.c.key))
        .where(_below(down))
        .limit(number_parameter("limit"))
    )


def select_first_descendants() -> Select[Any]:
    """The first `limit` descendants by generation, time and id: narrow rows are sorted, then looked up."""
    down = _descending()
    first = (
        select(down.c.key, down.c.depth)
        .where(_below(down))
        .order_by(down.c.depth, down.c.started_at, down.c.id)
        .limit(number_parameter("limit"))
        .subquery("first")
    )
    return select(*record_columns(), first.c.depth).select_from(
        LookupJoin(first, executions, RowKey(executions) == first.c.key)
    )


def select_deeper() -> Select[Any]:
    """A row when the generation `depth` holds anyone."""
    down = _descending()
    return select(ONE).where(down.c.depth == number_parameter("depth"), _below(down)).limit(ONE)


def select_siblings() -> Select[Any]:
    return (
        select(*record_columns())
        .where(
            e.parent_execution_id == text_parameter("parent_id"),
            e.execution_id != text_parameter("execution_id"),
        )
        .order_by(e.started_at, e.execution_id)
        .limit(number_parameter("limit"))
    )


def _seen_from(other: ColumnElement[Any], value: ColumnElement[Any]) -> ColumnElement[Any]:
    """`value`, as if it depended on `other`, which is never NULL where the two meet.

    A condition on the joined table alone makes a SQLite with statistics build a filter from all of that
    table first, for each execution that is asked about.
    """
    return case((other.is_not(None), value))


def _attempt_tree(start: ColumnElement[str], *, inside: bool) -> CTE:
    """Ids of all executions connected with one by retry and repair edges.

    Up as far as these edges lead, then down from everything met: each execution has one parent, so
    nothing connected is missed. Rows hold nothing but the id, so that a cycle ends by itself.
    `inside` makes it part of a condition on `executions`.
    """
    attempt = words(ATTEMPT_TRIGGERS)
    seed = select(Bytewise(start).label("id"))
    up = (seed.correlate(executions) if inside else seed).cte("up", recursive=True, nesting=inside)
    row = executions.alias("attempt")
    up = up.union(
        select(row.c.parent_execution_id)
        .select_from(LookupJoin(up, row, row.c.execution_id == up.c.id))
        .where(
            _seen_from(up.c.id, row.c.parent_execution_id).is_not(None),
            _seen_from(up.c.id, row.c.trigger_kind).in_(attempt),
        )
    )
    tree = select(up.c.id).cte("tree", recursive=True, nesting=inside)
    other = executions.alias("other")
    return tree.union(
        select(other.c.execution_id)
        .select_from(LookupJoin(tree, other, other.c.parent_execution_id == tree.c.id))
        .where(
            _seen_from(tree.c.id, other.c.trigger_kind).in_(attempt),
        )
    )


def select_attempt_tree() -> Select[Any]:
    tree = _attempt_tree(text_parameter("execution_id"), inside=False)
    return (
        select(*record_columns())
        .select_from(LookupJoin(tree, executions, e.execution_id == tree.c.id))
        .order_by(e.started_at, e.execution_id)
        .limit(number_parameter("limit"))
    )


def select_first_attempts() -> Select[Any]:
    """Ids of many executions and of what they try again, as far as retry and repair edges lead up, each once.

    With each the parent it tries again; NULL in a first attempt. Nearest first, so that a limit cuts off the
    farthest; a cycle among them ends by itself.
    """

    def tried(rows: FromClause) -> ColumnElement[Any]:
        return case((rows.c.trigger_kind.in_(words(ATTEMPT_TRIGGERS)), rows.c.parent_execution_id))

    up = (
        select(e.execution_id.label("id"), tried(executions).label("tried"))
        .where(OneOf(e.execution_id, text_parameter("values")))
        .cte("up", recursive=True)
    )
    row = executions.alias("earlier")
    up = up.union(
        select(row.c.execution_id, tried(row)).select_from(
            LookupJoin(up, row, row.c.execution_id == up.c.tried)
        )
    )
    return select(up.c.id, up.c.tried).limit(number_parameter("limit"))


# Executions: conditions.


def since_upgrade() -> ColumnElement[bool]:
    """Not from before the graph columns came. To the second, in the spelling of our times."""
    applied_at = func.replace(schema_migrations.c.applied_at, word(" "), word("T"))
    second = func.substr(applied_at, ONE, literal_column("19"))
    upgraded = select(second).where(schema_migrations.c.version == ONE).scalar_subquery()
    return e.started_at >= func.coalesce(upgraded, word(""))


def awaiting() -> ColumnElement[bool]:
    return and_(e.status == word(ExecutionStatus.PENDING), e.verdict == word(Verdict.NEED_APPROVAL))


def dismissed() -> ColumnElement[bool]:
    """The newest of its dismissals and their withdrawals is a dismissal."""
    events = execution_events.c
    newest = (
        select(events.event)
        .where(events.execution_id == e.execution_id, events.event.in_(words(DISMISSALS)))
        .order_by(events.seq.desc())
        .limit(ONE)
        .correlate(executions)
        .scalar_subquery()
    )
    return func.coalesce(newest, word("")) == word("dismissed")


class _Reverts:
    """Links to what is reverted (`target`), the executions they come from, and the conditions on both."""

    def __init__(self, target: ColumnElement[str], name: str) -> None:
        self.links, self.reverting = execution_links.alias(f"{name}_links"), executions.alias(name)
        self.linked = and_(self.links.c.target_id == target, self.links.c.kind == word(LinkKind.REVERTS))
        self.found = self.reverting.c.execution_id == self.links.c.source_id
        self.completed = _seen_from(target, self.reverting.c.status) == word(ExecutionStatus.COMPLETED)
        self.source = self.links.c.source_id
        self.time = _seen_from(target, self.reverting.c.started_at)

    def joined(self) -> LookupJoin:
        """`linked` is still to be asked."""
        return LookupJoin(self.links, self.reverting, self.found)


def _reverted(target: ColumnElement[str], around: FromClause) -> ColumnElement[bool]:
    """An odd number of completed reverts leads to it: each is undone by the next, and of several the latest counts.

    `around` is where `target` comes from.
    """
    zero = literal_column("0", Integer())
    undoing = (
        select(Bytewise(target).label("id"), zero.label("depth"))
        .correlate(around)
        .cte("undoing", recursive=True, nesting=True)
    )
    this = _Reverts(undoing.c.id, "reverting")
    other = _Reverts(this.links.c.target_id, "newer")
    newer = exists(
        select(ONE)
        .select_from(other.joined())
        .where(
            other.linked,
            other.completed,
            or_(other.time > this.time, and_(other.time == this.time, other.source > this.source)),
        )
        .correlate(undoing, this.links, this.reverting)
    )
    undoing = undoing.union_all(
        select(this.source, undoing.c.depth + ONE)
        .select_from(LookupJoin(LookupJoin(undoing, this.links, this.linked), this.reverting, this.found))
        .where(
            undoing.c.depth < literal_column(str(REVERTS_FOLLOWED), Integer()),
            this.completed,
            ~newer,
        )
    )
    reverts = select(func.max(undoing.c.depth)).scalar_subquery()
    return reverts % literal_column("2", Integer()) == ONE


def select_reverted() -> Select[Any]:
    """Those of many ids that are undone, with the execution that undid each."""
    reverts = _Reverts(e.execution_id, "latest")
    latest = (
        select(reverts.source)
        .select_from(reverts.joined())
        .where(reverts.linked, reverts.completed)
        .order_by(reverts.reverting.c.started_at.desc(), reverts.source.desc())
        .limit(ONE)
        .correlate(executions)
        .scalar_subquery()
    )
    return select(e.execution_id, latest).where(
        OneOf(e.execution_id, text_parameter("values")), _reverted(e.execution_id, executions)
    )


def unsettled() -> ColumnElement[bool]:
    """Nothing has made up for the row: what `unresolved` asks beside the status."""
    tree = _attempt_tree(e.execution_id, inside=True)
    other = executions.alias("later")
    made_up = exists(
        select(ONE)
        .select_from(LookupJoin(tree, other, other.c.execution_id == tree.c.id))
        .where(
            _seen_from(tree.c.id, other.c.status) == word(ExecutionStatus.COMPLETED),
            _seen_from(tree.c.id, other.c.started_at) > e.started_at,
            ~_reverted(tree.c.id, tree),
        )
        .correlate(executions)
    )
    return and_(since_upgrade(), ~dismissed(), ~made_up)


def unresolved() -> ColumnElement[bool]:
    failed = e.status.in_(words(FAILED_STATUSES))
    return and_(or_(failed, awaiting()), unsettled())


def select_unresolved() -> Select[Any]:
    """A row when the execution is unresolved."""
    return select(ONE).where(e.execution_id == text_parameter("execution_id"), unresolved())


def _value() -> BindParameter[str]:
    return text_parameter("value")


def _is(
    target: ColumnElement[Any], missing: ColumnElement[Any] | None = None
) -> dict[str, ColumnElement[bool]]:
    """Clauses about one column.

    `is`: the column has a value; what an index may answer. `also_is`, `one_of`, `none_of`: what it means
    is a value, one of several, none of several. These are for rows that come in order from another index,
    and are written so that no index tempts the planner to sort instead. `missing` is what NULL means;
    without it NULL equals nothing.
    """
    values = text_parameter("values")
    shown = cast(target, Text) if missing is None else func.coalesce(target, missing)
    none_of = OneOf(shown, values, negated=True)
    return {
        "is": target == _value(),
        "also_is": shown == _value(),
        "one_of": OneOf(shown, values),
        "none_of": none_of if missing is not None else or_(target.is_(None), none_of),
    }


def _committed(commit: ColumnElement[bool]) -> Select[Any]:
    """The executions that a commit was made of."""
    links = execution_links.c
    return select(links.source_id).where(commit, links.kind == word(LinkKind.COMMIT))


def clauses() -> dict[str, ColumnElement[bool]]:
    named: dict[str, ColumnElement[bool]] = {}
    missing: dict[str, ColumnElement[Any]] = {
        "correlation_id": e.execution_id,
        "trigger_kind": word(TriggerKind.MANUAL),
        "workspace_id": text_parameter("own_workspace_id"),
    }
    plain = (
        "run_id",
        "parent_execution_id",
        "status",
        "verdict",
        "risk_level",
        "actor",
        "error_step",
    )
    for name in (*plain, *missing):
        for question, clause in _is(e[name], missing.get(name)).items():
            named[f"{name}_{question}"] = clause
    for name in ("verdict", "risk_level"):
        named[f"{name}_among"] = OneOf(e[name], text_parameter("values"))
    values = text_parameter("values")
    named |= {
        "commit_also_is": e.execution_id.in_(_committed(execution_links.c.target_id == _value())),
        "commit_one_of": e.execution_id.in_(_committed(OneOf(execution_links.c.target_id, values))),
        "commit_none_of": e.execution_id.not_in(_committed(OneOf(execution_links.c.target_id, values))),
    }
    return named | {
        "correlation_id_is_own": and_(e.correlation_id.is_(None), e.execution_id == _value()),
        "trigger_kind_is_missing": e.trigger_kind.is_(None),
        "workspace_id_is_missing": e.workspace_id.is_(None),
        "identified": identified(),
        "nameless": e.execution_id.is_(None),
        "checksum_is": e.checksum == _value(),
        "plan_id_is": e.plan_id == _value(),
        "also_completed": cast(e.status, Text) == word(ExecutionStatus.COMPLETED),
        "running": and_(e.status.in_(words(RUNNING_STATUSES)), since_upgrade()),
        "started_since": e.started_at >= _value(),
        "started_until": e.started_at < _value(),
        "failed": e.status == word(ExecutionStatus.FAILED),
        "rolled_back": e.status == word(ExecutionStatus.ROLLED_BACK),
        "awaiting": awaiting(),
        "not_awaiting": ~awaiting(),
        "unsettled": unsettled(),
        "unresolved": unresolved(),
        "not_unresolved": ~unresolved(),
        "ended_with_duration": and_(e.status.in_(words(TERMINAL_STATUSES)), e.duration_seconds.is_not(None)),
        "id_between": and_(e.execution_id >= text_parameter("low"), e.execution_id < text_parameter("high")),
        "id_from": e.execution_id >= text_parameter("low"),
        "id_ends": EndsWith(e.execution_id, _value()),
        # The first comparison is implied by the second; it is what lets an index be entered in the middle.
        "before": and_(
            e.started_at <= text_parameter("started_at"),
            or_(
                e.started_at < text_parameter("started_at"),
                e.execution_id < text_parameter("execution_id"),
            ),
        ),
        "after": and_(
            e.started_at >= text_parameter("started_at"),
            or_(
                e.started_at > text_parameter("started_at"),
                e.execution_id > text_parameter("execution_id"),
            ),
        ),
    }


def heads() -> dict[str, Select[Any]]:
    """Beginnings of statements over `executions`, to which conditions are added."""
    return {
        "list_executions": select(*record_columns()),
        "list_execution_ids": select(e.execution_id, e.started_at),
        "count_executions": select(ONE).select_from(executions),
        "count_by_status": select(e.status, func.count()),
        "count_by_verdict": select(e.verdict, func.count()),
        "count_by_risk_level": select(e.risk_level, func.count()),
        "count_by_trigger_kind": select(e.trigger_kind, func.count()),
        "count_failing_steps": select(e.error_step, func.count()),
        "count_by_all": select(e.status, e.verdict, e.risk_level, e.trigger_kind, e.error_step, func.count()),
        "list_durations": select(e.duration_seconds),
    }


# Steps.


def insert_step(insert: Insert) -> Any:
    given = ("execution_id", "step_num", "step_name", "status", "started_at", "log_ref", "metadata")
    values = {name: parameter_for(execution_steps.c[name]) for name in given}
    return insert(execution_steps).values(values).returning(execution_steps.c.id)


def end_step() -> Update:
    s = execution_steps.c
    return (
        update(execution_steps)
        .where(s.id == number_parameter("step_id"), s.status.not_in(words(STEP_ENDS)))
        .values(
            status=parameter_for(s.status),
            ended_at=parameter_for(s.ended_at),
            duration_seconds=parameter_for(s.duration_seconds),
            error_code=parameter_for(s.error_code),
            error_message=parameter_for(s.error_message),
        )
        .returning(*STEP_COLUMNS)
    )


def select_step() -> Select[Any]:
    return select(*STEP_COLUMNS).where(execution_steps.c.id == number_parameter("step_id"))


def select_steps() -> Select[Any]:
    s = execution_steps.c
    return (
        select(*STEP_COLUMNS)
        .where(s.execution_id == text_parameter("execution_id"))
        .order_by(s.step_num, s.id)
    )


def select_steps_of() -> Select[Any]:
    """The steps of many executions; those of each in order."""
    s = execution_steps.c
    return (
        select(*STEP_COLUMNS)
        .where(OneOf(s.execution_id, text_parameter("values")))
        .order_by(s.execution_id, s.step_num, s.id)
    )


def count_steps_by(counted: Column[Any]) -> Select[Any]:
    return select(counted, func.count()).group_by(counted)


# Events.


def select_last_event() -> Select[Any]:
    """The highest `seq` of the execution and the highest `position` of all, 0 without any."""
    ev = execution_events.c
    zero = literal_column("0", Integer())
    seq = select(func.max(ev.seq)).where(ev.execution_id == text_parameter("execution_id")).scalar_subquery()
    position = select(func.max(ev.position)).scalar_subquery()
    return select(func.coalesce(seq, zero), func.coalesce(position, zero))


def select_last_position() -> Select[Any]:
    return select(func.coalesce(func.max(execution_events.c.position), literal_column("0", Integer())))


def append_event(insert: Insert) -> Any:
    """One event with the next `seq` and the next `position`."""
    ev = execution_events.c
    zero = literal_column("0", Integer())
    last_seq = (
        select(func.coalesce(func.max(ev.seq), zero))
        .where(ev.execution_id == text_parameter("execution_id"))
        .scalar_subquery()
    )
    last_position = select(func.coalesce(func.max(ev.position), zero)).scalar_subquery()
    row = insert(execution_events).values(
        correlation_id=parameter_for(ev.correlation_id),
        execution_id=text_parameter("execution_id"),
        seq=last_seq + ONE,
        position=last_position + ONE,
        event=parameter_for(ev.event),
        timestamp=parameter_for(ev.timestamp),
        data=parameter_for(ev.data),
    )
    return row.inline()


def select_events() -> Select[Any]:
    ev = execution_events.c
    return (
        select(*EVENT_COLUMNS)
        .where(ev.execution_id == text_parameter("execution_id"), ev.seq > number_parameter("after"))
        .order_by(ev.seq)
        .limit(number_parameter("limit"))
    )


def select_last_events() -> Select[Any]:
    ev = execution_events.c
    return (
        select(*EVENT_COLUMNS)
        .where(ev.execution_id == text_parameter("execution_id"), ev.seq > number_parameter("after"))
        .order_by(ev.seq.desc())
        .limit(number_parameter("limit"))
    )


def select_events_after() -> Select[Any]:
    ev = execution_events.c
    return (
        select(*EVENT_COLUMNS)
        .where(ev.position > number_parameter("position"))
        .order_by(ev.position)
        .limit(number_parameter("limit"))
    )


def select_dismissed() -> Select[Any]:
    """A row when the execution is dismissed."""
    return select(ONE).where(e.execution_id == text_parameter("execution_id"), dismissed())


# Links, documents, workspaces.


def select_links() -> Any:
    links = execution_links.c
    shown = (links.source_id, links.kind, links.target_id)
    return (
        select(*shown)
        .where(links.source_id == text_parameter("execution_id"))
        .union(select(*shown).where(links.target_id == text_parameter("execution_id")))
        .order_by(column("source_id"), column("kind"), column("target_id"))
    )


def _document(documents: Table, key: str) -> Select[Any]:
    """The document an execution names, kept with its correlation."""
    return (
        select(documents.c.document)
        .select_from(CrossJoin(executions, documents))
        .where(
            e.execution_id == text_parameter("execution_id"),
            documents.c[key] == e[key],
            documents.c.correlation_id == effective_correlation(),
        )
    )


def select_changesets() -> Select[Any]:
    """The changesets of many executions, each with the id of its execution."""
    c = changesets.c
    return (
        select(e.execution_id, c.document)
        .select_from(CrossJoin(executions, changesets))
        .where(
            OneOf(e.execution_id, text_parameter("values")),
            c.changeset_id == e.changeset_id,
            c.correlation_id == effective_correlation(),
        )
    )


def select_content() -> Select[Any]:
    return (
        select(contents.c.content)
        .select_from(CrossJoin(executions, contents))
        .where(
            e.execution_id == text_parameter("execution_id"),
            contents.c.sha256 == text_parameter("sha256"),
            contents.c.correlation_id == effective_correlation(),
        )
    )


# Payloads.


def _dropped(rows: Table | Alias = executions) -> Select[Any]:
    """When the payload of an execution went, if it did."""
    ev = execution_events.c
    return select(func.min(ev.timestamp)).where(
        ev.execution_id == rows.c.execution_id, ev.event == word(EventType.PAYLOAD_DROPPED)
    )


def select_dropped() -> Select[Any]:
    """The event that tells of it."""
    ev = execution_events.c
    return (
        select(*EVENT_COLUMNS)
        .where(ev.execution_id == text_parameter("execution_id"), ev.event == word(EventType.PAYLOAD_DROPPED))
        .order_by(ev.seq)
        .limit(ONE)
    )


def select_payload_states() -> Select[Any]:
    """Of many executions: when the payload went, and what asks for it still.

    A later attempt that has not ended does, and an approval that lets this change run again.
    """
    later, a = executions.alias("later"), approvals.c
    attempt = (
        select(ONE)
        .where(later.c.parent_execution_id == e.execution_id, later.c.status.in_(words(RUNNING_STATUSES)))
        .correlate(executions)
    )
    approved = (
        select(ONE)
        .where(
            a.correlation_id == effective_correlation(),
            a.checksum == e.checksum,
            a.expires_at > text_parameter("now"),
        )
        .correlate(executions)
    )
    zero = literal_column("0", Integer())
    return select(
        e.execution_id,
        effective_correlation(),
        _dropped().correlate(executions).scalar_subquery(),
        case((e.status.in_(words(TERMINAL_STATUSES)), zero), else_=ONE),
        case((exists(attempt), ONE), else_=zero),
        case((exists(approved), ONE), else_=zero),
    ).where(OneOf(e.execution_id, text_parameter("values")))


def select_payload_users() -> Any:
    """Every execution of a correlation whose payload is kept, with its changeset."""
    shown = (e.execution_id, e.changeset_id)
    # A subquery with an aggregate is asked for each row; NOT EXISTS is planned as a join with all events.
    kept = _dropped().correlate(executions).scalar_subquery().is_(None)
    return union_all(select(*shown).where(_in_chain(), kept), select(*shown).where(_own_chain(), kept))


def select_changeset_documents() -> Select[Any]:
    return select(changesets.c.changeset_id, changesets.c.document).where(
        OneOf(changesets.c.changeset_id, text_parameter("values")),
        changesets.c.correlation_id == text_parameter("correlation_id"),
    )


def _contents_named() -> ColumnElement[bool]:
    return and_(
        OneOf(contents.c.sha256, text_parameter("values")),
        contents.c.correlation_id == text_parameter("correlation_id"),
    )


def select_content_sizes() -> Select[Any]:
    """In bytes."""
    return select(contents.c.sha256, func.length(contents.c.content)).where(_contents_named())


def delete_contents() -> Any:
    return delete(contents).where(_contents_named())


def select_log_sizes() -> Select[Any]:
    """How many logs executions have, and their bytes as they are kept."""
    log = step_logs.c
    return (
        select(log.execution_id, func.count(), func.sum(func.length(log.content)))
        .where(
            OneOf(log.execution_id, text_parameter("values")),
            log.correlation_id == text_parameter("correlation_id"),
        )
        .group_by(log.execution_id)
    )


def delete_step_logs() -> Any:
    log = step_logs.c
    return delete(step_logs).where(
        log.execution_id == text_parameter("execution_id"),
        log.correlation_id == text_parameter("correlation_id"),
    )


def select_approval() -> Select[Any]:
    return select(approvals.c.document).where(approvals.c.execution_id == text_parameter("execution_id"))


def select_approvals() -> Select[Any]:
    """Of one change in one correlation, newest first."""
    a = approvals.c
    return (
        select(a.document)
        .where(a.correlation_id == text_parameter("correlation_id"), a.checksum == text_parameter("checksum"))
        .order_by(a.created_at.desc(), a.execution_id.desc())
    )


def select_expired() -> Select[Any]:
    """What still awaits its run though its approval has run out."""
    a = approvals.c
    return (
        select(e.execution_id)
        .select_from(CrossJoin(executions, approvals))
        .where(
            awaiting(),
            a.execution_id == e.execution_id,
            a.correlation_id == effective_correlation(),
            a.expires_at <= text_parameter("now"),
        )
        .order_by(e.started_at, e.execution_id)
    )


def _test_result() -> list[Column[Any]]:
    return [column for column in test_results.c if column.name != "correlation_id"]


def select_test_results() -> Select[Any]:
    """Of one execution, in the order of its steps."""
    t = test_results.c
    return (
        select(*_test_result())
        .where(t.execution_id == text_parameter("execution_id"))
        .order_by(t.step_num, t.test_id)
    )


def select_test_history() -> Select[Any]:
    """Of one test, the latest executions by id first."""
    t = test_results.c
    return (
        select(*_test_result())
        .where(t.test_id == text_parameter("test_id"))
        .order_by(t.execution_id.desc(), t.step_num.desc())
        .limit(number_parameter("limit"))
    )


def select_step_logs() -> Select[Any]:
    """Of one execution, in the order of its steps, without what they hold."""
    log = step_logs.c
    return (
        select(*(log[field.name] for field in fields(StepLog)))
        .where(log.execution_id == text_parameter("execution_id"))
        .order_by(log.step_num, log.name)
    )


def select_step_log() -> Select[Any]:
    log = step_logs.c
    return select(log.size, log.content).where(
        log.execution_id == text_parameter("execution_id"), log.name == text_parameter("name")
    )


def register_workspace(insert: Insert) -> Any:
    row = insert_row(workspaces, insert)
    return row.on_conflict_do_update(
        index_elements=["workspace_id"], set_={"host": row.excluded.host, "path": row.excluded.path}
    )


def select_workspaces() -> Select[Any]:
    return select(*workspaces.c).order_by(workspaces.c.workspace_id)


def select_workspace() -> Select[Any]:
    return select(*workspaces.c).where(workspaces.c.workspace_id == text_parameter("workspace_id"))


def _token() -> ColumnElement[bool]:
    return tokens.c.token_id == text_parameter("token_id")


def select_token() -> Select[Any]:
    return select(*tokens.c).where(_token())


def select_tokens() -> Select[Any]:
    return select(*tokens.c).order_by(tokens.c.created_at.desc(), tokens.c.token_id.desc())


def revoke_token() -> Update:
    """The first revocation stays. Tells whether this was it."""
    return (
        update(tokens)
        .where(_token(), tokens.c.revoked_at.is_(None))
        .values(revoked_at=text_parameter("revoked_at"))
    )


def forget_tokens() -> Any:
    """Keys and sessions that ran out before a time."""
    return delete(tokens).where(
        tokens.c.kind != word("token"), tokens.c.valid_until < text_parameter("valid_until")
    )


INSERTS: Final[dict[str, Insert]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def statements(engine: str) -> dict[str, Any]:
    """Every statement by name, for one engine."""
    insert = INSERTS[engine]
    return {
        "start_execution": start_execution(insert),
        "import_execution": insert_row(executions, insert),
        "end_execution": end_execution(),
        "update_status": update_status(),
        "replace_change": replace_change(),
        "select_execution": select_execution(),
        "select_detail": select_detail(),
        "select_family": select_family(),
        "lock_family": lock_family(),
        "select_families": select_families(),
        "select_taken": select_taken(),
        "select_chain": select_chain(),
        "count_chain": count_chain(),
        "select_root": select_root(),
        "select_ancestors": select_ancestors(),
        "select_descendants": select_descendants(),
        "select_first_descendants": select_first_descendants(),
        "select_deeper": select_deeper(),
        "select_siblings": select_siblings(),
        "select_attempt_tree": select_attempt_tree(),
        "select_first_attempts": select_first_attempts(),
        "select_unresolved": select_unresolved(),
        "select_reverted": select_reverted(),
        "insert_step": insert_step(insert),
        "end_step": end_step(),
        "select_step": select_step(),
        "select_steps": select_steps(),
        "select_steps_of": select_steps_of(),
        "count_steps_by_name": count_steps_by(execution_steps.c.step_name),
        "count_steps_by_status": count_steps_by(execution_steps.c.status),
        "append_event": append_event(insert),
        "insert_event": insert_row(execution_events, insert),
        "select_last_event": select_last_event(),
        "select_last_position": select_last_position(),
        "select_events": select_events(),
        "select_last_events": select_last_events(),
        "select_events_after": select_events_after(),
        "select_dismissed": select_dismissed(),
        "insert_link": once(execution_links, insert),
        "select_links": select_links(),
        "insert_plan": once(plans, insert),
        "replace_plan": replace_plan(),
        "insert_changeset": once(changesets, insert),
        "insert_decision": once(decisions, insert),
        "insert_content": once(contents, insert),
        "select_plan": _document(plans, "plan_id"),
        "select_changeset": _document(changesets, "changeset_id"),
        "select_decision": _document(decisions, "decision_id"),
        "select_changesets": select_changesets(),
        "select_content": select_content(),
        "select_dropped": select_dropped(),
        "select_payload_states": select_payload_states(),
        "select_payload_users": select_payload_users(),
        "select_changeset_documents": select_changeset_documents(),
        "select_content_sizes": select_content_sizes(),
        "delete_contents": delete_contents(),
        "select_log_sizes": select_log_sizes(),
        "delete_step_logs": delete_step_logs(),
        "move_awaiting": move_awaiting(),
        "end_awaiting": end_awaiting(),
        "insert_approval": once(approvals, insert),
        "select_approval": select_approval(),
        "select_approvals": select_approvals(),
        "select_expired": select_expired(),
        "insert_test_result": once(test_results, insert),
        "select_test_results": select_test_results(),
        "select_test_history": select_test_history(),
        "insert_step_log": once(step_logs, insert),
        "select_step_logs": select_step_logs(),
        "select_step_log": select_step_log(),
        "register_workspace": register_workspace(insert),
        "select_workspaces": select_workspaces(),
        "insert_token": insert_row(tokens, insert),
        "select_token": select_token(),
        "select_tokens": select_tokens(),
        "revoke_token": revoke_token(),
        "forget_tokens": forget_tokens(),
        "select_workspace": select_workspace(),
    }
