"""Whether everything is in order: `executor doctor`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from executor.cli.application import Application, json_option, pass_application
from executor.cli.exit_codes import ExitCode
from executor.cli.text import bytes_text, plural, safe
from executor.errors import ExecutorError

if TYPE_CHECKING:
    from executor.diagnosis import Diagnosis
    from executor.validation import CheckResult


@click.command()
@click.option("--quick", is_flag=True, help="Do not read the whole database file for damage.")
@click.option(
    "--validate",
    is_flag=True,
    help="Check this installation with real changes, in a temporary workspace that is removed.",
)
@click.option(
    "--workspace",
    type=click.Path(path_type=Path),
    help="With --validate: check in this workspace. One new file is changed and removed; the records stay.",
)
@json_option
@pass_application
def doctor(app: Application, quick: bool, validate: bool, workspace: Path | None, as_json: bool) -> int:
    """Say what is in force here and what is wrong: versions, workspace, database, settings.

    Looks and changes nothing; each thing that is wrong comes with what to do. Exit 1 when something is wrong.

    With --validate real changes go through plan, gate, apply, verification and rollback, and what is recorded, and a
    server answers, is compared with what happened. Exit 0 when every check passed, 1 when one failed, 2 when it could
    not start.

    \b
    Example: executor doctor
             executor doctor --validate --json
    """
    if workspace is not None and not validate:
        raise click.UsageError(
            "--workspace goes with --validate; for a look, use executor -C DIRECTORY doctor"
        )
    if validate and quick:
        raise click.UsageError("--quick is about looking; --validate does not look for damage")
    if validate:
        return _validate(app, workspace or app.start, as_json)
    from executor.diagnosis import diagnose

    diagnosis = diagnose(app.start, environ=os.environ, thorough=not quick)
    if as_json:
        app.print_json(_as_json(diagnosis))
    else:
        _print(app, diagnosis)
    return ExitCode.DONE if diagnosis.healthy else ExitCode.FAILED


def _validate(app: Application, workspace: Path | None, as_json: bool) -> int:
    from executor.validation import validate

    def show(result: CheckResult) -> None:
        if not as_json:
            style = None if result.passed else "red"
            app.print(f"{'✓' if result.passed else '✗'} {result.name:<10} {safe(result.detail)}", style=style)

    try:
        report = validate(workspace, environ=os.environ, observer=show)
    except (ExecutorError, OSError) as cause:
        if as_json:
            app.print_json({"passed": False, "error": str(cause), "checks": []})
        app.note(f"the release check could not start: {safe(str(cause))}", style="red")
        return ExitCode.USAGE
    if as_json:
        app.print_json(
            {
                "passed": report.passed,
                "workspace": report.workspace,
                "engine": report.engine,
                "checks": [
                    {"name": r.name, "passed": r.passed, "detail": r.detail, "seconds": r.seconds}
                    for r in report.results
                ],
            }
        )
    else:
        passed = sum(result.passed for result in report.results)
        app.print(f"{passed} of {plural(len(report.results), 'check')} passed on {report.engine}")
    return ExitCode.DONE if report.passed else ExitCode.FAILED


def _print(app: Application, found: Diagnosis) -> None:
    for name, value in _lines(found):
        app.print(f"{name:<10} {safe(value)}")
    if found.database is not None:
        for table in found.database.tables:
            size = "" if table.bytes is None else f", {bytes_text(table.bytes)}"
            app.print(f"  {table.name:<18} {plural(table.rows, 'row')}{size}")
    if found.settings:
        app.print("settings")
        for setting in found.settings:
            app.print(f"  {setting.name} = {safe(setting.value)}  ({setting.source})")
    for finding in found.findings:
        wrong = finding.level == "wrong"
        app.print(f"{'✗' if wrong else '·'} {safe(finding.message)}", style="red" if wrong else None)
        if finding.remedy:
            app.print(f"  → {safe(finding.remedy)}")
    problems = sum(finding.level == "wrong" for finding in found.findings)
    app.print(f"✗ {plural(problems, 'thing')} wrong" if problems else "✓ everything is in order")


def _lines(found: Diagnosis) -> list[tuple[str, str]]:
    lines = list(found.versions.items())
    lines += [
        (name, value)
        for name, value in (
            ("workspace", found.workspace),
            ("id", found.workspace_id),
            ("state", found.state),
            ("policy", found.policy and f"{found.policy}  {(found.policy_hash or '')[:12]}"),
        )
        if value
    ]
    if found.free_bytes is not None:
        lines.append(("free", bytes_text(found.free_bytes)))
    if found.payload_bytes:
        lines.append(("payload", f"{bytes_text(found.payload_bytes)} in artifact folders"))
    if found.database is not None:
        database = found.database
        lines.append(("database", database.database))
        log = f", log of writes {bytes_text(database.log_bytes)}" if database.log_bytes else ""
        lines.append(("engine", f"{database.engine} {database.version} ({database.driver})"))
        lines.append(("size", f"{bytes_text(database.bytes)}{log}"))
    if found.schema is not None:
        lines.append(("schema", f"version {found.schema.current} of {found.schema.newest}"))
    return lines


def _as_json(found: Diagnosis) -> dict[str, Any]:
    database, schema = found.database, found.schema
    return {
        "healthy": found.healthy,
        "versions": found.versions,
        "workspace": found.workspace,
        "workspace_id": found.workspace_id,
        "state": found.state,
        "free_bytes": found.free_bytes,
        "payload_bytes": found.payload_bytes,
        "policy": found.policy,
        "policy_hash": found.policy_hash,
        "database": None
        if database is None
        else {
            "database": database.database,
            "engine": database.engine,
            "engine_version": database.version,
            "driver": database.driver,
            "bytes": database.bytes,
            "log_bytes": database.log_bytes,
            "pooled": database.pooled,
            "home": database.home,
            "may_write": database.may_write,
            "settings": dict(database.settings),
            "tables": [{"name": t.name, "rows": t.rows, "bytes": t.bytes} for t in database.tables],
        },
        "schema": None
        if schema is None
        else {
            "current": schema.current,
            "newest": schema.newest,
            "pending": [migration.version for migration in schema.pending],
        },
        "settings": [{"name": s.name, "value": s.value, "source": s.source} for s in found.settings],
        "findings": [
            {"level": f.level.value, "code": f.code, "message": f.message, "remedy": f.remedy}
            for f in found.findings
        ],
    }
