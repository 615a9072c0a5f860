"""Notifications that are not delivered yet: a file each in `<state>/notify/`, on the disk before anybody tries.

A file named `<delivery>.json` holds the exact bytes to deliver. `<delivery>.tries` beside it tells how that went
so far; `<delivery>.dropped` is what was given up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from executor.host import files
from executor.host.presence import safe_name

FOLDER: Final = "notify"
# Seconds after which nobody is interested any more.
LONGEST: Final = 24 * 3600.0
# Seconds for which what was given up is still shown.
_SHOWN: Final = 7 * 24 * 3600.0
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 3600.0

_LETTER: Final = ".json"
_TRIES: Final = ".tries"
_DROPPED: Final = ".dropped"
_LOCK: Final = ".lock"


@dataclass(frozen=True, slots=True)
class Letter:
    """One notification. Times are seconds since the epoch; `error` says why the last try failed."""

    delivery_id: str
    body: bytes
    written: float
    tries: int = 0
    next_try: float = 0.0
    error: str | None = None


class Outbox:
    """The notifications of one state directory."""

    def __init__(self, state: Path) -> None:
        self.path: Final = state / FOLDER

    def post(self, delivery_id: str, body: bytes) -> None:
        """On the disk when it returns. Posting the same again changes nothing. Raises WorkspaceUnwritable."""
        name = safe_name(delivery_id)
        with files.reporting("write", str(self.path / name)):
            files.make_directories(self.path)
            with files.closing(files.open_root(self.path)) as folder:
                files.write_whole(name + _LETTER, body, dir_fd=folder, durable=True)

    def pending(self) -> list[Letter]:
        """What is not delivered, the oldest first. One that cannot be read is passed over."""
        found = []
        for path in self._files(_LETTER):
            with suppress(OSError):
                written, body = path.stat().st_mtime, path.read_bytes()
                tries = _read_tries(path.with_suffix(_TRIES))
                found.append(Letter(path.stem, body, written, *tries))
        return sorted(found, key=lambda letter: (letter.written, letter.delivery_id))

    def due(self) -> bool:
        """Whether something waits whose time has come; cheap where there is nothing."""
        now = time.time()
        return any(_read_tries(path.with_suffix(_TRIES))[1] <= now for path in self._files(_LETTER))

    def dropped(self) -> list[str]:
        """What was given up lately, by its delivery."""
        return sorted(path.stem for path in self._files(_DROPPED))

    def failed(self, letter: Letter, error: str, *, at_next_start: bool = False) -> None:
        """Keeps that a try failed; the next is later each time, or, with `at_next_start`, at once."""
        pause = 0.0 if at_next_start else min(_FIRST_PAUSE * 2**letter.tries, _LONGEST_PAUSE)
        value = {"tries": letter.tries + 1, "next_try": time.time() + pause, "error": error}
        # Without room for it there is one try more, and no harm done.
        with suppress(OSError), files.closing(files.open_root(self.path)) as folder:
            name = letter.delivery_id + _TRIES
            files.write_whole(name, json.dumps(value).encode("ascii"), dir_fd=folder)

    def remove(self, letter: Letter) -> None:
        """It is delivered. Cut short before this, it is delivered once more, under the same id."""
        files.remove_file(self._path(letter, _LETTER))
        files.remove_file(self._path(letter, _TRIES))

    def drop(self, letter: Letter) -> None:
        name = letter.delivery_id
        with files.closing(files.open_root(self.path)) as folder:
            files.rename(name + _LETTER, name + _DROPPED, dir_fd=folder, new_dir_fd=folder)
        files.remove_file(self._path(letter, _TRIES))

    def sweep(self) -> None:
        """Removes what was given up long ago, and what a killed process left half written."""
        now = time.time()
        for path in self._files(""):
            left = path.name.startswith(".") and path.name != _LOCK
            age = _SHOWN if path.suffix == _DROPPED else LONGEST if left else None
            with suppress(OSError):
                orphan = path.suffix == _TRIES and not left and not path.with_suffix(_LETTER).exists()
                if orphan or (age is not None and now - path.stat().st_mtime > age):
                    files.remove_file(path)

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether nobody else delivers while the block runs."""
        files.make_directories(self.path)
        with files.closing(files.open_root(self.path)) as folder:
            marker = files.open_marker(_LOCK, create=True, dir_fd=folder)
        with files.closing(marker):
            yield files.try_lock(marker)

    def _path(self, letter: Letter, suffix: str) -> Path:
        return self.path / (letter.delivery_id + suffix)

    def _files(self, suffix: str) -> list[Path]:
        try:
            found = list(self.path.iterdir())
        except OSError:
            return []
        return [path for path in found if path.name.endswith(suffix) and (not suffix or path.name[0] != ".")]


def _read_tries(path: Path) -> tuple[int, float, str | None]:
    """How often it was tried, when to try again, and why the last try failed."""
    try:
        value = json.loads(path.read_text("ascii"))
        return int(value["tries"]), float(value["next_try"]), str(value["error"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0.0, None
