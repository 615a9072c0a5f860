"""What a filter means, in plain Python over all rows."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from pathspec import GitIgnoreSpec

from executor.graph import effective, unresolved
from executor.models.execution import ExecutionFilter, ExecutionRecord, LinkKind, LinkRecord
from executor.models.text import ascii_lower


def filtered(
    rows: Sequence[ExecutionRecord],
    filter: ExecutionFilter,
    *,
    workspace_id: str | None = None,
    links: Iterable[LinkRecord] = (),
    dismissed: Iterable[str] = (),
    since: str = "",
) -> list[ExecutionRecord]:
    """The effective rows that pass, newest first."""
    links = list(links)
    commits: dict[str, set[str]] = {}
    for link in links:
        if link.kind == LinkKind.COMMIT:
            commits.setdefault(link.source_id, set()).add(link.target_id)
    open_ends: set[str] = set()
    if filter.unresolved is not None:
        open_ends = {
            row.execution_id
            for row in rows
            if unresolved(rows, row.execution_id, links=links, dismissed=dismissed, since=since)
        }
    shown = [effective(row, workspace_id) for row in rows]
    passing = [
        row
        for row in shown
        if _passes(row, filter, row.execution_id in open_ends)
        and _allowed(filter.commit, commits.get(row.execution_id, set()).__contains__)
    ]
    return sorted(passing, key=lambda row: (row.started_at, row.execution_id), reverse=True)


_COLUMNS = {
    "correlation_id": "correlation_id",
    "run_id": "run_id",
    "parent_execution_id": "parent_execution_id",
    "workspace": "workspace_id",
    "status": "status",
    "verdict": "verdict",
    "risk_level": "risk_level",
    "trigger_kind": "trigger_kind",
    "actor": "actor",
    "error_step": "error_step",
}


def _passes(row: ExecutionRecord, filter: ExecutionFilter, is_unresolved: bool) -> bool:
    for name, column in _COLUMNS.items():
        if not _allowed(getattr(filter, name), partial(operator.eq, getattr(row, column))):
            return False
    if not _allowed(filter.path, lambda pattern: _matches(pattern, row.affected_paths)):
        return False
    if filter.q and not _occurs(filter.q, row):
        return False
    if filter.since is not None and row.started_at < filter.since:
        return False
    if filter.until is not None and row.started_at >= filter.until:
        return False
    if filter.awaiting is not None and filter.awaiting != row.awaiting_approval:
        return False
    return filter.unresolved is None or filter.unresolved == is_unresolved


def _allowed(values: Sequence[str], matches: Callable[[str], bool]) -> bool:
    wanted = [value for value in values if not value.startswith("!")]
    unwanted = [value[1:] for value in values if value.startswith("!")]
    return (not wanted or any(map(matches, wanted))) and not any(map(matches, unwanted))


def _matches(pattern: str, paths: Iterable[str]) -> bool:
    spec = GitIgnoreSpec.from_lines([pattern])
    return any(spec.match_file(path) for path in paths)


def _occurs(text: str, row: ExecutionRecord) -> bool:
    places: list[Any] = [row.execution_id, row.title, row.error_message, *row.affected_paths]
    return any(ascii_lower(text) in ascii_lower(place) for place in places if place is not None)
