"""What every command shares: the workspace, the store, and the two streams it writes to."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click

from executor.errors import DatabaseUnavailable, InvalidSettings, WorkspaceNotFound

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from executor.runtime import Runtime
    from executor.storage.store import ExecutionStore

JSON_VERSION: Final = 1
# Piped output is for programs and logs: lines are not folded, columns not cut.
_PIPED_WIDTH: Final = 240
# With one of these, executions are recorded in a place somebody chose, which may have been made for it.
_ELSEWHERE: Final = ("EXECUTOR_DATABASE_URL", "EXECUTOR_STATE_DIR")

AnyCommand = Callable[..., Any]
C = TypeVar("C", bound=AnyCommand)


class Application:
    """One run of the command. Results go to stdout, everything else to stderr."""

    def __init__(self, *, start: Path | None, color: str) -> None:
        self.start = start
        self._color = color

    @cached_property
    def unrecovered_runtime(self) -> Runtime:
        """The workspace this command works in, made when there is none, and as it is. Raises WorkspaceNotFound."""
        from executor.runtime import open_runtime

        runtime = open_runtime(self.start or Path.cwd(), environ=os.environ)
        click.get_current_context().find_root().call_on_close(runtime.close)
        if runtime.outer is not None:
            self.note(
                f"inside an execution of {runtime.outer}: its variables are ignored here, in {runtime.root}"
            )
        return runtime

    @cached_property
    def new_runtime(self) -> Runtime:
        """The workspace, made when there is none, in order again after any crash."""
        runtime = self.unrecovered_runtime
        for recovery in runtime.recover_abandoned():
            self.note(recovery.sentence)
        return runtime

    @contextmanager
    def trial_runtime(self) -> Iterator[Runtime | None]:
        """Where nothing is recorded yet: the workspace with a state elsewhere, which goes with the block; else None.

        What is refused or only looked at there leaves nothing behind. Raises WorkspaceNotFound.
        """
        from executor.runtime import open_runtime
        from executor.storage.location import DATABASE_FILE, STATE_DIRECTORY, main_worktree

        file = main_worktree(self.root) / STATE_DIRECTORY / DATABASE_FILE
        if any(os.environ.get(name) for name in _ELSEWHERE) or file.exists():
            yield None
            return
        import tempfile

        try:
            temporary = tempfile.TemporaryDirectory(prefix="executor-trial-", ignore_cleanup_errors=True)
        except OSError:
            # Without a place for it, what is refused leaves a workspace behind; nothing else is different.
            yield None
            return
        with temporary as state:
            try:
                runtime = open_runtime(self.root, environ={**os.environ, "EXECUTOR_STATE_DIR": state})
            except DatabaseUnavailable:
                yield None
                return
            try:
                yield runtime
            finally:
                runtime.close()

    @property
    def runtime(self) -> Runtime:
        """The workspace, in order again after any crash. Raises WorkspaceNotFound where there is none yet."""
        self._refuse_missing()
        return self.new_runtime

    @property
    def existing_runtime(self) -> Runtime:
        """The workspace as it is. Raises WorkspaceNotFound where there is none yet."""
        self._refuse_missing()
        return self.unrecovered_runtime

    @cached_property
    def root(self) -> Path:
        """The directory of the workspace, whether anything is recorded there or not. Raises WorkspaceNotFound."""
        from executor.host.git import find_workspace
        from executor.storage.location import resolve_workspace

        return find_workspace(resolve_workspace(self.start))

    def _refuse_missing(self) -> None:
        """Asking a question leaves nothing behind."""
        from executor.storage.location import state_directory

        root = self.root
        if not os.environ.get("EXECUTOR_DATABASE_URL") and not state_directory(root).is_dir():
            raise WorkspaceNotFound(
                str(root), "nothing is recorded here yet; the first `executor run` begins"
            )

    @property
    def database(self) -> str | Path:
        """The database, not opened, so that a damaged one can be looked at.

        Raises InvalidSettings when the workspace has none yet.
        """
        from executor.storage.location import DATABASE_FILE, state_directory

        url = os.environ.get("EXECUTOR_DATABASE_URL")
        if url:
            return url
        root = self.root
        file = state_directory(root) / DATABASE_FILE
        if not file.exists():
            raise InvalidSettings(f"{root} has no database yet; executor init makes one")
        return file

    @property
    def store(self) -> ExecutionStore:
        return self.runtime.store

    @cached_property
    def out(self) -> Console:
        return self._console(sys.stdout)

    @cached_property
    def err(self) -> Console:
        return self._console(sys.stderr)

    def print(self, result: RenderableType, style: str | None = None) -> None:
        """A part of the result, as it is: nothing in it is markup, nothing folds it."""
        self.out.print(result, style=style, markup=False, soft_wrap=True)

    def note(self, text: str, style: str = "dim") -> None:
        """A line for the person at the terminal, beside the result."""
        self.err.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def print_json(self, value: dict[str, Any]) -> None:
        """One JSON object with a `version`, ASCII-escaped, indented for a person, plain when piped."""
        indent = 2 if sys.stdout.isatty() else None
        click.echo(json.dumps({"version": JSON_VERSION, **value}, indent=indent))

    def _console(self, stream: Any) -> Console:
        from rich.console import Console

        tty = stream.isatty()
        no_color = self._color == "never" or (self._color == "auto" and bool(os.environ.get("NO_COLOR")))
        return Console(
            file=stream,
            width=None if tty or os.environ.get("COLUMNS") else _PIPED_WIDTH,
            force_terminal=True if self._color == "always" else None,
            no_color=no_color,
            color_system=None if self._color == "never" else "auto",
            highlight=False,
            emoji=False,
        )


pass_application = click.make_pass_decorator(Application)


def with_options(*options: Callable[[AnyCommand], AnyCommand]) -> Callable[[C], C]:
    """One decorator of several options, in the order of the help page."""

    def decorate(command: C) -> C:
        decorated: AnyCommand = command
        for option in reversed(options):
            decorated = option(decorated)
        return cast(C, decorated)

    return decorate


json_option: Final = with_options(
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object for programs.")
)
all_workspaces_option: Final = with_options(
    click.option("--all-workspaces", is_flag=True, help="Every workspace of the database, not only this one.")
)
