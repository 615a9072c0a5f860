"""Logs of bounded size: the beginning and the end are kept, the middle is counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from executor.events.redaction import RedactingDecoder, Redactor
from executor.host import files
from executor.models.execution import STEP_LOG_BYTES

LOG_BYTES: Final = STEP_LOG_BYTES
TAIL_CHARACTERS: Final = 16_000
_LINE: Final = 4_096
# Longer than any secret, and than any line a redactor holds back.
_LEAD: Final = 200_000


class CappedLog:
    """A UTF-8 file of at most `limit` bytes, for the owner only.

    The first half is written as it comes, so that others can follow it. Once it is full, the newest text
    is kept in memory, and `close` writes the second half after a line that says how much is missing.

    A write that fails (no room) ends the writing and not the caller: `error` says why, the end of the text
    stays available as `tail`. Opening raises OSError.
    """

    def __init__(self, path: Path, *, limit: int = LOG_BYTES) -> None:
        self.limit = limit
        # Room for the line in between.
        self._half = max(limit - 100, 2) // 2
        self._fd = files.open_emptied(path)
        self._room = self._half
        self._end = bytearray()
        self._recent = ""
        self.dropped_bytes = 0
        self.error: str | None = None

    def write(self, text: str) -> None:
        """`text` is valid Unicode; lone surrogates become `?`."""
        if not text:
            return
        self._recent += text[-2 * TAIL_CHARACTERS :]
        if len(self._recent) > 4 * TAIL_CHARACTERS:
            self._recent = self._recent[-2 * TAIL_CHARACTERS :]
        data = text.encode("utf-8", "replace")
        if self._room:
            cut = _character_start(data, self._room) if len(data) > self._room else len(data)
            self._put(data[:cut])
            # A character that does not fit whole ends the first half.
            self._room = self._room - cut if cut == len(data) else 0
            data = data[cut:]
        if data:
            self._keep(data)

    @property
    def beginning_is_full(self) -> bool:
        return self._room == 0

    def leave_out(self, count: int) -> None:
        """Counts `count` bytes that were not even offered; whatever is kept of the end now goes, too."""
        self.dropped_bytes += count + len(self._end)
        self._end.clear()
        self._recent = ""

    @property
    def truncated(self) -> bool:
        return self.dropped_bytes > 0

    @property
    def tail(self) -> str:
        """The last characters written, at most 16,000; from the beginning of a line when there is one."""
        if len(self._recent) <= TAIL_CHARACTERS:
            return self._recent
        text = self._recent[-TAIL_CHARACTERS:]
        line = text.find("\n")
        return text[line + 1 :] if 0 <= line < len(text) // 2 else text

    def close(self) -> None:
        """Writes what is kept. A second call does nothing."""
        if self._fd < 0:
            return
        end = bytes(self._end)
        self._end.clear()
        if len(end) > self._half:
            cut = _character_start(end, len(end) - self._half, forward=True)
            # A whole line reads better; a very long one is cut.
            line = end.find(b"\n", cut, cut + _LINE)
            cut = line + 1 if 0 <= line < len(end) - 1 else cut
            self.dropped_bytes += cut
            end = end[cut:]
        if self.dropped_bytes:
            end = b"\n[... %d bytes left out ...]\n" % self.dropped_bytes + end
        try:
            self._put(end)
        finally:
            files.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _put(self, data: bytes) -> None:
        if self.error is not None:
            return
        try:
            files.write_all(self._fd, data)
        except OSError as cause:
            self.error = f"the log is incomplete: {cause.strerror or cause}"

    def _keep(self, data: bytes) -> None:
        self._end += data
        # In large steps, because each moves what stays; more stays than will be written, so that the cut can
        # go where a character and a line begin.
        surplus = len(self._end) - self._half - _LINE
        if surplus > self._half:
            del self._end[:surplus]
            self.dropped_bytes += surplus


class OutputLog:
    """Takes the output of a command as bytes: redacted, into a log, and to a listener.

    A flood costs little: once the beginning of the log is full and nobody listens, bytes that would be left
    out anyway are neither decoded nor searched.
    """

    def __init__(
        self, log: CappedLog, redactor: Redactor, listener: Callable[[str], None] | None = None
    ) -> None:
        self._log = log
        self._redactor = redactor
        self._decoder = RedactingDecoder(redactor)
        self.listener = listener
        self._pending = bytearray()
        self._left_out = 0
        self.bytes = 0

    def feed(self, data: bytes) -> None:
        self.bytes += len(data)
        if self.listener is not None or not self._log.beginning_is_full:
            self._write(self._decoder.feed(data))
            return
        self._pending += data
        # The log needs its last half million bytes, and before these whatever a secret may begin in.
        wanted = self._log.limit + _LEAD
        surplus = len(self._pending) - wanted
        if surplus > wanted:
            del self._pending[:surplus]
            self._left_out += surplus

    def finish(self) -> None:
        """Writes what is left; nothing may be fed afterwards."""
        if self._left_out:
            # In the middle of something unknown: what the first bytes hold is only needed as context.
            self._decoder = RedactingDecoder(self._redactor)
            skipped = self._decoder.feed(bytes(self._pending[:_LEAD]))
            self._log.leave_out(self._left_out + len(skipped.encode("utf-8", "replace")))
            del self._pending[:_LEAD]
        if self._pending:
            self._write(self._decoder.feed(bytes(self._pending)))
            self._pending.clear()
        self._write(self._decoder.finish())

    def _write(self, text: str) -> None:
        if text:
            self._log.write(text)
            if self.listener is not None:
                self.listener(text)


def _character_start(data: bytes | bytearray, position: int, *, forward: bool = False) -> int:
    """`position`, moved to where a UTF-8 character begins."""
    step = 1 if forward else -1
    while 0 < position < len(data) and data[position] & 0xC0 == 0x80:
        position += step
    return position
