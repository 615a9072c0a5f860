"""An approval: a person's word for one exact change, for a while."""

from __future__ import annotations

import msgspec

from executor.models.decision import BaseFile


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """Who approved what, when, why and until when.

    It is about one execution and its decision, and holds for attempts of the same change: equal checksum,
    policy, base, no rule that asks beyond `asks`, every check of `checks` (command lines). `base` is old hash
    and type of every touched path; the commit the repository is at does not count.
    """

    approval_id: str
    execution_id: str
    workspace_id: str
    decision_id: str
    changeset_checksum: str
    policy_hash: str
    base: tuple[BaseFile, ...]
    asks: tuple[str, ...]
    checks: tuple[tuple[str, ...], ...]
    approved_by: str
    reason: str | None
    approved_at: str
    expires_at: str
