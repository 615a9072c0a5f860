"""The execution graph as pure functions over rows: what every storage engine has to answer.

Rows are executions as they are stored, in any order; answers hold effective values. Each execution has
at most one parent, so the rows form a forest, unless something behind the store wrote cycles, parents
that do not exist or links from one correlation to another. Then: links are followed wherever they lead, an
execution is never its own relative, and no list holds an execution twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from executor.errors import ExecutionNotFound
from executor.models.execution import (
    ATTEMPT_TRIGGERS,
    ExecutionRecord,
    ExecutionStatus,
    Lineage,
    LinkKind,
    LinkRecord,
    TriggerKind,
)
from executor.models.numbers import check_limit

# Reverts of reverts that are followed. Longer rows of them exist only where links form a cycle.
REVERTS_FOLLOWED: Final = 32


def effective(row: ExecutionRecord, workspace_id: str | None = None) -> ExecutionRecord:
    """The row with what a missing value means; `workspace_id` is the one the database belongs to."""
    return replace(
        row,
        correlation_id=row.execution_id if row.correlation_id is None else row.correlation_id,
        trigger_kind=TriggerKind.MANUAL.value if row.trigger_kind is None else row.trigger_kind,
        attempt=1 if row.attempt is None else row.attempt,
        workspace_id=workspace_id if row.workspace_id is None else row.workspace_id,
    )


def in_order(rows: Iterable[ExecutionRecord]) -> list[ExecutionRecord]:
    """By `started_at`, then id, both as text."""
    return sorted(rows, key=lambda row: (row.started_at, row.execution_id))


class Graph:
    """Rows by id, and the children of each in order."""

    def __init__(self, rows: Iterable[ExecutionRecord], workspace_id: str | None = None) -> None:
        self.rows = {row.execution_id: effective(row, workspace_id) for row in rows}
        self.children: dict[str, list[ExecutionRecord]] = {}
        for row in in_order(self.rows.values()):
            if row.parent_execution_id is not None:
                self.children.setdefault(row.parent_execution_id, []).append(row)

    def __getitem__(self, execution_id: str) -> ExecutionRecord:
        """Raises ExecutionNotFound."""
        try:
            return self.rows[execution_id]
        except KeyError:
            raise ExecutionNotFound(execution_id) from None

    def parent(self, row: ExecutionRecord) -> ExecutionRecord | None:
        """The parent when there is one in the rows."""
        return None if row.parent_execution_id is None else self.rows.get(row.parent_execution_id)

    def ancestors(self, execution_id: str) -> Iterator[ExecutionRecord]:
        """The nearest first; ends where a parent is missing or came before."""
        seen = {execution_id}
        row = self.parent(self[execution_id])
        while row is not None and row.execution_id not in seen:
            yield row
            seen.add(row.execution_id)
            row = self.parent(row)

    def generations(self, execution_id: str) -> Iterator[list[ExecutionRecord]]:
        """Children, grandchildren and so on, each generation in order."""
        generation = [self[execution_id]]
        while generation:
            children = (self.children.get(row.execution_id, ()) for row in generation)
            # One parent each: the only way to meet an execution twice leads through the first.
            generation = in_order(
                child for family in children for child in family if child.execution_id != execution_id
            )
            if generation:
                yield generation

    def siblings(self, execution_id: str) -> list[ExecutionRecord]:
        """The others that name the same parent, be it there or not."""
        parent_id = self[execution_id].parent_execution_id
        if parent_id is None:
            return []
        return [row for row in self.children[parent_id] if row.execution_id != execution_id]


def lineage(
    rows: Iterable[ExecutionRecord],
    execution_id: str,
    depth: int = 20,
    limit: int = 10_000,
    *,
    workspace_id: str | None = None,
) -> Lineage:
    """The relatives of one execution. Raises ExecutionNotFound, InvalidLimit."""
    check_limit("depth", depth)
    check_limit("limit", limit)
    graph = Graph(rows, workspace_id)
    execution = graph[execution_id]
    nearest_first = list(graph.ancestors(execution_id))
    ancestors = nearest_first[: min(depth, limit)]
    generations = list(graph.generations(execution_id))
    near = [row for generation in generations[:depth] for row in generation]
    siblings = graph.siblings(execution_id)
    return {
        "execution": execution,
        "ancestors": ancestors[::-1],
        "descendants": near[:limit],
        "siblings": siblings[:limit],
        "truncated": {
            "ancestors": len(ancestors) < len(nearest_first),
            "descendants": len(near) > limit or len(generations) > depth,
            "siblings": len(siblings) > limit,
        },
    }


def chain(
    rows: Iterable[ExecutionRecord],
    correlation_id: str,
    limit: int = 100,
    *,
    workspace_id: str | None = None,
) -> list[ExecutionRecord]:
    """The executions of a correlation, the earliest first and kept. Raises InvalidLimit."""
    check_limit("limit", limit)
    members = (effective(row, workspace_id) for row in rows)
    return in_order(row for row in members if row.correlation_id == correlation_id)[:limit]


def root(
    rows: Iterable[ExecutionRecord], correlation_id: str, *, workspace_id: str | None = None
) -> ExecutionRecord | None:
    """The earliest execution of the correlation that has no parent; None when there is none."""
    members = (effective(row, workspace_id) for row in rows)
    roots = (row for row in members if row.correlation_id == correlation_id)
    return next(iter(in_order(row for row in roots if row.parent_execution_id is None)), None)


class Place(NamedTuple):
    """Where an execution stands.

    `root` is the topmost ancestor, `first_attempt` where its retries and repairs began, `spawner` the
    parent of the first attempt. A part that was never recorded, or that a cycle hides, is None.
    """

    root: ExecutionRecord | None
    first_attempt: ExecutionRecord | None
    spawner: ExecutionRecord | None


def place(rows: Iterable[ExecutionRecord], execution_id: str) -> Place:
    """Root, first attempt and spawner of an execution. Raises ExecutionNotFound."""
    graph = Graph(rows)
    upwards = [graph[execution_id], *graph.ancestors(execution_id)]
    top = upwards[-1]
    first = next((row for row in upwards if not is_attempt(row)), None)
    return Place(
        root=top if top.parent_execution_id is None else None,
        first_attempt=first,
        spawner=graph.parent(first) if first is not None else None,
    )


def is_attempt(row: ExecutionRecord) -> bool:
    """Whether the execution is another attempt of its parent's task."""
    return row.parent_execution_id is not None and row.trigger_kind in ATTEMPT_TRIGGERS


def first_attempts(tried: Mapping[str, str | None]) -> dict[str, str]:
    """The first attempt behind each execution; no key where it is not among them or a cycle hides it.

    `tried` holds for each the execution it tries again, None for one that is no retry and no repair.
    """
    first: dict[str, str | None] = {name: name for name, again in tried.items() if again is None}
    for name in tried:
        way: dict[str, None] = {}
        at: str | None = name
        while at is not None and at not in first and at not in way:
            way[at] = None
            at = tried.get(at)
        # What leads nowhere is kept, too, so that no way is gone twice.
        first.update(dict.fromkeys(way, None if at is None else first.get(at)))
    return {name: found for name, found in first.items() if found is not None}


def attempt_tree(
    rows: Iterable[ExecutionRecord], execution_id: str, *, workspace_id: str | None = None
) -> list[ExecutionRecord]:
    """All executions connected with one by retry and repair edges, itself included, in order.

    Two attempts at an execution that is missing are connected, too. Raises ExecutionNotFound.
    """
    graph = Graph(rows, workspace_id)
    connected = {graph[execution_id].execution_id: None}
    open_ends = [execution_id]
    while open_ends:
        end = open_ends.pop()
        row = graph.rows.get(end)
        next_ends = [child.execution_id for child in graph.children.get(end, ()) if is_attempt(child)]
        if row is not None and is_attempt(row):
            next_ends.append(str(row.parent_execution_id))
        open_ends.extend(near for near in next_ends if near not in connected)
        connected.update(dict.fromkeys(next_ends))
    return in_order(graph.rows[end] for end in connected if end in graph.rows)


def unresolved(
    rows: Sequence[ExecutionRecord],
    execution_id: str,
    *,
    links: Iterable[LinkRecord] = (),
    dismissed: Iterable[str] = (),
    since: str = "",
) -> bool:
    """Whether an execution still needs someone.

    It failed, was rolled back or awaits approval, began at `since` or later, is not among the
    `dismissed`, and no execution of its attempt tree that started later completed and stands. A completed
    execution stands unless it is `reverted`. Raises ExecutionNotFound.
    """
    tree = attempt_tree(rows, execution_id)
    row = next(row for row in tree if row.execution_id == execution_id)
    if not needs_someone(row) or row.started_at < since or execution_id in set(dismissed):
        return False
    undone = reverted(rows, links)
    standing = (
        other
        for other in tree
        if other.status == ExecutionStatus.COMPLETED and other.execution_id not in undone
    )
    return not any(other.started_at > row.started_at for other in standing)


def reverted(rows: Iterable[ExecutionRecord], links: Iterable[LinkRecord]) -> dict[str, str]:
    """What is undone, and by which execution.

    Of the completed executions that revert one, the latest counts, as long as it is not undone itself: a
    revert that is reverted has put back what it undid.
    """
    completed = {row.execution_id: row for row in rows if row.status == ExecutionStatus.COMPLETED}
    latest: dict[str, ExecutionRecord] = {}
    for link in links:
        row = completed.get(link.source_id)
        if link.kind == LinkKind.REVERTS and row is not None:
            latest[link.target_id] = max(latest.get(link.target_id, row), row, key=_moment)

    def standing(execution_id: str) -> bool:
        reverts = 0
        while execution_id in latest and reverts < REVERTS_FOLLOWED:
            execution_id = latest[execution_id].execution_id
            reverts += 1
        return reverts % 2 == 0

    return {target: row.execution_id for target, row in latest.items() if not standing(target)}


def _moment(row: ExecutionRecord) -> tuple[str, str]:
    return row.started_at, row.execution_id


def needs_someone(row: ExecutionRecord) -> bool:
    """Whether the status alone asks for attention."""
    return row.status in (ExecutionStatus.FAILED, ExecutionStatus.ROLLED_BACK) or row.awaiting_approval
