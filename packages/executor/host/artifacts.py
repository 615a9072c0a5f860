"""The artifact folder of one execution: a copy for people and tools of what the store holds."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from executor.errors import ArtifactNotFound, WorkspaceUnwritable
from executor.host.files import (
    close,
    closing,
    make_directories,
    open_directory,
    open_file,
    open_root,
    remove_file,
    reporting,
    unlink,
    write_whole,
)
from executor.host.presence import safe_name
from executor.models.execution import STEP_LOG_BYTES, StepOutput

FOLDER: Final = "executions"
STEP_LOGS: Final = "steps"
# Holds the new content of every file.
CHANGESET: Final = "changeset.json"
# Bytes that gave way to a rollback, for a person to look through.
RESCUED: Final = "rescued"
TRANSCRIPT: Final = "transcript"
# The last thing written when the payload of an execution was dropped: the event that tells of it.
DROPPED: Final = "dropped.json"

# What an execution keeps for good. All else, of whatever kind, is payload.
KEPT: Final = frozenset(
    {"plan.json", "decision.json", "approval.json", "execution.json", "events.jsonl", DROPPED}
)


def payload_bytes(state: Path) -> int:
    """How much the artifact folders of a state directory hold that may be dropped. Raises OSError."""
    root = state / FOLDER
    if not root.is_dir():
        return 0
    return sum(
        size for path in root.iterdir() for _, size in ArtifactFolder(state, unquote(path.name)).payload()
    )


class ArtifactFolder:
    """`<state>/executions/<id>/`. Files are written whole or not at all and are readable by the owner only.

    Writing raises WorkspaceUnwritable.
    """

    def __init__(self, state: Path, execution_id: str) -> None:
        self.execution_id = execution_id
        self.path = state / FOLDER / safe_name(execution_id)

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def transcript(self) -> Path:
        """What an agent said while it made the change; a file only where somebody gave one."""
        return self.path / TRANSCRIPT

    @property
    def has_transcript(self) -> bool:
        return self.transcript.is_file() and not self.transcript.is_symlink()

    def create(self) -> None:
        with reporting("create", str(self.path)):
            make_directories(self.path / STEP_LOGS)

    def rescued(self) -> Path:
        """The folder for what gave way to a rollback, made when it is missing."""
        with reporting("create", str(self.path / RESCUED)):
            make_directories(self.path / RESCUED)
        return self.path / RESCUED

    def step_log(self, step_num: int, name: str) -> Path:
        return self.path / STEP_LOGS / f"{step_num:02d}-{name}.log"

    def raw_report(self, step_num: int) -> Path:
        """Where a check of ours writes its report; it is removed when it has been read, and never listed."""
        return self.path / f".report-{step_num:02d}.xml"

    def remove_raw_report(self, step_num: int) -> None:
        """One that cannot be removed is hidden, and only takes room."""
        with suppress(OSError):
            remove_file(self.raw_report(step_num))

    def write_report(self, step_num: int, name: str, data: bytes) -> None:
        self._write(f"{STEP_LOGS}/{step_num:02d}-{name}.junit.xml", data)

    def write_json(self, name: str, value: Any) -> None:
        self._write(name, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")

    def exists(self) -> bool:
        return self.path.is_dir() and not self.path.is_symlink()

    @property
    def dropped(self) -> bool:
        """Whether the payload was dropped, to the end."""
        return (self.path / DROPPED).is_file()

    def payload(self) -> list[tuple[str, int]]:
        """What `drop_payload` would remove, by name, with sizes in bytes."""
        found = []
        for path in self._all_files():
            with suppress(OSError):
                found.append((str(path.relative_to(self.path)), path.lstat().st_size))
        return sorted(found)

    def rescued_count(self) -> int:
        folder = self.path / RESCUED
        return len(list(folder.iterdir())) if folder.is_dir() and not folder.is_symlink() else 0

    def drop_payload(self) -> None:
        """Removes all but what is kept for good and what a rollback rescued. Links are removed, not followed.

        Raises WorkspaceUnwritable after everything that can be removed is.
        """
        if not self.exists():
            return
        refused: WorkspaceUnwritable | None = None
        with reporting("open", str(self.path)), closing(open_root(self.path.parent)) as root:
            folder = open_directory(self.path.name, dir_fd=root)
        with closing(folder):
            for name, _ in self.payload():
                try:
                    self._remove(name, folder)
                except WorkspaceUnwritable as cause:
                    refused = refused or cause
        if refused is not None:
            raise refused

    def _remove(self, name: str, folder: int) -> None:
        *inner, file = Path(name).parts
        with reporting("remove", str(self.path / name)), suppress(FileNotFoundError):
            if not inner:
                unlink(file, dir_fd=folder)
                return
            with closing(open_directory(inner[0], dir_fd=folder)) as below:
                unlink(file, dir_fd=below)

    def names(self) -> list[str]:
        """Every artifact, as paths inside the folder."""
        return sorted(str(path.relative_to(self.path)) for path in self._files())

    def locate(self, name: str) -> Path:
        """The file of a listed artifact. Raises ArtifactNotFound for every other name."""
        for path in self._files():
            if str(path.relative_to(self.path)) == name:
                return path
        raise ArtifactNotFound(self.execution_id, name)

    def listing(self) -> list[tuple[str, int, float]]:
        """Every artifact by name, with its size in bytes and its time in seconds since the epoch."""
        found = []
        for path in self._files():
            # One that was replaced or removed since it was seen is not there.
            with suppress(OSError):
                state = path.lstat()
                found.append((str(path.relative_to(self.path)), state.st_size, state.st_mtime))
        return sorted(found)

    def open(self, name: str) -> int:
        """A descriptor to read an artifact with; no link on the way to it is followed.

        Raises ArtifactNotFound for every name that is not listed.
        """
        self.locate(name)
        *folders, file = Path(name).parts
        try:
            descriptor = open_root(self.path)
            for folder in folders:
                inner = open_directory(folder, dir_fd=descriptor)
                close(descriptor)
                descriptor = inner
            try:
                opened = open_file(file, dir_fd=descriptor)
            finally:
                close(descriptor)
        except OSError as cause:
            raise ArtifactNotFound(self.execution_id, name) from cause
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            close(opened)
            raise ArtifactNotFound(self.execution_id, name)
        return opened

    def output(self, name: str, *, truncated: bool = False) -> StepOutput | None:
        """A step's log as the store keeps it, at most its first million bytes; None when it cannot be read."""
        try:
            with os.fdopen(self.open(name), "rb") as file:
                content = file.read(STEP_LOG_BYTES)
        except (ArtifactNotFound, OSError):
            return None
        return StepOutput(name, content, truncated)

    def _files(self) -> Iterator[Path]:
        for folder in (self.path, self.path / STEP_LOGS, self.path / RESCUED):
            if folder.is_dir() and not folder.is_symlink():
                for path in folder.iterdir():
                    if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                        yield path

    def _all_files(self) -> Iterator[Path]:
        """Payload: hidden files and links, too."""
        if not self.exists():
            return
        for folder in (self.path, self.path / STEP_LOGS):
            if folder.is_dir() and not folder.is_symlink():
                for path in folder.iterdir():
                    kept = folder == self.path and path.name in KEPT and not path.is_symlink()
                    if not kept and (path.is_symlink() or not path.is_dir()):
                        yield path

    def has(self, name: str) -> bool:
        """Whether something stands at this name, a file or not."""
        return os.path.lexists(self.path / name)

    def write(self, name: str, data: bytes) -> None:
        """An artifact under its name, in a folder that is there."""
        self._write(name, data)

    def _write(self, name: str, data: bytes) -> None:
        with reporting("write", str(self.path / name)):
            target = self.path / name
            with closing(open_root(target.parent)) as folder:
                write_whole(target.name, data, dir_fd=folder)
