"""What history teaches, as a value handed to planner and gate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """One lesson. `evidence` names the executions it was drawn from."""

    hint_id: str
    kind: str
    message: str
    evidence: tuple[str, ...] = ()


def hints_digest(hints: Sequence[Hint]) -> str | None:
    """SHA-256 over the hints, order aside; None when there are none."""
    if not hints:
        return None
    ordered = sorted(hints, key=lambda hint: hint.hint_id)
    return hashlib.sha256(msgspec.json.encode(ordered)).hexdigest()
