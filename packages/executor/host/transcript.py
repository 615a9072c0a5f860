"""What an agent said while it made a change: a file that is kept beside the execution, or an address of one."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from executor.errors import InvalidSettings
from executor.host import files
from executor.host.logs import CappedLog, OutputLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from executor.events.redaction import Redactor
    from executor.host.artifacts import ArtifactFolder

# What of a longer file is kept: the beginning and the end, with a mark in between.
TRANSCRIPT_BYTES: Final = 10_000_000
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LONGEST_URL: Final = 2_000


@dataclass(frozen=True, slots=True)
class Transcript:
    """Exactly one of the two is set. `path` is absolute."""

    url: str | None = None
    path: Path | None = None


def read_transcript(text: str, cwd: Path, redact: Callable[[str], str]) -> Transcript:
    """What `--transcript` names. Raises InvalidSettings for an address nobody could or should follow."""
    if not _URL.match(text):
        return Transcript(path=cwd / text)
    advice = "--transcript takes a file, or a URL such as https://example.com/session/1, without a user"
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as cause:
        raise InvalidSettings(advice) from cause
    plain = text.isascii() and text.isprintable() and " " not in text and len(text) <= _LONGEST_URL
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or not plain:
        raise InvalidSettings(advice)
    if redact(text) != text:
        raise InvalidSettings("the URL of --transcript holds a secret; give one without it")
    return Transcript(url=text)


def check_transcript(path: Path) -> None:
    """Raises InvalidSettings for a file that cannot be kept."""
    try:
        with path.open("rb") as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError as cause:
        raise InvalidSettings(f"the transcript {path} cannot be read: {cause.strerror}") from cause
    if not regular:
        raise InvalidSettings(f"the transcript {path} is no regular file")


def keep_transcript(folder: ArtifactFolder, source: int, redactor: Redactor) -> None:
    """Copies an open file into the artifacts, redacted and at most 10 MB of it. Raises WorkspaceUnwritable."""
    target = folder.transcript
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    with files.reporting("write", str(target)):
        try:
            with CappedLog(temporary, limit=TRANSCRIPT_BYTES) as log:
                output = OutputLog(log, redactor)
                for chunk in files.read_chunks(source):
                    output.feed(chunk)
                output.finish()
            if log.error is not None:
                raise OSError(log.error)
            with files.closing(files.open_root(folder.path)) as above:
                files.rename(temporary.name, target.name, dir_fd=above, new_dir_fd=above)
        finally:
            files.remove_file(temporary)


def open_transcript(path: Path, *, workspace: Path, scratch: Path | None = None) -> int:
    """Opens the file to read it. What lies in the workspace is looked for in the scratch copy first, where no link
    is followed: a command wrote there. Raises OSError.
    """
    if scratch is not None and path.is_relative_to(workspace):
        inside = path.relative_to(workspace)
        above = scratch / inside.parent
        if above.resolve() == above and (scratch / inside).exists():
            return _regular(
                os.open(scratch / inside, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            )
    return _regular(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))


def _regular(descriptor: int) -> int:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is no regular file")
    return descriptor
