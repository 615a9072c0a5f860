"""The database itself: `executor db …`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from executor.cli.application import Application, json_option, pass_application
from executor.cli.exit_codes import ExitCode
from executor.cli.text import plural, safe

if TYPE_CHECKING:
    from executor.migrations.downgrade import Downgrade


@click.group()
def db() -> None:
    """Upgrade, check, back up, move the database.

    The database is EXECUTOR_DATABASE_URL, else that of the workspace.

    \b
    Example: executor db status
    """


@db.command("status")
@json_option
@pass_application
def status_(app: Application, as_json: bool) -> None:
    """Which schema version the database has, and what an upgrade would do."""
    from executor.migrations import status

    found = status(app.database)
    if as_json:
        app.print_json(
            {
                "database": found.database,
                "current": found.current,
                "newest": found.newest,
                "applied": [
                    {"schema_version": a.version, "description": a.description, "applied_at": a.applied_at}
                    for a in found.applied
                ],
                "pending": [
                    {"schema_version": m.version, "description": m.description} for m in found.pending
                ],
            }
        )
        return
    app.print(f"{found.database}: version {found.current} of {found.newest}")
    for applied in found.applied:
        app.print(f"  ✓ {applied.version}  {safe(applied.description)}  (applied {safe(applied.applied_at)})")
    for migration in found.pending:
        app.print(f"    {migration.version}  {migration.description}  (pending)")
    if found.pending:
        app.note("executor db upgrade applies what is pending")


@db.command()
@json_option
@pass_application
def upgrade(app: Application, as_json: bool) -> None:
    """Bring the database to the newest schema, all or nothing.

    Every command does this by itself for the database of a workspace.
    """
    from executor.migrations import upgrade as run

    done = run(app.database)
    if as_json:
        app.print_json(
            {
                "from_version": done.from_version,
                "to_version": done.to_version,
                "applied": list(done.applied),
                "completed": done.completed,
            }
        )
    elif done.applied:
        app.print(f"upgraded from version {done.from_version} to {done.to_version}")
    elif done.completed:
        app.print(f"version {done.to_version}: what was missing has been added")
    else:
        app.print(f"version {done.to_version} is the newest; nothing to do")


@db.command("check")
@json_option
@pass_application
def check_(app: Application, as_json: bool) -> int:
    """Compare the database with its schema and let the engine check the file. Exit 1 when it is harmed."""
    from executor.migrations import check

    differences = check(app.database)
    harmful = [difference for difference in differences if difference.harmful]
    if as_json:
        app.print_json(
            {
                "ok": not harmful,
                "differences": [
                    {"kind": d.kind, "name": d.name, "message": d.message, "harmful": d.harmful}
                    for d in differences
                ],
            }
        )
    else:
        for difference in differences:
            app.print(f"{'✗' if difference.harmful else '·'} {safe(difference.message)}")
        app.print("the database is in order" if not harmful else plural(len(harmful), "problem"))
        if harmful:
            app.note("executor db upgrade adds what is missing; else restore a backup")
    return ExitCode.FAILED if harmful else ExitCode.DONE


@db.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@pass_application
def backup_(app: Application, file: Path, as_json: bool) -> None:
    """Write a copy of the database to FILE while it is in use. FILE must not exist.

    \b
    Example: executor db backup executor-$(date +%F).db
    """
    from executor.migrations import backup

    path = backup(app.database, file)
    if as_json:
        app.print_json({"backup": str(path), "bytes": path.stat().st_size})
    else:
        app.print(f"{path}  ({path.stat().st_size:,} bytes)")


@db.command("copy")
@click.option(
    "--to", "target", metavar="URL", required=True, help="Where to: a postgresql:// or sqlite:/// URL."
)
@json_option
@pass_application
def copy_(app: Application, target: str, as_json: bool) -> None:
    """Copy the database to another one, SQLite or PostgreSQL, while it is in use.

    The other one is empty, or holds an earlier copy, which is brought up to date. Interrupted, the command
    goes on where it was when it is run again. In the end rows and checksums of both are compared.

    \b
    Example: executor db copy --to postgresql://executor@db.example.com/executor
    """
    from executor.storage.copy import copy_database

    with _counted(app) as progress:
        report = copy_database(str(app.database), target, progress=progress)
    if as_json:
        app.print_json(
            {
                "source": report.source,
                "target": report.target,
                "rows": report.rows,
                "written": report.written,
                "left_out": report.left_out,
                "cleaned": report.cleaned,
                "converted": report.converted,
                "tables": [
                    {
                        "name": t.name,
                        "rows": t.rows,
                        "written": t.written,
                        "left_out": t.left_out,
                        "checksum": t.checksum,
                    }
                    for t in report.tables
                ],
            }
        )
        return
    for table in report.tables:
        app.print(f"  ✓ {table.name}: {plural(table.rows, 'row')}, {table.written:,} written")
    app.print(
        f"{report.target} is equal to {report.source}: {plural(report.rows, 'row')}, checksums compared"
    )
    if report.cleaned:
        app.note(
            f"{plural(report.cleaned, 'text')} held NUL or broken characters, which are escaped in the copy"
        )
    if report.converted:
        app.note(f"{plural(report.converted, 'value')} of another type than their column were converted")
    if report.left_out:
        app.note(f"{plural(report.left_out, 'row')} without an execution were left out")


@contextmanager
def _counted(app: Application) -> Iterator[Callable[[str, int, int], None]]:
    """Shows how far a copy is: a line that changes on a terminal, a line a table elsewhere."""
    if not app.err.is_terminal:
        yield lambda table, done, total: app.note(f"{table}: {total:,}") if done == total else None
        return
    with app.err.status("copying") as line:
        yield lambda table, done, total: line.update(f"copying {table}: {done:,} of {total:,}")


@db.command()
@click.option("--to", "target", type=click.IntRange(min=0), required=True, help="The version to go back to.")
@click.option("--yes", is_flag=True, help="Do it. Without this, only say what would be lost.")
@json_option
@pass_application
def downgrade(app: Application, target: int, yes: bool, as_json: bool) -> None:
    """Go back to an older schema, after writing a copy of the database beside it.

    A PostgreSQL database is not copied; without --yes the command that dumps it is named.

    \b
    Example: executor db downgrade --to 1 --yes
    """
    from executor.migrations import preview_rollback, rollback_migration

    done = rollback_migration(app.database, target) if yes else preview_rollback(app.database, target)
    if as_json:
        app.print_json(
            {
                "from_version": done.from_version,
                "to_version": done.to_version,
                "done": yes,
                "copy": None if done.copy is None else str(done.copy),
                "losses": [
                    {"table": loss.table, "column": loss.column, "rows": loss.rows} for loss in done.losses
                ],
            }
        )
        return
    _print_downgrade(app, done, yes)


def _print_downgrade(app: Application, done: Downgrade, yes: bool) -> None:
    verb = "lost" if yes else "would be lost"
    for loss in done.losses:
        what = f"{loss.table}.{loss.column}" if loss.column else f"table {loss.table}"
        app.print(f"  {verb}: {safe(what)} of {plural(loss.rows, 'row')}")
    if done.advice and not yes:
        app.note(done.advice)
    if done.from_version == done.to_version:
        app.print(f"version {done.to_version} already; nothing to do")
    elif yes:
        app.print(f"went back from version {done.from_version} to {done.to_version}")
        if done.copy is not None:
            app.print(f"the database as it was: {done.copy}")
    else:
        app.note(f"nothing was changed; --yes goes from version {done.from_version} to {done.to_version}")
