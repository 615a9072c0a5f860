"""`executor demo`: the whole story on a small, real repository."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from executor.cli.application import Application, pass_application
from executor.cli.exit_codes import ExitCode
from executor.cli.family import forest
from executor.cli.progress import shown
from executor.cli.text import plural, short_id, status_icon, status_word
from executor.errors import InvalidSettings, WorkspaceNotFound
from executor.models.execution import ExecutionRecord

if TYPE_CHECKING:
    from executor.runtime import Runtime

FILES: Final = Path(__file__).parent / "demo_files"

# A repository of its own, whatever the user's git is set up to do.
_GIT: Final = (
    "git", "-c", "user.name=executor demo", "-c", "user.email=demo@example.invalid",
    "-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null", "-c", "init.defaultBranch=main",
)  # fmt: skip


AGENT: Final = "demo-agent"


@dataclass(frozen=True, slots=True)
class _Chapter:
    """One change of the demo and what it is there to show. Without a patch it comes from somewhere else."""

    heading: str
    title: str
    why: str
    trigger: str
    status: str
    patch: str = ""


_SUCCEEDS: Final = _Chapter(
    "A person's change that passes its tests stays.",
    "Add discounts", "customers asked for them", "manual", "completed", "discount.diff",
)  # fmt: skip
_FAILS: Final = _Chapter(
    "An agent works in a scratch copy. What it made fails its tests and is rolled back.",
    "Add tax", "invoices need tax", "agent", "rolled_back",
)  # fmt: skip
_NESTED: Final = _Chapter(
    "", "Say in the README how tax is rounded", "", "child", "completed",
)  # fmt: skip
_RETRIES: Final = _Chapter(
    "The same change again: a retry is a child of the attempt before.", "Add tax", "", "retry", "rolled_back",
)  # fmt: skip
_REPAIRS: Final = _Chapter(
    "A repair of the same change passes. Its parent is the attempt it repairs.",
    "Add tax, rounding half a cent up", "round() goes to the even cent", "repair", "completed",
    "tax-repaired.diff",
)  # fmt: skip
_SCHEDULED: Final = _Chapter(
    "A job that runs every night brings its change the same way.",
    "Update the exchange rates", "they are of yesterday", "scheduled", "completed", "rates.diff",
)  # fmt: skip
_DENIED: Final = _Chapter(
    "A change that would plant a git hook is refused before anything is written.",
    "Skip the slow checks", "faster commits", "agent", "failed", "hook.diff",
)  # fmt: skip

_Played = list[tuple[_Chapter, ExecutionRecord]]


@click.command()
@click.option(
    "--directory", type=click.Path(path_type=Path), help="Build the repository here and keep it (default: a "
    "temporary directory that is removed at the end).",
)  # fmt: skip
@click.option("--no-serve", is_flag=True, help="End after the run, without the console.")
@pass_application
@click.pass_context
def demo(ctx: click.Context, app: Application, directory: Path | None, no_serve: bool) -> int:
    """Show changes of a person, an agent and a nightly job that succeed, fail, are repaired or are refused.

    Everything is real: a git repository, its tests, the same code that `executor run` uses; the agent is a script of
    forty lines. At the end the console shows it, until Ctrl-C.

    \b
    Example: executor demo --directory /tmp/ledger
    """
    with _place(directory) as root:
        _build(root)
        records = _play(app, root)
        as_expected = _tell(app, root, records, kept=directory is not None)
        if as_expected and not no_serve:
            _serve(ctx, app, root)
    return ExitCode.DONE if as_expected else ExitCode.FAILED


@contextmanager
def _place(directory: Path | None) -> Iterator[Path]:
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="executor-demo-") as temporary:
            yield Path(temporary).resolve() / "ledger"
        return
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise WorkspaceNotFound(str(directory), "the demo needs a new or empty directory")
    yield directory.resolve()


def _serve(ctx: click.Context, app: Application, root: Path) -> None:
    """Shows the repository in the console until it is stopped."""
    commands = ctx.find_root().command
    assert isinstance(commands, click.Group)
    serve = commands.get_command(ctx, "serve")
    assert serve is not None
    _heading(app, 8, "Look around in the console. This address works once:")
    ctx.invoke(serve, workspaces=(root,))


def _build(root: Path) -> None:
    shutil.copytree(
        FILES / "workspace", root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    for command in (
        ("init", "--quiet"),
        ("add", "--all"),
        ("commit", "--quiet", "--message", "Start the ledger"),
    ):
        try:
            subprocess.run([*_GIT, *command], cwd=root, check=True, capture_output=True, text=True)
        except FileNotFoundError as cause:
            raise InvalidSettings("the demo needs git on the PATH") from cause
        except subprocess.CalledProcessError as cause:
            raise InvalidSettings(f"git {command[0]} failed: {cause.stderr.strip()}") from cause


def _play(app: Application, root: Path) -> _Played:
    from executor.runtime import open_runtime

    # The demo shows one family of its own, whatever runs it.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("EXECUTOR_")}
    if url := os.environ.get("EXECUTOR_DATABASE_URL"):
        environ["EXECUTOR_DATABASE_URL"] = url
    # The interpreter that runs this runs the tests, by its name alone.
    environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environ.get("PATH", os.defpath)))
    with ExitStack() as opened:
        person = opened.enter_context(closing(open_runtime(root, environ=environ)))
        of_agent = {**environ, "EXECUTOR_AGENT": AGENT}
        agent = opened.enter_context(closing(open_runtime(root, environ=of_agent)))
        played: _Played = [(_SUCCEEDS, _run(app, person, _SUCCEEDS, 1))]
        failed = _capture(app, agent, _FAILS, 2)
        played.append((_FAILS, failed))
        within = person.store.get_execution_lineage(failed.execution_id)["descendants"]
        played += ((_NESTED, record) for record in within)
        _heading(app, 3, _RETRIES.heading)
        with shown(app.err, quiet=False) as progress:
            retried = person.retry(failed.execution_id, observer=progress)
        played.append((_RETRIES, retried))
        played.append((_REPAIRS, _run(app, person, _REPAIRS, 4, parent=retried.execution_id)))
        played.append((_SCHEDULED, _run(app, person, _SCHEDULED, 5)))
        played.append((_DENIED, _run(app, agent, _DENIED, 6)))
        _heading(app, 7, "What happened, as trees: each change below the one that caused it.")
        records = [person.store.get_execution(record.execution_id) or record for _, record in played]
        for tree in forest(records):
            app.print(tree)
    return [(chapter, record) for (chapter, _), record in zip(played, records, strict=True)]


def _check() -> str:
    return f"{shlex.quote(Path(sys.executable).name)} -m unittest --quiet"


def _run(
    app: Application, runtime: Runtime, chapter: _Chapter, number: int, *, parent: str | None = None
) -> ExecutionRecord:
    _heading(app, number, chapter.heading)
    proposal = runtime.propose(
        (FILES / "changes" / chapter.patch).read_bytes(),
        kind="patch",
        origin=runtime.origin(trigger=chapter.trigger, parent=parent),
        verify=[_check()],
        title=chapter.title,
        why=chapter.why,
    )
    if isinstance(proposal, ExecutionRecord):
        return proposal
    with shown(app.err, quiet=False) as progress:
        return runtime.execute(proposal, observer=progress)


def _capture(app: Application, runtime: Runtime, chapter: _Chapter, number: int) -> ExecutionRecord:
    """What the agent of the repository makes of its task."""
    _heading(app, number, chapter.heading)
    with shown(app.err, quiet=False) as progress:
        return runtime.capture(
            [Path(sys.executable).name, "agent.py"],
            origin=runtime.origin(),
            verify=[_check()],
            title=chapter.title,
            why=chapter.why,
            observer=progress,
            on_output=progress.output if progress is not None else None,
        )


def _heading(app: Application, number: int, text: str) -> None:
    app.note(f"\n{number}. {text}", style="bold")


def _tell(app: Application, root: Path, records: _Played, *, kept: bool) -> bool:
    """What came out and where to go on. Whether it came out as the demo says it does."""
    surprises = [(c, r) for c, r in records if (r.status, r.trigger_kind) != (c.status, c.trigger)]
    for chapter, record in surprises:
        kinds = (chapter.trigger, str(record.trigger_kind))
        expected, came_out = (
            kinds if record.status == chapter.status else (chapter.status, status_word(record))
        )
        app.note(
            f"{status_icon(record)} {chapter.title}: expected {expected}, came out {came_out}", style="red"
        )
    if not surprises:
        app.print(f"\n{plural(len(records), 'execution')}, each as told.")
    repaired = next(short_id(record.execution_id) for chapter, record in records if chapter is _REPAIRS)
    where = shlex.quote(str(root))
    if kept:
        app.print(f"Try next:\n  cd {where}\n  executor list")
        app.print(f"  executor show {repaired}\n  executor diff {repaired}")
        app.print(f"  executor logs @last-failed\n  executor revert {repaired}")
    else:
        app.print(
            "Try next, in a git repository of yours:\n"
            '  executor run --patch fix.diff --verify "pytest -q"\n'
            "  executor lineage @last\n"
            "or keep this one to look around in: executor demo --directory /tmp/ledger"
        )
    return not surprises
