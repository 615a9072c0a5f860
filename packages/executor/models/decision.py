"""The decision of the gate about one plan and changeset."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from executor.models.execution import RiskLevel, Verdict


class RuleOutcome(StrEnum):
    PASS = "pass"
    NEED_APPROVAL = "need_approval"
    DENY = "deny"


class RuleResult(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, what it said, and the evidence (paths, counts, line numbers) it saw."""

    rule: str
    outcome: RuleOutcome
    reason: str = ""
    evidence: tuple[str, ...] = ()


class BaseFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a path held when the gate decided: `kind` is `file` or `absent`."""

    path: str
    kind: str
    sha256: str | None = None


class GovernanceDecision(msgspec.Struct, frozen=True, kw_only=True):
    """Binds a verdict to workspace, plan, changeset and policy.

    `policy_hash` is the SHA-256 over the rules of the policy; `base` names old hash and type of every path.
    `own_approval` says whether the account that proposed the change may approve it, `approval_hours` how
    long an approval holds.
    """

    decision_id: str
    workspace_id: str
    plan_id: str
    changeset_id: str
    changeset_checksum: str
    policy_name: str
    policy_hash: str
    verdict: Verdict
    proposed_risk: RiskLevel
    effective_risk: RiskLevel
    rules: tuple[RuleResult, ...]
    base: tuple[BaseFile, ...]
    decided_at: str
    reflection_hints_used: tuple[str, ...] = ()
    hints_digest: str | None = None
    own_approval: bool = False
    approval_hours: float = 24.0

    @property
    def asks(self) -> tuple[str, ...]:
        """The rules that want a person to decide."""
        return tuple(r.rule for r in self.rules if r.outcome is RuleOutcome.NEED_APPROVAL)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the verdict is not `allow`."""
        return tuple(r.reason for r in self.rules if r.outcome is not RuleOutcome.PASS)
