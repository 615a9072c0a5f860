"""Relatives: `lineage` and `chain`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from executor.cli.application import Application, all_workspaces_option, json_option, pass_application
from executor.cli.text import (
    UNDONE_ICON,
    duration,
    one_line,
    ordinal,
    plural,
    safe,
    short_id,
    status_icon,
    status_style,
    status_word,
)
from executor.errors import CorrelationNotFound
from executor.models.execution import ATTEMPT_TRIGGERS, ExecutionRecord

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree


@click.command()
@click.argument("execution", metavar="ID")
@click.option("--depth", type=int, default=20, show_default=True, help="Generations up and down.")
@click.option("--limit", type=int, default=1000, show_default=True, help="Executions in each direction.")
@all_workspaces_option
@json_option
@pass_application
def lineage(
    app: Application, execution: str, depth: int, limit: int, all_workspaces: bool, as_json: bool
) -> None:
    """The family of an execution as a tree.

    ID is an id, its unique beginning or end, @last or @last-failed.

    \b
    Example: executor lineage @last
    """
    execution_id = app.runtime.resolve(execution, all_workspaces=all_workspaces)
    found = app.store.get_execution_lineage(execution_id, depth=depth, limit=limit)
    if as_json:
        app.print_json(
            {
                "execution": found["execution"].to_dict(),
                "ancestors": [r.to_dict() for r in found["ancestors"]],
                "descendants": [r.to_dict() for r in found["descendants"]],
                "siblings": [r.to_dict() for r in found["siblings"]],
                "truncated": dict(found["truncated"]),
            }
        )
        return
    family = [*found["ancestors"], found["execution"], *found["siblings"], *found["descendants"]]
    undone = app.store.list_reverted([record.execution_id for record in family])
    for tree in forest(family, focus=execution_id, undone=undone):
        app.print(tree)
    cut = [name for name, more in found["truncated"].items() if more]
    if cut:
        app.note(f"there are more {' and '.join(cut)}; --depth and --limit show them")


@click.command()
@click.argument("correlation", metavar="CORRELATION")
@click.option("--limit", type=int, default=100, show_default=True, help="The earliest so many.")
@json_option
@pass_application
def chain(app: Application, correlation: str, limit: int, as_json: bool) -> None:
    """Every execution of one correlation, oldest first, as a tree.

    CORRELATION is a correlation id, or an execution (id, part of an id, @last) that belongs to it.

    \b
    Example: executor chain @last
    """
    correlation_id = app.runtime.resolve_correlation(correlation)
    records = app.store.list_executions_by_correlation(correlation_id, limit=limit)
    if not records:
        raise CorrelationNotFound(correlation_id)
    root = app.store.get_root_execution(correlation_id)
    if as_json:
        app.print_json(
            {
                "correlation_id": correlation_id,
                "root_execution_id": root.execution_id if root else None,
                "executions": [record.to_dict() for record in records],
            }
        )
        return
    app.print(f"{safe(correlation_id)}  {plural(len(records), 'execution')}")
    for tree in forest(records, undone=app.store.list_reverted([record.execution_id for record in records])):
        app.print(tree)


def forest(
    records: Sequence[ExecutionRecord], *, focus: str | None = None, undone: Mapping[str, str] | None = None
) -> list[Tree]:
    """One tree per record whose parent is not among `records`, children by start.

    Records of a cycle hang below its earliest member. `undone` says which are reverted, and by what.
    """
    undone = undone or {}
    from rich.tree import Tree

    by_id = {record.execution_id: record for record in records}
    order = sorted(by_id.values(), key=lambda r: (r.started_at, r.execution_id))
    children: dict[str | None, list[ExecutionRecord]] = defaultdict(list)
    for record in order:
        parent = record.parent_execution_id
        children[parent if parent in by_id and parent != record.execution_id else None].append(record)
    drawn: set[str] = set()
    trees = []
    for top in [*children[None], *order]:
        if top.execution_id in drawn:
            continue
        tree = Tree(_label(top, focus, undone), guide_style="dim")
        drawn.add(top.execution_id)
        stack = [(tree, top.execution_id)]
        while stack:
            branch, execution_id = stack.pop()
            for child in children[execution_id]:
                if child.execution_id not in drawn:
                    drawn.add(child.execution_id)
                    stack.append((branch.add(_label(child, focus, undone)), child.execution_id))
        trees.append(tree)
    return trees


def _label(record: ExecutionRecord, focus: str | None, undone: Mapping[str, str]) -> Text:
    from rich.text import Text

    style = status_style(record)
    label = Text(no_wrap=True)
    if record.parent_execution_id is not None:
        label.append(f"{safe(record.trigger_kind or 'manual')} ", style="bold")
    label.append(f"{status_icon(record)} {status_word(record)}", style=style)
    here = record.execution_id == focus
    label.append(f"  {safe(short_id(record.execution_id))}", style="bold underline" if here else "cyan")
    if record.title:
        label.append(f"  {one_line(record.title, 60)}")
    if record.trigger_kind in ATTEMPT_TRIGGERS and record.attempt and record.attempt > 1:
        label.append(f"  {ordinal(record.attempt)} attempt", style="dim")
    if record.duration_seconds is not None:
        label.append(f"  {duration(record.duration_seconds)}", style="dim")
    if record.execution_id in undone:
        by = safe(short_id(undone[record.execution_id]))
        label.append(f"  {UNDONE_ICON} reverted by {by}", style="dim")
    if record.error_message:
        step = f"{record.error_step}: " if record.error_step else ""
        label.append(f"  {safe(step)}{one_line(record.error_message, 100)}", style=style)
    if here:
        label.append("  ◀", style="bold")
    return label
