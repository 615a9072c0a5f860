"""Changing a workspace: `run`, `retry` and `revert`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from executor.cli.application import Application, json_option, pass_application
from executor.cli.exit_codes import ExitCode, of_outcome
from executor.cli.progress import shown
from executor.cli.proposal import (
    change_options,
    check_options,
    find_origin,
    note_checks,
    propose,
    show_applied,
    show_proposal,
    verify_options,
)
from executor.cli.signals import cancellable
from executor.cli.text import ago, duration, plural, short_id, status_icon, status_style, status_word, utc_now
from executor.errors import CommitRefused
from executor.models.execution import ISOLATED, ExecutionRecord, ExecutionStatus, StepName

if TYPE_CHECKING:
    from executor.host.commit import CommitPlan

live_option = click.option(
    "--live/--no-live",
    default=None,
    help="Show what the checks print while they run (at a terminal: yes, else no).",
)
wait_option = click.option(
    "--wait",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=0.0,
    help="How long to wait for the workspace (0).",
)


backoff_option = click.option(
    "--backoff",
    metavar="SECONDS",
    type=click.FloatRange(min=0, max=3600),
    default=0.0,
    help="How long to wait before another attempt, twice as long before each further one (0).",
)
commit_option = click.option(
    "--commit",
    is_flag=True,
    help="Make a git commit of what the execution changed, and of nothing else, once it has completed.",
)
# No pause is longer, however often it was doubled.
_LONGEST_PAUSE = 3600.0


@click.command()
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
@change_options
@click.option(
    "--capture-timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="How long COMMAND may take (3600).",
)
@click.option(
    "--transcript",
    metavar="FILE|URL",
    help="What the agent said: a file to keep a copy of, redacted (of a command, when it has ended), or its URL.",
)
@click.option("--dry-run", is_flag=True, help="Show plan and decision; change and record nothing.")
@click.option(
    "--retries",
    metavar="N",
    type=click.IntRange(0, 100),
    default=0,
    help="Try again so often while it fails and is rolled back (0).",
)
@backoff_option
@commit_option
@wait_option
@live_option
@check_options
@json_option
@pass_application
def run(
    app: Application,
    /,
    command: tuple[str, ...],
    capture_timeout: float | None,
    dry_run: bool,
    retries: int,
    backoff: float,
    commit: bool,
    wait: float,
    live: bool | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Apply a change all-or-nothing, verify it, and put everything back when it fails.

    \b
    Example: executor run --patch fix.diff --verify "pytest -q"
             git diff | executor run --patch - --verify "make check" --why "flaky on CI"
             executor run --verify "pytest -q" -- ruff format .

    COMMAND runs in a scratch copy of the workspace; what it changes there is the change. When it exits
    non-zero nothing is applied.

    Exit codes: 0 done, 1 failed and rolled back, 3 needs approval, 4 denied, 5 rollback incomplete,
    7 the workspace changed or is in use.
    """
    if command:
        if dry_run:
            raise click.UsageError(
                "--dry-run cannot tell what a command would change; it takes a patch or a changeset"
            )
        return _capture(
            app,
            command,
            options,
            capture_timeout,
            retries=retries,
            backoff=backoff,
            commit=commit,
            wait=wait,
            live=live,
            as_json=as_json,
        )
    if capture_timeout is not None:
        raise click.UsageError("--capture-timeout is for a command: executor run -- COMMAND")
    proposal = propose(app, options, look_only=dry_run, commit=commit, wait=wait)
    if isinstance(proposal, ExecutionRecord):
        return show_applied(app, proposal, as_json)
    committing = app.new_runtime.plan_commit() if commit and not dry_run else None
    if committing is not None:
        committing.check(proposal.changeset)
    if dry_run:
        return show_proposal(app, proposal, as_json)
    if not as_json:
        note_checks(app, proposal)
    runtime = app.new_runtime
    watched = shown(app.err, quiet=as_json, host=runtime.host, live=live)
    with cancellable(app.note) as cancel, watched as progress:
        record = runtime.execute(proposal, cancel=cancel, observer=progress, wait_seconds=wait)
        attempt = partial(
            runtime.retry, run_id=options["run_id"], cancel=cancel, observer=progress, wait_seconds=wait
        )
        record = _again(app, record, retries, backoff, cancel, attempt)
    code = report(app, record, as_json, committing)
    return ExitCode.INTERRUPTED if _given_up(code, cancel) else code


def _capture(
    app: Application,
    command: tuple[str, ...],
    options: dict[str, Any],
    capture_timeout: float | None,
    *,
    retries: int,
    backoff: float,
    commit: bool,
    wait: float,
    live: bool | None,
    as_json: bool,
) -> int:
    if options["patch"] is not None or options["changeset"] is not None:
        raise click.UsageError("give a command or a change, not both")
    if options["verify"] and options["no_verify"]:
        raise click.UsageError("--verify and --no-verify contradict each other")
    if options["isolate"] and options["no_verify"]:
        raise click.UsageError("--isolate is about checks, and --no-verify asks for none")
    runtime = app.new_runtime
    committing = runtime.plan_commit() if commit else None
    watched = shown(app.err, quiet=as_json, host=runtime.host, live=live)
    with cancellable(app.note) as cancel, watched as progress:
        record = runtime.capture(
            command,
            origin=find_origin(runtime, options),
            capture_timeout=capture_timeout,
            verify=options["verify"],
            find_checks=not options["no_verify"],
            timeout_seconds=options["timeout"],
            environment=options["env"],
            reports=options["junit"],
            isolate=options["isolate"],
            transcript=options["transcript"],
            title=options["title"],
            why=options["why"],
            cancel=cancel,
            observer=progress,
            on_output=progress.output if progress is not None else None,
            wait_seconds=wait,
            on_change=committing.check if committing is not None else None,
        )
        # A command that failed has left nothing that could be tried again.
        if record.error_step != StepName.CAPTURE:
            attempt = partial(
                runtime.retry, run_id=options["run_id"], cancel=cancel, observer=progress, wait_seconds=wait
            )
            record = _again(app, record, retries, backoff, cancel, attempt)
    code = report(app, record, as_json, committing)
    return ExitCode.INTERRUPTED if _given_up(code, cancel) else code


@click.command()
@click.argument("execution", metavar="ID", default="@last-failed")
@click.option(
    "--times",
    metavar="N",
    type=click.IntRange(1, 100),
    default=1,
    help="Attempts at most, while they fail and are rolled back (1).",
)
@click.option(
    "--rerun",
    is_flag=True,
    help="Run the command of `executor run -- COMMAND` again and take what it changes this time.",
)
@click.option(
    "--isolate/--no-isolate",
    default=None,
    help="Let the checks pass in a scratch copy first (as the attempt before).",
)
@backoff_option
@commit_option
@wait_option
@live_option
@check_options
@json_option
@pass_application
def retry(
    app: Application,
    execution: str,
    times: int,
    rerun: bool,
    isolate: bool | None,
    backoff: float,
    commit: bool,
    wait: float,
    live: bool | None,
    timeout: float | None,
    env: tuple[str, ...],
    why: str | None,
    run_id: str | None,
    as_json: bool,
) -> int:
    """Apply the change of a failed execution again, with the same checks, as its child.

    ID is an id, its unique beginning or end, or @last-failed (the default).

    What was made by a command is applied as it was made. With --rerun the command runs once more, in a scratch
    copy of the workspace as it is now, and what it changes there is the change.

    \b
    Example: executor retry @last-failed
             executor retry @last-failed --times 3 --backoff 10
             executor retry @last-failed --rerun
    """
    runtime = app.runtime
    execution_id = runtime.resolve(execution)
    committing = runtime.plan_commit() if commit else None
    if committing is not None and not rerun:
        check_commit(app, committing, execution_id)
    watched = shown(app.err, quiet=as_json, host=runtime.host, live=live)
    with cancellable(app.note) as cancel, watched as progress:
        again = runtime.retry
        if rerun:
            again = partial(
                runtime.rerun,
                on_output=progress.output if progress is not None else None,
                on_change=committing.check if committing is not None else None,
            )
        attempt = partial(
            again,
            why=why,
            run_id=run_id,
            timeout_seconds=timeout,
            environment=env,
            isolate=isolate,
            cancel=cancel,
            observer=progress,
            wait_seconds=wait,
        )
        record = _again(app, attempt(execution_id), times - 1, backoff, cancel, attempt)
    code = report(app, record, as_json, committing)
    return ExitCode.INTERRUPTED if _given_up(code, cancel) else code


@click.command()
@click.argument("execution", metavar="ID")
@verify_options
@click.option("--dry-run", is_flag=True, help="Show plan and decision; change and record nothing.")
@commit_option
@wait_option
@check_options
@json_option
@pass_application
def revert(
    app: Application,
    /,
    execution: str,
    dry_run: bool,
    commit: bool,
    wait: float,
    timeout: float | None,
    env: tuple[str, ...],
    why: str | None,
    run_id: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Undo what a completed execution changed, as its child: through the gate, verified, all-or-nothing.

    What has changed elsewhere in the files since stays. Where the same lines have changed since, nothing is
    done (exit code 7), and the executions that changed them are named. Without --verify the checks are those
    that were named for the execution, else the tests of what is touched. What is undone already is left alone.

    ID is an id, its unique beginning or end, or @last.

    \b
    Example: executor revert @last --why "the report needs the old order"
    """
    if options["verify"] and options["no_verify"]:
        raise click.UsageError("--verify and --no-verify contradict each other")
    runtime = app.runtime
    execution_id = runtime.resolve(execution)
    committing = runtime.plan_commit() if commit else None
    proposal = runtime.propose_revert(
        execution_id,
        origin=runtime.origin(parent=execution_id, run_id=run_id),
        verify=None if options["no_verify"] else options["verify"],
        timeout_seconds=timeout,
        environment=env,
        reports=options["junit"],
        why=why,
    )
    if isinstance(proposal, ExecutionRecord):
        return _show_reverted(app, execution_id, proposal, as_json)
    if committing is not None:
        committing.check(proposal.changeset)
    if dry_run:
        return show_proposal(app, proposal, as_json)
    if not as_json:
        note_checks(app, proposal)
    with cancellable(app.note) as cancel, shown(app.err, quiet=as_json, host=runtime.host) as progress:
        record = runtime.execute(proposal, cancel=cancel, observer=progress, wait_seconds=wait)
    return report(app, record, as_json, committing)


def _show_reverted(app: Application, execution_id: str, record: ExecutionRecord, as_json: bool) -> int:
    """`record` is what undid the execution, or the execution itself."""
    if as_json:
        app.print_json({"already_reverted": True, "execution": record.to_dict()})
    elif record.execution_id == execution_id:
        app.print(f"nothing to undo: every file is as it was before {execution_id}")
    else:
        when = ago(record.ended_at or record.started_at, utc_now())
        app.print(f"already reverted by {record.execution_id}, {when}")
    return ExitCode.DONE


def _again(
    app: Application,
    record: ExecutionRecord,
    times: int,
    backoff: float,
    cancel: threading.Event,
    attempt: Callable[[str], ExecutionRecord],
) -> ExecutionRecord:
    """The last of at most `times` further attempts, each the child of the one before.

    What another attempt would meet again ends it: a denial, a missing approval, a changed or used workspace, an
    incomplete rollback. So does `cancel`.
    """
    for number in range(times):
        if of_outcome(record) is not ExitCode.FAILED:
            break
        pause = min(backoff * 2**number, _LONGEST_PAUSE)
        if pause:
            app.note(f"again in {duration(pause)}")
        if cancel.wait(pause):
            break
        record = attempt(record.execution_id)
    return record


def _given_up(code: int, cancel: threading.Event) -> bool:
    """Whether it was stopped between two attempts."""
    return code == ExitCode.FAILED and cancel.is_set()


def check_commit(app: Application, committing: CommitPlan, execution_id: str) -> None:
    """Refuses to run what is recorded and could not be committed then. Raises CommitRefused."""
    changeset = app.store.get_changeset(execution_id)
    if changeset is not None:
        committing.check(changeset)


def report(
    app: Application, record: ExecutionRecord, as_json: bool, committing: CommitPlan | None = None
) -> int:
    """Says how it came out, and makes the commit that was wanted. Raises CommitRefused when there is none then."""
    code = of_outcome(record)
    commit, refused = _committed(app, record, committing)
    if as_json:
        exit_code = int(code if refused is None else ExitCode.CONFLICT)
        made = {} if committing is None else {"commit": commit}
        app.print_json({"execution": record.to_dict(), "exit_code": exit_code, **made})
    else:
        _say(app, record, code, commit, waits_for_commit=committing is not None)
    if refused is not None:
        raise CommitRefused(f"{refused.reason}; the change itself is completed and stays") from refused
    return code


def _committed(
    app: Application, record: ExecutionRecord, committing: CommitPlan | None
) -> tuple[str | None, CommitRefused | None]:
    """The commit of what completed, or why there is none."""
    if committing is None or record.status != ExecutionStatus.COMPLETED or not record.files_changed:
        return None, None
    try:
        return app.new_runtime.commit(committing, record), None
    except CommitRefused as error:
        return None, error


def _say(
    app: Application, record: ExecutionRecord, code: ExitCode, commit: str | None, *, waits_for_commit: bool
) -> None:
    from rich.text import Text

    sys.stderr.flush()
    summary = Text.assemble(
        (f"{status_icon(record)} {status_word(record)}", status_style(record)), f"  {record.execution_id}"
    )
    if record.status == ExecutionStatus.COMPLETED:
        summary.append(f"  {plural(record.files_changed, 'file')} changed")
    if commit is not None:
        summary.append(f"  commit {commit[:12]}")
    app.print(summary)
    _advise(app, record, code, " --commit" if waits_for_commit else "")


def _advise(app: Application, record: ExecutionRecord, code: ExitCode, commit: str) -> None:
    end = short_id(record.execution_id)
    match code:
        case ExitCode.FAILED if (record.error_code or "").startswith(ISOLATED):
            app.note(
                f"the workspace was not touched; why: executor logs {end}    again: executor retry {end}"
            )
        case ExitCode.FAILED if record.error_step == StepName.CAPTURE:
            app.note(f"nothing was applied; why: executor logs {end}    again: executor retry {end} --rerun")
        case ExitCode.FAILED:
            app.note(f"why: executor logs {end}    again: executor retry {end}")
        case ExitCode.ROLLBACK_INCOMPLETE:
            app.note(f"some files could not be put back; executor show {end} names them")
        case ExitCode.NEEDS_APPROVAL if app.store.get_approval(record.execution_id) is not None:
            app.note(f"approved, and not run yet: executor wait {end} --run")
        case ExitCode.NEEDS_APPROVAL:
            app.note(
                f"a person has to decide: executor approve {end}{commit}    or: executor deny {end} --reason TEXT"
            )
        case ExitCode.DENIED:
            app.note(f"executor show {end} says which rule and why")
        case _:
            pass
