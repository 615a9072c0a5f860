"""What an execution holds beside its record, and what has become of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Held(StrEnum):
    """Why the payload of an execution stays, though it is older than what is to be kept."""

    RUNNING = "running"
    APPROVAL = "approval"
    ATTEMPT = "attempt"
    JOURNAL = "journal"


@dataclass(frozen=True, slots=True)
class PayloadState:
    """`dropped_at` is None while the payload is kept; `held` says why it must not be dropped now, if so."""

    execution_id: str
    correlation_id: str
    dropped_at: str | None
    held: Held | None


@dataclass(frozen=True, slots=True)
class PayloadSize:
    """What of the database would go with an execution, in rows and bytes.

    `contents` that others still need are not in it; `present` says whether it has any of either at all. Logs count as
    they are kept: compressed.
    """

    contents: int = 0
    content_bytes: int = 0
    logs: int = 0
    log_bytes: int = 0
    present: bool = False

    @property
    def bytes(self) -> int:
        return self.content_bytes + self.log_bytes
