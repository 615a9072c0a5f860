"""What waits for a person, or for its end: `approve`, `deny`, `wait`, `cancel`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from executor.cli.application import Application, json_option, pass_application
from executor.cli.exit_codes import ExitCode, of_outcome
from executor.cli.progress import shown
from executor.cli.run import check_commit, commit_option, report, wait_option
from executor.cli.signals import cancellable
from executor.cli.text import local_time, one_line, safe, short_id, status_icon, status_word
from executor.errors import ExecutionNotFound, InvalidState
from executor.models.decision import RuleOutcome
from executor.models.execution import ExecutionStatus

if TYPE_CHECKING:
    from executor.models.approval import Approval
    from executor.models.execution import ExecutionRecord


@click.command()
@click.argument("execution", metavar="ID")
@click.option("--reason", help="Why it may run, for whoever reads the record.")
@click.option("--no-run", is_flag=True, help="Only approve; executor wait ID --run runs it.")
@commit_option
@wait_option
@json_option
@pass_application
def approve(
    app: Application,
    execution: str,
    reason: str | None,
    no_run: bool,
    commit: bool,
    wait: float,
    as_json: bool,
) -> int:
    """Let a change run that waits for a person, and run it.

    Only at a terminal, and not in the shell of an agent or in continuous integration. Who proposed a change
    does not approve it, except where the policy says so: by default a person may approve their own change,
    and what an agent proposed that they started.

    The approval is good for 24 hours and for this change only: when policy or files change first, it is void
    (exit code 7). Attempts to repeat the same change need no other. Of a workspace elsewhere, the change is
    approved here and run there.

    \b
    Example: executor list --awaiting
             executor approve 1fd346dc --reason "reviewed with Kim"
    """
    runtime = app.runtime
    execution_id = runtime.resolve(execution)
    record = app.store.get_execution(execution_id)
    if record is None:
        raise ExecutionNotFound(execution_id)
    elsewhere = record.workspace_id != runtime.workspace_id
    if commit and (no_run or elsewhere):
        raise click.UsageError("--commit is for what runs here and now")
    committing = runtime.plan_commit() if commit else None
    if committing is not None and record.awaiting_approval:
        check_commit(app, committing, execution_id)
    if not as_json and record.awaiting_approval:
        _show_question(app, record)
    approval = runtime.approve(execution_id, reason=reason, at_terminal=_at_terminal())
    if no_run or elsewhere:
        _show_approval(app, approval, as_json)
        if not as_json:
            where = f" in {safe(runtime.host.where(record.workspace_id))}" if elsewhere else ""
            app.note(f"run it{where} with: executor wait {short_id(execution_id)} --run")
        return ExitCode.DONE
    with cancellable(app.note) as cancel, shown(app.err, quiet=as_json, host=runtime.host) as progress:
        done = runtime.resume(execution_id, cancel=cancel, observer=progress, wait_seconds=wait)
    return report(app, done, as_json, committing)


@click.command()
@click.argument("execution", metavar="ID")
@click.option("--reason", required=True, help="Why it must not run.")
@json_option
@pass_application
def deny(app: Application, execution: str, reason: str, as_json: bool) -> None:
    """Refuse a change that waits for a person. It ends as cancelled; an approval not yet used is taken back.

    \b
    Example: executor deny 1fd346dc --reason "the pipeline stays as it is"
    """
    runtime = app.runtime
    record = runtime.deny(runtime.resolve(execution), reason)
    _show_end(app, record, as_json)


@click.command()
@click.argument("execution", metavar="ID")
@click.option("--reason", help="Why it is not wanted any more.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="How long to wait until a running one has put everything back.",
)
@json_option
@pass_application
def cancel(app: Application, execution: str, reason: str | None, timeout: float, as_json: bool) -> int:
    """Withdraw a change that waits for a person, or stop one that runs, from any terminal.

    A running one is stopped as Ctrl-C would stop it: its check is ended and everything put back, and the
    command that runs it exits with 130. What has completed meanwhile stays: exit code 2.

    \b
    Example: executor cancel @last
    """
    runtime = app.runtime
    execution_id = runtime.resolve(execution)
    record = app.store.get_execution(execution_id)
    if record is None or record.ended or record.awaiting_approval:
        _show_end(app, runtime.withdraw(execution_id, reason), as_json)
        return ExitCode.DONE
    record = runtime.stop(execution_id, reason, patience_seconds=timeout)
    if record.status == ExecutionStatus.COMPLETED:
        raise InvalidState(execution_id, record.status, "it had completed before it could be stopped")
    if not record.ended:
        app.note(f"it has not ended yet; executor wait {short_id(execution_id)} waits longer")
        return ExitCode.TRY_AGAIN
    code = of_outcome(record)
    if as_json:
        app.print_json({"execution": record.to_dict()})
    else:
        app.print(
            f"{status_icon(record)} {status_word(record)}  {execution_id}  {one_line(record.error_message or '')}"
        )
    return ExitCode.DONE if code in (ExitCode.INTERRUPTED, ExitCode.FAILED) else code


@click.command()
@click.argument("execution", metavar="ID")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="Stop waiting after so long (never).",
)
@click.option("--run", "run_it", is_flag=True, help="Run it here as soon as it is approved.")
@wait_option
@json_option
@pass_application
def wait(
    app: Application, execution: str, timeout: float | None, run_it: bool, wait: float, as_json: bool
) -> int:
    """Wait until an execution has ended, and exit as it came out.

    With --run it is run here once a person has approved it, which an agent or a pipeline may wait for. When
    time is up the exit code is 3 while it still needs approval, and 75 while it runs.

    \b
    Example: executor wait @last --run --timeout 3600
    """
    runtime = app.runtime
    execution_id = runtime.resolve(execution)
    with cancellable(app.note) as cancelled, shown(app.err, quiet=as_json, host=runtime.host) as progress:
        record = runtime.wait(
            execution_id,
            timeout_seconds=timeout,
            run=run_it,
            cancel=cancelled,
            observer=progress,
            wait_seconds=wait,
        )
    if record.ended or record.awaiting_approval:
        code = report(app, record, as_json)
        return ExitCode.INTERRUPTED if cancelled.is_set() and not record.ended else code
    report(app, record, as_json)
    return ExitCode.INTERRUPTED if cancelled.is_set() else ExitCode.TRY_AGAIN


def _at_terminal() -> bool:
    """Somebody sees what is asked and types the answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _show_question(app: Application, record: ExecutionRecord) -> None:
    """What is about to be approved, for the person who does."""
    app.note(f"{short_id(record.execution_id)}  {one_line(record.title or '', 100)}", style="bold")
    app.note(f"proposed by {safe(record.actor or 'somebody')} on {local_time(record.started_at)}")
    decision = app.store.get_decision(record.execution_id)
    for rule in decision.rules if decision is not None else ():
        if rule.outcome is not RuleOutcome.PASS:
            app.note(f"  {rule.rule}: {rule.reason} ({one_line('; '.join(rule.evidence))})")
    app.note(f"  {', '.join(map(safe, record.affected_paths[:8]))}")


def _show_approval(app: Application, approval: Approval, as_json: bool) -> None:
    if as_json:
        import msgspec

        app.print_json({"approval": msgspec.to_builtins(approval)})
        return
    app.print(
        f"✓ approved  {approval.execution_id}  by {safe(approval.approved_by)}, "
        f"good until {local_time(approval.expires_at)}"
    )


def _show_end(app: Application, record: ExecutionRecord, as_json: bool) -> None:
    if as_json:
        app.print_json({"execution": record.to_dict()})
    else:
        app.print(f"⊘ cancelled  {record.execution_id}  {one_line(record.error_message or '')}")
