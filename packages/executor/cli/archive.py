"""One correlation as one file: `executor export` and `executor import`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from executor.cli.application import Application, json_option, pass_application
from executor.cli.text import bytes_text, plural, safe


@click.command()
@click.argument("correlation", metavar="CORRELATION")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to; must not exist. Without it CORRELATION.executor.zip here.",
)
@click.option(
    "--content",
    is_flag=True,
    help="Exact bytes of files before and after the changes, too. They are not redacted.",
)
@json_option
@pass_application
def export(app: Application, correlation: str, out: Path | None, content: bool, as_json: bool) -> None:
    """Write everything of one correlation to a file: records, events, documents, logs.

    CORRELATION is a correlation id or an execution of it. Text is redacted by the secrets of this environment.
    Without --content no bytes of files travel, and what is imported can be read, but shows no diff.

    \b
    Example: executor export @last --content --out case.executor.zip
    """
    correlation_id = app.runtime.resolve_correlation(correlation)
    file = out or Path(f"{_file_name(correlation_id)}.executor.zip")
    with _counted(app, "exporting") as progress:
        done = app.runtime.export(correlation_id, file, content=content, progress=progress)
    if as_json:
        app.print_json(
            {
                "file": str(done.file),
                "correlation_id": done.correlation_id,
                "executions": done.executions,
                "content": done.content,
                "members": done.members,
                "bytes": done.bytes,
            }
        )
        return
    app.print(f"{safe(str(done.file))}  ({plural(done.executions, 'execution')}, {bytes_text(done.bytes)})")
    if not content:
        app.note("without contents of files; --content takes them along, exactly as they are")


def _file_name(correlation_id: str) -> str:
    from executor.host.presence import safe_name

    return safe_name(correlation_id)[:128]


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check the file and say what would be written.")
@json_option
@pass_application
def import_(app: Application, file: Path, dry_run: bool, as_json: bool) -> None:
    """Bring an exported correlation into this database, all of it or nothing.

    Ids stay as they are. What is there already stays, and has to be equal. Executions of other workspaces can be
    listed, shown and compared afterwards (--all-workspaces), and are never applied here.

    \b
    Example: executor import case.executor.zip
    """
    with _counted(app, "importing") as progress:
        done = app.new_runtime.import_archive(file, dry_run=dry_run, progress=progress)
    if as_json:
        app.print_json(
            {
                "correlation_id": done.correlation_id,
                "executions": done.executions,
                "content": done.content,
                "dry_run": dry_run,
                "rows": dict(done.rows),
                "written": dict(done.written),
                "artifacts": done.artifacts,
                "artifacts_written": done.artifacts_written,
            }
        )
        return
    rows = sum(done.written.values())
    what = f"{safe(done.correlation_id)}: {plural(done.executions, 'execution')}"
    if not done.changed:
        app.print(f"{what}, all here already; nothing to do")
        return
    verb = "would write" if dry_run else "wrote"
    app.print(f"{what}; {verb} {plural(rows, 'row')} and {plural(done.artifacts_written, 'artifact')}")
    if not dry_run:
        app.note(f"executor chain {safe(done.correlation_id)}")


@contextmanager
def _counted(app: Application, verb: str) -> Iterator[Callable[[str, int, int], None]]:
    if not app.err.is_terminal:
        yield lambda what, done, total: None
        return
    with app.err.status(verb) as line:
        yield lambda what, done, total: line.update(f"{verb} {what}: {done:,} of {total:,}")
