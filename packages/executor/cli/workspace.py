"""The workspace itself: `init`, `recover`, `schema`."""

from __future__ import annotations

import json
from typing import Any

import click

from executor.cli.application import Application, json_option, pass_application
from executor.cli.exit_codes import ExitCode


@click.command()
@json_option
@pass_application
def init(app: Application, as_json: bool) -> None:
    """Make this directory a workspace: its state directory, its database, its identity, its settings.

    Writes .executor/policy.yaml (what is asked of every change) and .executor/config.toml, commented and
    equal in effect to the defaults, where they are missing; both belong in git. The rest is made by the
    first `executor run`, too. Running it again changes nothing.

    \b
    Example: cd my-repository && executor init
    """
    runtime = app.new_runtime
    written = runtime.write_default_settings()
    if as_json:
        app.print_json(
            {
                "workspace": str(runtime.root),
                "workspace_id": runtime.workspace_id,
                "state": str(runtime.state),
                "written": [str(file) for file in written],
            }
        )
        return
    app.print(f"workspace {runtime.root}")
    app.print(f"state     {runtime.state}")
    for file in written:
        app.print(f"written   {file}")
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
@click.argument("name", type=click.Choice(["changeset", "policy", "policy-cases"]))
def schema(name: str) -> None:
    """Print the JSON Schema of an input format, for editors and generators.

    An editor checks .executor/policy.yaml while you type when its first line is
    "# yaml-language-server: $schema=" with the path of the file this writes.

    \b
    Example: executor schema changeset > changeset.schema.json
    """
    click.echo(json.dumps(_schema(name), indent=2))


def _schema(name: str) -> dict[str, Any]:
    if name == "changeset":
        from executor.changes.document import changeset_schema

        return changeset_schema()
    if name == "policy":
        from executor.governance.policy_file import policy_schema

        return policy_schema()
    from executor.governance.cases import cases_schema

    return cases_schema()
