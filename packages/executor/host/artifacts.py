"""The artifact folder of one execution: a copy for people and tools of what the store holds."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from executor.errors import ArtifactNotFound
from executor.host.files import (
    close,
    closing,
    create_file,
    make_directories,
    open_directory,
    open_file,
    open_root,
    rename,
    reporting,
    unlink,
    write_all,
)
from executor.host.presence import safe_name

FOLDER: Final = "executions"
STEP_LOGS: Final = "steps"
# Bytes that gave way to a rollback, for a person to look through.
RESCUED: Final = "rescued"


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

    def write_report(self, step_num: int, name: str, data: bytes) -> None:
        self._write(f"{STEP_LOGS}/{step_num:02d}-{name}.junit.xml", data)

    def write_json(self, name: str, value: Any) -> None:
        self._write(name, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")

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

    def _files(self) -> Iterator[Path]:
        for folder in (self.path, self.path / STEP_LOGS, self.path / RESCUED):
            if folder.is_dir() and not folder.is_symlink():
                for path in folder.iterdir():
                    if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                        yield path

    def _write(self, name: str, data: bytes) -> None:
        with reporting("write", str(self.path / name)):
            temporary = f".{name.replace('/', '-')}.{os.getpid()}"
            with closing(open_root(self.path)) as folder:
                with suppress(FileNotFoundError):
                    unlink(temporary, dir_fd=folder)
                with closing(create_file(temporary, dir_fd=folder)) as file:
                    write_all(file, data)
                rename(temporary, name, dir_fd=folder, new_dir_fd=folder)
