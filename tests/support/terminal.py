"""A person at a terminal: a command whose standard input and standard error are a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from collections.abc import Mapping

from support.command import Repository, Result


class Terminal:
    """Runs `executor` in a repository as somebody who types it."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    def start(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Session:
        return Session(self.repository, arguments, environ or {})

    def run(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Result:
        return self.start(*arguments, environ=environ).result()


class Session:
    """One command at its terminal. What is not read is kept, so that the command never waits for a reader."""

    def __init__(
        self, repository: Repository, arguments: tuple[str, ...], environ: Mapping[str, str]
    ) -> None:
        ours, theirs = pty.openpty()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "executor", *arguments],
                cwd=repository.root,
                env={**repository.environ, "COLUMNS": "240", **environ},
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=theirs,
                text=True,
            )
        finally:
            os.close(theirs)
        self._shown: list[bytes] = []
        self._reader = threading.Thread(target=self._read, args=(ours,), daemon=True)
        self._reader.start()

    def result(self) -> Result:
        out, _ = self.process.communicate(timeout=120)
        self._reader.join()
        shown = b"".join(self._shown).decode("utf-8", "replace").replace("\r\n", "\n")
        assert "Traceback (most recent call last)" not in shown, shown
        return Result(self.process.returncode, out, shown)

    def _read(self, terminal: int) -> None:
        while True:
            try:
                data = os.read(terminal, 65_536)
            except OSError:
                # The other side of the terminal is closed.
                break
            if not data:
                break
            self._shown.append(data)
        os.close(terminal)
