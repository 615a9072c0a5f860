"""`executor show --replay`: the story of an execution as its artifacts tell it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from executor.cli.application import Application
from executor.cli.text import local_time, one_line, plural, safe
from executor.models.times import parse_time

if TYPE_CHECKING:
    from executor.host.replay import Replay
    from executor.models.execution import EventRecord

# The last lines of a failing step's log that are shown; `executor logs` has all.
_LOG_LINES: Final = 20


def show_replay(app: Application, text: str, *, as_json: bool) -> None:
    """Raises WorkspaceNotFound, ExecutionNotFound and AmbiguousId."""
    from executor.host.replay import replay
    from executor.storage.location import state_directory

    story = replay(state_directory(app.root), text)
    if as_json:
        app.print_json(story.to_dict())
        return
    _print(app, story)


def _print(app: Application, story: Replay) -> None:
    record, plan = story.document("execution"), story.document("plan")
    app.print(
        f"{safe(story.execution_id)}  {one_line(str(record.get('title') or plan.get('title') or ''), 100)}"
    )
    if plan.get("why"):
        app.print(f"why: {one_line(str(plan['why']), 300)}")
    for word, other in (("reverts", story.reverts), ("reverted by", story.reverted_by)):
        if other is not None:
            app.print(f"{word} {safe(other)}")
    if story.events:
        app.print(f"began {local_time(story.events[0].timestamp)}")
    began = _time(story.events[0]) if story.events else None
    for event in story.events:
        at = _time(event)
        offset = f"+{(at - began).total_seconds():.3f}" if at is not None and began is not None else ""
        details = ", ".join(f"{k}={v}" for k, v in event.data.items() if v not in (None, "", [], {}))
        app.print(f"{offset:>10}  {one_line(str(event.event)):<18}  {one_line(details, 200)}")
    _print_failing_logs(app, story)
    if record:
        error = f": {one_line(str(record['error_message']), 200)}" if record.get("error_message") else ""
        app.print(f"ended {safe(str(record.get('status')))}{error}")
    for gap in story.gaps:
        app.note(f"incomplete: {safe(gap)}", style="yellow")
    app.note(f"told from {plural(len(story.artifacts), 'artifact')} in {safe(str(story.folder.path))}")


def _print_failing_logs(app: Application, story: Replay) -> None:
    for name, lines in story.failing_logs(_LOG_LINES):
        app.print(f"── {safe(name)}")
        for line in lines:
            app.print(safe(line))


def _time(event: EventRecord) -> datetime | None:
    try:
        return parse_time(str(event.timestamp))
    except ValueError:
        return None
