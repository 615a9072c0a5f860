"""A change as it is given on the command line, and what planner and gate make of it: `plan`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from executor.cli.application import Application, json_option, pass_application, with_options
from executor.cli.exit_codes import ExitCode
from executor.cli.text import ago, duration, one_line, utc_now
from executor.errors import InvalidSettings
from executor.models.execution import ExecutionRecord, TriggerKind

if TYPE_CHECKING:
    from executor.host.origin import Origin
    from executor.runtime import Proposal, Runtime

verify_options: Final = with_options(
    click.option(
        "--verify",
        multiple=True,
        metavar="CMD",
        help="A command that must exit with 0 (repeatable). Without it the tests of what is touched are found.",
    ),
    click.option("--no-verify", is_flag=True, help="No check is wanted; a person has to approve code then."),
    click.option(
        "--isolate/--no-isolate",
        default=None,
        help="Let the checks pass in a scratch copy first; only then is the workspace touched.",
    ),
    click.option(
        "--junit",
        multiple=True,
        metavar="FILE",
        help="A report in JUnit's XML the checks write, by its path in the workspace (repeatable).",
    ),
)
change_options: Final = with_options(
    click.option(
        "--patch",
        type=click.Path(path_type=Path, allow_dash=True),
        help="A git or unified diff; - reads stdin.",
    ),
    click.option(
        "--changeset",
        type=click.Path(path_type=Path, allow_dash=True),
        help="A JSON changeset; - reads stdin.",
    ),
    verify_options,
    click.option("--title", help="One line that says what the change does."),
    click.option("--parent", metavar="ID", help="The execution this one is caused by."),
    click.option("--correlation", metavar="ID", help="The chain a first execution belongs to."),
    click.option(
        "--trigger", type=click.Choice([kind.value for kind in TriggerKind]), help="What caused it."
    ),
)
check_options: Final = with_options(
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
)


def propose(
    app: Application,
    options: dict[str, Any],
    *,
    look_only: bool = False,
    commit: bool = False,
    wait: float = 0.0,
) -> Proposal | ExecutionRecord:
    """Reads, plans and judges what the options of `change_options` and `check_options` ask for.

    What is refused makes no workspace, and neither does what is only looked at. With `commit` it is refused, too,
    when what it changes could not be committed.
    """
    patch, changeset = options["patch"], options["changeset"]
    if (patch is None) == (changeset is None):
        raise click.UsageError("give the change with --patch FILE or --changeset FILE (- reads stdin)")
    if options["verify"] and options["no_verify"]:
        raise click.UsageError("--verify and --no-verify contradict each other")
    if options["isolate"] and options["no_verify"]:
        raise click.UsageError("--isolate is about checks, and --no-verify asks for none")
    data = _read(patch or changeset)
    with app.trial_runtime() as trial:
        if trial is not None:
            proposal = _proposed(trial, options, data, wait)
            if commit and not isinstance(proposal, ExecutionRecord):
                trial.plan_commit().check(proposal.changeset)
            if look_only:
                return proposal
    return _proposed(app.new_runtime, options, data, wait)


def _proposed(
    runtime: Runtime, options: dict[str, Any], data: bytes, wait: float
) -> Proposal | ExecutionRecord:
    return runtime.propose(
        data,
        kind="patch" if options["patch"] is not None else "changeset",
        origin=find_origin(runtime, options),
        verify=options["verify"],
        find_checks=not options["no_verify"],
        timeout_seconds=options["timeout"],
        environment=options["env"],
        reports=options["junit"],
        isolate=options["isolate"],
        transcript=options.get("transcript"),
        title=options["title"],
        why=options["why"],
        wait_seconds=wait,
    )


def find_origin(runtime: Runtime, options: dict[str, Any]) -> Origin:
    """What the options and the surroundings say about who and what caused it."""
    return runtime.origin(
        trigger=options["trigger"],
        parent=runtime.resolve(options["parent"]) if options["parent"] else None,
        correlation=options["correlation"],
        run_id=options["run_id"],
    )


@click.command()
@change_options
@check_options
@json_option
@pass_application
def plan(app: Application, /, as_json: bool, **options: Any) -> int:
    """Show what would happen to a change: its checks, its risk, what the gate says. Changes nothing.

    \b
    Example: executor plan --patch fix.diff
    """
    proposal = propose(app, options, look_only=True)
    if isinstance(proposal, ExecutionRecord):
        return show_applied(app, proposal, as_json)
    return show_proposal(app, proposal, as_json)


def show_applied(app: Application, record: ExecutionRecord, as_json: bool) -> int:
    if as_json:
        app.print_json({"already_applied": True, "execution": record.to_dict()})
    else:
        when = ago(record.ended_at or record.started_at, utc_now())
        app.print(f"already applied by {record.execution_id}, {when}")
    return ExitCode.DONE


def show_proposal(app: Application, proposal: Proposal, as_json: bool) -> int:
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
        why = f"  ({one_line(check.reason)})" if check.reason else ""
        app.print(f"verify: {one_line(check.name)}{why}")
    if plan.isolate and plan.verification:
        app.print("isolate: the checks have to pass in a scratch copy first")
    if not plan.verification:
        app.print("verify: nothing")
    for health in plan.health_checks:
        wish = "" if health.critical else ", a warning only"
        tries = f", {health.retries + 1} tries" if health.retries else ""
        within = f"within {duration(health.deadline_seconds)}"
        what = f"{health.kind.value} {one_line(health.target)}"
        app.print(f"health: {one_line(health.name)}  ({what}{tries}, {within}{wish})")
    app.print(
        f"gate: {decision.verdict.value.replace('_', ' ')} by the policy {one_line(decision.policy_name)}"
    )
    for rule in decision.rules:
        if rule.reason:
            evidence = "; ".join(rule.evidence)
            app.print(f"  {rule.rule}: {rule.reason} ({one_line(evidence)})")
    app.note("nothing was changed or recorded")
    return ExitCode.DONE


def note_checks(app: Application, proposal: Proposal) -> None:
    """Says which checks nobody named, and where they come from."""
    for check in proposal.plan.verification:
        if check.reason:
            app.note(f"verify with {one_line(check.name)}: {one_line(check.reason)}")


def _read(source: Path) -> bytes:
    if str(source) == "-":
        return sys.stdin.buffer.read()
    try:
        return source.read_bytes()
    except OSError as cause:
        raise InvalidSettings(f"{source} cannot be read: {cause.strerror}") from cause
