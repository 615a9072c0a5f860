"""Words and shapes in which the command shows values to people."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Final

from executor.errors import InvalidTime
from executor.models.execution import ExecutionRecord, ExecutionStatus
from executor.models.times import parse_time

SHORT_ID: Final = 8

STATUS_ICONS: Final = {
    ExecutionStatus.COMPLETED: "✓",
    ExecutionStatus.FAILED: "✗",
    ExecutionStatus.ROLLED_BACK: "↩",
    ExecutionStatus.CANCELLED: "⊘",
}
STATUS_STYLES: Final = {
    ExecutionStatus.COMPLETED: "green",
    ExecutionStatus.FAILED: "red",
    ExecutionStatus.ROLLED_BACK: "yellow",
    ExecutionStatus.CANCELLED: "dim",
}
# What completed and was undone later.
UNDONE_ICON: Final = "↶"
_ORDINALS: Final = {1: "st", 2: "nd", 3: "rd"}


def short_id(execution_id: str) -> str:
    """The last characters: in ids that begin with a time, the end is what differs."""
    return execution_id[-SHORT_ID:] if execution_id.startswith("exec_") else execution_id


def status_word(record: ExecutionRecord) -> str:
    if record.awaiting_approval:
        return "awaiting approval"
    if record.verdict == "deny" and record.status == ExecutionStatus.FAILED:
        return "denied"
    return safe(record.status.replace("_", " "))


def status_icon(record: ExecutionRecord) -> str:
    if record.awaiting_approval:
        return "?"
    return STATUS_ICONS.get(ExecutionStatus(record.status), "●") if record.status in _STATUSES else "●"


def status_style(record: ExecutionRecord) -> str:
    if record.awaiting_approval:
        return "magenta"
    return STATUS_STYLES.get(ExecutionStatus(record.status), "cyan") if record.status in _STATUSES else "cyan"


_STATUSES: Final = frozenset(status.value for status in ExecutionStatus)


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th …"""
    suffix = "th" if number % 100 in (11, 12, 13) else _ORDINALS.get(number % 10, "th")
    return f"{number}{suffix}"


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def ago(text: str, now: datetime) -> str:
    """How long ago a stored time was; the text itself when it is none we can read."""
    try:
        seconds = (now - parse_time(text)).total_seconds()
    except InvalidTime:
        return safe(text)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now" if seconds < 10 else f"{int(seconds)} s ago"


def local_time(text: str) -> str:
    try:
        return parse_time(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except InvalidTime:
        return safe(text)


def utc_now() -> datetime:
    return datetime.now(UTC)


def safe(text: str, *, keep: str = "") -> str:
    """Text from outside for a terminal: control, bidi and other invisible characters become visible.

    Characters in `keep` (such as a newline) stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or not _hidden(c) else _visible(c) for c in text)


def one_line(text: str, width: int = 200) -> str:
    """The first line that says anything, cut to `width` characters."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = safe(line)
    return line if len(line) <= width else line[: width - 1] + "…"


def _hidden(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _visible(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def bytes_text(count: int) -> str:
    """A number of bytes for a person: `21 KB`."""
    size = float(count)
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
