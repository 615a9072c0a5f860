"""The workspace itself: `init`, `recover`, `schema`."""

from __future__ import annotations

import json

import click

from executor.cli.application import Application, json_option, pass_application
from executor.cli.exit_codes import ExitCode


@click.command()
@json_option
@pass_application
def init(app: Application, as_json: bool) -> None:
    """Make this directory a workspace: its state directory, its database, its identity.

    Not needed before the first `executor run`, which does the same. Running it again changes nothing.

    \b
    Example: cd my-repository && executor init
    """
    runtime = app.new_runtime
    if as_json:
        app.print_json(
            {
                "workspace": str(runtime.root),
                "workspace_id": runtime.workspace_id,
                "state": str(runtime.state),
            }
        )
        return
    app.print(f"workspace {runtime.root}")
    app.print(f"state     {runtime.state}")
    app.note('next: executor run --patch fix.diff --verify "pytest -q"')


@click.command()
@click.option(
    "--wait",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Seconds to wait for the workspace.",
)
@json_option
@pass_application
def recover(app: Application, wait: float, as_json: bool) -> int:
    """Put in order what a killed process left behind.

    Every command does this when it starts and the workspace is free; this one waits for it and reports.

    \b
    Example: executor recover --wait 60
    """
    recoveries = app.existing_runtime.recover_abandoned(wait_seconds=wait)
    incomplete = [r for r in recoveries if not r.complete]
    if as_json:
        app.print_json({"recovered": [r.to_dict() for r in recoveries]})
    elif not recoveries:
        app.note("nothing to recover")
    else:
        for recovery in recoveries:
            app.print(recovery.sentence)
    return ExitCode.ROLLBACK_INCOMPLETE if incomplete else ExitCode.DONE


@click.command()
@click.argument("name", type=click.Choice(["changeset"]))
def schema(name: str) -> None:
    """Print the JSON Schema of an input format, for editors and generators.

    \b
    Example: executor schema changeset > changeset.schema.json
    """
    from executor.changes.document import changeset_schema

    click.echo(json.dumps(changeset_schema(), indent=2))
