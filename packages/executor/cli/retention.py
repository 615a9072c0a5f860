"""Making room: `executor gc`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from executor.cli.application import Application, all_workspaces_option, json_option, pass_application
from executor.cli.text import bytes_text, local_time, one_line, plural, short_id

if TYPE_CHECKING:
    from executor.host.retention import Collection, Drop

# Executions that are shown one by one; `--json` has all.
_SHOWN: Final = 20

_HELD: Final = {
    "running": "it has not ended",
    "attempt": "a later attempt has not ended",
    "approval": "an approval of its change still holds",
    "journal": "its journal is still there: executor recover",
}


@click.command()
@click.option(
    "--keep-days", type=click.IntRange(0, 36_500), metavar="N", help="Keep what ended in the last N days."
)
@click.option(
    "--keep-count", type=click.IntRange(0), metavar="N", help="Keep the newest N that ended, per workspace."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be dropped, and how large it is.")
@all_workspaces_option
@json_option
@pass_application
def gc(
    app: Application,
    keep_days: int | None,
    keep_count: int | None,
    dry_run: bool,
    all_workspaces: bool,
    as_json: bool,
) -> None:
    """Drop logs, reports and contents of files of executions that are old enough.

    An execution is kept when either limit keeps it; one that is not given is that of [retention] in
    .executor/config.toml. The record, its steps, events and links stay for good, and say what was dropped. What
    runs, waits, or may still be retried by an approval is left alone.

    \b
    Example: executor gc --keep-days 90 --keep-count 1000 --dry-run
    """
    collector = app.runtime.collector(
        keep_days=keep_days, keep_count=keep_count, all_workspaces=all_workspaces
    )
    with _counted(app) as progress:
        found = collector.look() if dry_run else collector.collect(progress)
    if as_json:
        app.print_json(
            {
                "dry_run": dry_run,
                "bytes": found.bytes,
                "dropped": [drop.to_dict() for drop in found.dropped],
                "held": [{"execution_id": name, "reason": reason.value} for name, reason in found.held],
                "finished": list(found.finished),
            }
        )
        return
    _print(app, found, dry_run)


def _print(app: Application, found: Collection, dry_run: bool) -> None:
    for drop in found.dropped[:_SHOWN]:
        app.print(_line(drop))
    if len(found.dropped) > _SHOWN:
        app.note(f"and {len(found.dropped) - _SHOWN:,} more; --json shows all")
    for name, reason in found.held[:_SHOWN]:
        app.note(f"kept {short_id(name)}: {_HELD[reason.value]}")
    if len(found.held) > _SHOWN:
        app.note(f"and {len(found.held) - _SHOWN:,} more are kept; --json shows all")
    for drop in found.dropped:
        if drop.rescued:
            app.note(
                f"{short_id(drop.execution_id)}: {plural(drop.rescued, 'file')} that a rollback rescued "
                "stay, for you to look through"
            )
    if found.finished:
        verb = "would be finished" if dry_run else "finished"
        app.print(f"{verb}: {plural(len(found.finished), 'execution')} an earlier gc was interrupted over")
    verb = "would drop" if dry_run else "dropped"
    if found.dropped:
        app.print(f"{verb} {bytes_text(found.bytes)} of {plural(len(found.dropped), 'execution')}")
    elif not found.finished:
        app.print("nothing to drop")


def _line(drop: Drop) -> str:
    ended = local_time(drop.ended_at) if drop.ended_at else "?"
    parts = [
        f"{plural(len(drop.files), 'file')} {bytes_text(drop.file_bytes)}",
        f"{plural(drop.size.contents, 'content')} {bytes_text(drop.size.content_bytes)}",
        f"{plural(drop.size.logs, 'kept log')} {bytes_text(drop.size.log_bytes)}",
    ]
    return (
        f"{short_id(drop.execution_id)}  ended {ended}  {', '.join(parts)}  {one_line(drop.title or '', 60)}"
    )


@contextmanager
def _counted(app: Application) -> Iterator[Callable[[int, int], None]]:
    if not app.err.is_terminal:
        yield lambda done, total: None
        return
    with app.err.status("looking") as line:
        yield lambda done, total: line.update(f"dropping: {done:,} of {total:,}")
