"""The command `executor`. Each group of verbs is a module that is imported when one of them is called."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from executor import __version__
from executor.cli.application import Application
from executor.errors import ExecutorError

# Verb → module and attribute, in the order of the help page.
COMMANDS: Final = {
    "init": "executor.cli.workspace:init",
    "demo": "executor.cli.demo:demo",
    "plan": "executor.cli.proposal:plan",
    "run": "executor.cli.run:run",
    "retry": "executor.cli.run:retry",
    "revert": "executor.cli.run:revert",
    "approve": "executor.cli.approval:approve",
    "deny": "executor.cli.approval:deny",
    "cancel": "executor.cli.approval:cancel",
    "wait": "executor.cli.approval:wait",
    "recover": "executor.cli.workspace:recover",
    "dismiss": "executor.cli.executions:dismiss",
    "list": "executor.cli.executions:list_",
    "show": "executor.cli.executions:show",
    "lineage": "executor.cli.family:lineage",
    "chain": "executor.cli.family:chain",
    "diff": "executor.cli.executions:diff",
    "logs": "executor.cli.executions:logs",
    "events": "executor.cli.executions:events",
    "stats": "executor.cli.executions:stats",
    "serve": "executor_api.command:serve",
    "token": "executor.cli.token:token",
    "policy": "executor.cli.policy:policy",
    "schema": "executor.cli.workspace:schema",
    "export": "executor.cli.archive:export",
    "import": "executor.cli.archive:import_",
    "gc": "executor.cli.retention:gc",
    "db": "executor.cli.database:db",
    "doctor": "executor.cli.doctor:doctor",
}

_SUMMARIES: Final = {
    "init": "Make this directory a workspace.",
    "demo": "See a change succeed, one fail, be retried and be repaired, in a throw-away repository.",
    "plan": "Show the checks, the risk and the verdict of a change; change nothing.",
    "run": "Apply a change, verify it, and put everything back when it fails.",
    "retry": "Apply the change of a failed execution again.",
    "revert": "Undo what a completed execution changed.",
    "approve": "Let a change run that waits for a person, and run it.",
    "deny": "Refuse a change that waits for a person.",
    "cancel": "Stop an execution, or withdraw a change that waits for a person.",
    "wait": "Wait until an execution has ended, or is approved and run.",
    "recover": "Put in order what a killed process left behind.",
    "dismiss": "Take a failure off the list of what needs attention.",
    "list": "Executions, newest first.",
    "show": "One execution: what ran, why, and what came of it.",
    "lineage": "The family of an execution as a tree.",
    "chain": "Every execution of one correlation, oldest first.",
    "diff": "What an execution changed, as a patch.",
    "logs": "What the checks of an execution printed.",
    "events": "What happened to an execution, event by event.",
    "stats": "How many, how often they succeed, how long they take.",
    "serve": "Answer over HTTP, and show the console.",
    "token": "Make, list and revoke tokens for programs that use the API.",
    "policy": "What is asked of every change: check it, explain it, test it.",
    "schema": "Print the JSON Schema of an input format.",
    "export": "Write everything of one correlation to a file.",
    "import": "Bring an exported correlation into this database.",
    "gc": "Drop logs and contents of executions that are old enough.",
    "db": "Upgrade, check, back up, move the database.",
    "doctor": "Say what is in force here, what is wrong, and what to do about it.",
}


class _LazyGroup(click.Group):
    """Knows names and summaries; imports a command when it is called, so that `--help` is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        home = COMMANDS.get(cmd_name)
        if home is None:
            return None
        module, attribute = home.split(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _SUMMARIES[name]) for name in COMMANDS])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="executor")
@click.option(
    "-C",
    "--workspace",
    "start",
    type=click.Path(path_type=Path),
    help="Work as if started in this directory.",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="When to use colours; auto respects NO_COLOR.",
)
@click.pass_context
def cli(ctx: click.Context, start: Path | None, color: str) -> None:
    """Flight recorder and safety harness for automated changes.

    A change is judged by policy, applied all-or-nothing, verified, rolled back when it fails, and recorded.

    \b
    Example:
      executor run --patch fix.diff --verify "pytest -q"
      executor lineage @last
    """
    ctx.obj = Application(start=start, color=color)


def main() -> None:
    """Entry point. Turns every error into one sentence on stderr and its exit code."""
    from executor.cli.exit_codes import ExitCode, of_error
    from executor.cli.text import safe

    try:
        code = cli.main(prog_name="executor", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(ExitCode.INTERRUPTED)
    except ExecutorError as error:
        click.echo(f"executor: {safe(str(error))}", err=True)
        sys.exit(of_error(error))
    except BrokenPipeError:
        # The reader of our output has seen enough (`executor list | head`).
        sys.stderr.close()
        sys.exit(ExitCode.DONE)
    sys.exit(code if isinstance(code, int) else ExitCode.DONE)
