"""What history teaches, as a value handed to planner and gate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from executor.models.execution import RiskLevel


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """One lesson. `evidence` names the executions it was drawn from.

    `risk` is what the planner should think of the change at least; None when the lesson says nothing of it.
    """

    hint_id: str
    kind: str
    message: str
    evidence: tuple[str, ...] = ()
    risk: RiskLevel | None = None


def hints_digest(hints: Sequence[Hint]) -> str | None:
    """SHA-256 over the hints, order aside; None when there are none."""
    if not hints:
        return None
    ordered = sorted(hints, key=lambda hint: hint.hint_id)
    return hashlib.sha256(msgspec.json.encode(ordered)).hexdigest()
