"""Changing a workspace: `run` and `retry`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from executor.cli.application import Application, json_option, pass_application, with_options
from executor.cli.exit_codes import ExitCode, of_outcome
from executor.cli.progress import shown
from executor.cli.signals import cancellable
from executor.cli.text import ago, one_line, plural, short_id, status_icon, status_style, status_word, utc_now
from executor.errors import InvalidSettings
from executor.models.execution import ExecutionRecord, ExecutionStatus, TriggerKind

if TYPE_CHECKING:
    from executor.runtime import Proposal

_execution_options = with_options(
    click.option(
        "--wait",
        metavar="SECONDS",
        type=click.FloatRange(min=0),
        default=0.0,
        help="How long to wait for the workspace (0).",
    ),
    click.option(
        "--timeout",
        metavar="SECONDS",
        type=click.FloatRange(min=0, min_open=True),
        help="How long a check may take (900; for a retry what it was before).",
    ),
    click.option(
        "--env", "env", multiple=True, metavar="NAME", help="Let the checks see this variable, too."
    ),
    click.option("--why", help="The reason, for whoever reads the record."),
    click.option("--run-id", metavar="ID", help="The run of a pipeline or agent this belongs to."),
    json_option,
)


@click.command()
@click.option(
    "--patch", type=click.Path(path_type=Path, allow_dash=True), help="A git or unified diff; - reads stdin."
)
@click.option(
    "--changeset", type=click.Path(path_type=Path, allow_dash=True), help="A JSON changeset; - reads stdin."
)
@click.option("--verify", multiple=True, metavar="CMD", help="A command that must exit with 0 (repeatable).")
@click.option("--title", help="One line that says what the change does.")
@click.option("--parent", metavar="ID", help="The execution this one is caused by.")
@click.option("--correlation", metavar="ID", help="The chain a first execution belongs to.")
@click.option("--trigger", type=click.Choice([kind.value for kind in TriggerKind]), help="What caused it.")
@click.option("--dry-run", is_flag=True, help="Show plan and decision; change and record nothing.")
@_execution_options
@pass_application
def run(
    app: Application,
    patch: Path | None,
    changeset: Path | None,
    verify: tuple[str, ...],
    title: str | None,
    parent: str | None,
    correlation: str | None,
    trigger: str | None,
    dry_run: bool,
    wait: float,
    timeout: float | None,
    env: tuple[str, ...],
    why: str | None,
    run_id: str | None,
    as_json: bool,
) -> int:
    """Apply a change all-or-nothing, verify it, and put everything back when it fails.

    \b
    Example: executor run --patch fix.diff --verify "pytest -q"
             git diff | executor run --patch - --verify "make check" --why "flaky on CI"

    Exit codes: 0 done, 1 failed and rolled back, 3 needs approval, 4 denied, 5 rollback incomplete,
    7 the workspace changed or is in use.
    """
    if (patch is None) == (changeset is None):
        raise click.UsageError("give the change with --patch FILE or --changeset FILE (- reads stdin)")
    runtime = app.new_runtime
    origin = runtime.origin(
        trigger=trigger,
        parent=runtime.resolve(parent) if parent else None,
        correlation=correlation,
        run_id=run_id,
    )
    source = patch or changeset
    assert source is not None
    proposal = runtime.propose(
        _read(source),
        kind="patch" if patch is not None else "changeset",
        origin=origin,
        verify=verify,
        timeout_seconds=timeout,
        environment=env,
        title=title,
        why=why,
    )
    if isinstance(proposal, ExecutionRecord):
        return _already_applied(app, proposal, as_json)
    if dry_run:
        return _dry_run(app, proposal, as_json)
    with cancellable(app.note) as cancel, shown(app.err, quiet=as_json) as progress:
        record = runtime.execute(proposal, cancel=cancel, observer=progress, wait_seconds=wait)
    return _report(app, record, as_json)


@click.command()
@click.argument("execution", metavar="ID", default="@last-failed")
@_execution_options
@pass_application
def retry(
    app: Application,
    execution: str,
    wait: float,
    timeout: float | None,
    env: tuple[str, ...],
    why: str | None,
    run_id: str | None,
    as_json: bool,
) -> int:
    """Apply the change of a failed execution again, with the same checks, as its child.

    ID is an id, its unique beginning or end, or @last-failed (the default).

    \b
    Example: executor retry @last-failed
    """
    runtime = app.runtime
    execution_id = runtime.resolve(execution)
    with cancellable(app.note) as cancel, shown(app.err, quiet=as_json) as progress:
        record = runtime.retry(
            execution_id,
            why=why,
            run_id=run_id,
            timeout_seconds=timeout,
            environment=env,
            cancel=cancel,
            observer=progress,
            wait_seconds=wait,
        )
    return _report(app, record, as_json)


def _read(source: Path) -> bytes:
    if str(source) == "-":
        return sys.stdin.buffer.read()
    try:
        return source.read_bytes()
    except OSError as cause:
        raise InvalidSettings(f"{source} cannot be read: {cause.strerror}") from cause


def _already_applied(app: Application, record: ExecutionRecord, as_json: bool) -> int:
    if as_json:
        app.print_json({"already_applied": True, "execution": record.to_dict()})
    else:
        when = ago(record.ended_at or record.started_at, utc_now())
        app.print(f"already applied by {record.execution_id}, {when}")
    return ExitCode.DONE


def _dry_run(app: Application, proposal: Proposal, as_json: bool) -> int:
    import msgspec

    plan, decision = proposal.plan, proposal.decision
    if as_json:
        changeset = {
            "changeset_id": proposal.changeset.changeset_id,
            "checksum": proposal.changeset.checksum,
            "paths": proposal.changeset.paths,
        }
        value: dict[str, Any] = {
            "plan": msgspec.to_builtins(plan),
            "changeset": changeset,
            "decision": msgspec.to_builtins(decision),
        }
        app.print_json(value)
        return ExitCode.DONE
    app.print(one_line(plan.title), style="bold")
    for change in proposal.changeset.changes:
        counts = f"+{change.lines_added} −{change.lines_removed}"
        app.print(f"  {change.operation.value:<7} {one_line(change.path)}  {counts}")
    app.print(f"risk: {decision.effective_risk.value}")
    for reason in plan.risk_reasons:
        app.print(f"  {reason.level.value}: {reason.reason} ({one_line(reason.evidence)})")
    for check in plan.verification:
        app.print(f"verify: {one_line(check.name)}")
    app.print(f"gate: {decision.verdict.value.replace('_', ' ')}")
    for rule in decision.rules:
        if rule.reason:
            evidence = "; ".join(rule.evidence)
            app.print(f"  {rule.rule}: {rule.reason} ({one_line(evidence)})")
    app.note("nothing was changed or recorded")
    return ExitCode.DONE


def _report(app: Application, record: ExecutionRecord, as_json: bool) -> int:
    code = of_outcome(record)
    if as_json:
        app.print_json({"execution": record.to_dict(), "exit_code": int(code)})
        return code
    from rich.text import Text

    sys.stderr.flush()
    summary = Text.assemble(
        (f"{status_icon(record)} {status_word(record)}", status_style(record)), f"  {record.execution_id}"
    )
    if record.status == ExecutionStatus.COMPLETED:
        summary.append(f"  {plural(record.files_changed, 'file')} changed")
    app.print(summary)
    _advise(app, record, code)
    return code


def _advise(app: Application, record: ExecutionRecord, code: ExitCode) -> None:
    end = short_id(record.execution_id)
    match code:
        case ExitCode.FAILED:
            app.note(f"why: executor logs {end}    again: executor retry {end}")
        case ExitCode.ROLLBACK_INCOMPLETE:
            app.note(f"some files could not be put back; executor show {end} names them")
        case ExitCode.NEEDS_APPROVAL:
            app.note(f"a person has to approve it; executor show {end} says why")
        case ExitCode.DENIED:
            app.note(f"executor show {end} says which rule and why")
        case _:
            pass
