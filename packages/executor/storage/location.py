"""Where the state of a workspace lives, and what the workspace is called.

What changes something on disk calls the operating system through the name `os` of this module, which is where
tests make it fail, as they do in `executor.host.files`.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from executor.errors import DatabaseUnavailable, InvalidSettings, WorkspaceNotFound
from executor.models.ids import new_id

STATE_DIRECTORY: Final = ".executor"
DATABASE_FILE: Final = "executor.db"
WORKSPACE_ID_FILE: Final = "workspace.id"

# Everything but the two files that belong in git; this file ignores itself, too.
_GIT_IGNORE: Final = "/*\n!/policy.yaml\n!/config.toml\n"
_WORKSPACE_ID_MAX: Final = 256
# What file systems without hard links say.
_NO_LINKS: Final = frozenset((errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK))


def resolve_workspace(workspace: str | os.PathLike[str] | None = None) -> Path:
    """The absolute path of a workspace, the current directory by default. Raises WorkspaceNotFound."""
    try:
        path = Path(workspace if workspace is not None else ".").resolve(strict=True)
    except (OSError, ValueError) as cause:
        raise WorkspaceNotFound(os.fspath(workspace or ".")) from cause
    if not path.is_dir():
        raise WorkspaceNotFound(str(path), "not a directory")
    return path


def state_directory(workspace: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """EXECUTOR_STATE_DIR (relative to the workspace), else `.executor` of the main worktree.

    The directory need not exist.
    """
    moved = environ.get("EXECUTOR_STATE_DIR")
    if moved:
        return workspace / Path(moved).expanduser()
    return main_worktree(workspace) / STATE_DIRECTORY


def main_worktree(workspace: Path) -> Path:
    """The main worktree of a linked git worktree; any other directory is its own.

    A worktree of a bare repository has no main worktree and is its own, as is a submodule.
    """
    git_file = workspace / ".git"
    try:
        if not git_file.is_file():
            return workspace
        prefix, _, target = git_file.read_text("utf-8", "surrogateescape").partition(":")
        git_directory = workspace / target.strip()
        common = (git_directory / "commondir").read_text("utf-8", "surrogateescape").strip()
    except OSError:
        return workspace
    common_directory = Path(os.path.normpath(git_directory / common))
    main = common_directory.parent
    linked = prefix.strip() == "gitdir" and common_directory.name == ".git" and common_directory.is_dir()
    return main if linked and main.is_dir() else workspace


def create_state_directory(state: Path) -> None:
    """Makes the directory, kept out of git, when it is missing. Raises DatabaseUnavailable."""
    try:
        if not state.is_dir():
            os.makedirs(state, exist_ok=True)  # noqa: PTH103  # through the name that faults replace
        ignore = state / ".gitignore"
        if not ignore.exists():
            _create_atomically(ignore, _GIT_IGNORE)
    except OSError as cause:
        raise DatabaseUnavailable(
            f"the state directory {state} cannot be made: {cause.strerror or cause}"
        ) from cause


def read_workspace_id(state: Path, environ: Mapping[str, str] = os.environ) -> str | None:
    """EXECUTOR_WORKSPACE_ID, else what the state directory says, else None. Raises InvalidSettings."""
    given = environ.get("EXECUTOR_WORKSPACE_ID")
    if given:
        return _checked("EXECUTOR_WORKSPACE_ID", given)
    file = state / WORKSPACE_ID_FILE
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as cause:
        raise InvalidSettings(f"{file} cannot be read: {cause}") from cause
    return _checked(str(file), text.strip())


def ensure_workspace_id(state: Path, environ: Mapping[str, str] = os.environ) -> str:
    """Like `read_workspace_id`; makes and writes a new id when there is none.

    Of several processes that do so at once one wins, and all return the same id.
    """
    while True:
        known = read_workspace_id(state, environ)
        if known is not None:
            return known
        create_state_directory(state)
        try:
            _create_atomically(state / WORKSPACE_ID_FILE, new_id("ws") + "\n")
        except OSError as cause:
            raise DatabaseUnavailable(f"{state} cannot be written: {cause.strerror or cause}") from cause


def _checked(source: str, value: str) -> str:
    if not 1 <= len(value) <= _WORKSPACE_ID_MAX or not value.isprintable():
        raise InvalidSettings(
            f"{source}: a workspace id has 1 to {_WORKSPACE_ID_MAX} printable characters, not {value!r}"
        )
    return value


def _create_atomically(path: Path, text: str) -> None:
    """The file appears whole or not at all; one that is there already stays."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write(temporary, text.encode("utf-8"))
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError as cause:
        if cause.errno not in _NO_LINKS:
            raise
        # The file of a process that was quicker may be replaced, which is why the caller reads it again.
        if not path.exists():
            os.rename(temporary, path)  # noqa: PTH104  # through the name that faults replace
    finally:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108  # through the name that faults replace


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)
