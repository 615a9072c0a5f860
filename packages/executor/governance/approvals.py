"""Who may approve a change, what an approval is about, and when it no longer holds. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from executor.governance.policy import ApprovalRules
from executor.models.approval import Approval
from executor.models.decision import GovernanceDecision
from executor.models.execution import TriggerKind
from executor.models.ids import new_id
from executor.models.plan import ChangePlan
from executor.models.times import format_time

# How an execution hangs together with others says nothing about who asks for it.
_RELATIONS: Final = frozenset({TriggerKind.RETRY, TriggerKind.REPAIR, TriggerKind.CHILD})


def may_approve_own(kinds: Iterable[TriggerKind], rules: ApprovalRules) -> bool:
    """Whether the account that proposed a change of these trigger kinds may approve it."""
    asking = set(kinds) - _RELATIONS or {TriggerKind.MANUAL}
    return asking <= set(rules.own)


def refusal(
    plan: ChangePlan, decision: GovernanceDecision, *, approver: str, actor: str | None
) -> str | None:
    """Why `approver` must not approve this; None when nothing speaks against it.

    `actor` is who the execution is recorded for; it stands in when the plan names no account, and somebody
    unknown could be anybody.
    """
    proposer = plan.proposed_by or actor
    if decision.own_approval or (proposer is not None and proposer != approver):
        return None
    kinds = ", ".join(kind.value for kind in plan.trigger_kinds)
    whose = f"{proposer} proposed this" if proposer else "nobody knows who proposed this"
    return (
        f"{whose}, and the policy lets nobody approve their own change of the kind {kinds}; "
        "somebody else has to (approvals.own in policy.yaml)"
    )


def make_approval(
    execution_id: str,
    plan: ChangePlan,
    decision: GovernanceDecision,
    *,
    approved_by: str,
    reason: str | None,
    now: datetime,
) -> Approval:
    return Approval(
        approval_id=new_id("appr"),
        execution_id=execution_id,
        workspace_id=decision.workspace_id,
        decision_id=decision.decision_id,
        changeset_checksum=decision.changeset_checksum,
        policy_hash=decision.policy_hash,
        base=decision.base,
        asks=decision.asks,
        checks=_commands(plan),
        approved_by=approved_by,
        reason=reason,
        approved_at=format_time(now),
        expires_at=format_time(now + timedelta(hours=decision.approval_hours)),
    )


def expired(approval: Approval, now: datetime) -> bool:
    return approval.expires_at <= format_time(now)


def difference(approval: Approval, plan: ChangePlan, decision: GovernanceDecision) -> str | None:
    """What is no longer as it was approved; None when the approval is about exactly this."""
    if approval.workspace_id != decision.workspace_id:
        return "it was given in another workspace"
    if approval.changeset_checksum != decision.changeset_checksum:
        return "the change is another"
    if approval.policy_hash != decision.policy_hash:
        return "the policy has changed since"
    approved = {file.path: file for file in approval.base}
    changed = [file.path for file in decision.base if approved.get(file.path) != file]
    if changed or len(approval.base) != len(decision.base):
        return f"{', '.join(changed[:5]) or 'a file'} is not what it was"
    more = [rule for rule in decision.asks if rule not in approval.asks]
    if more:
        return f"a rule asks that did not then ({', '.join(more)})"
    missing = [" ".join(argv) for argv in approval.checks if argv not in _commands(plan)]
    if missing:
        return f"a check is left out ({', '.join(missing[:5])})"
    return None


def _commands(plan: ChangePlan) -> tuple[tuple[str, ...], ...]:
    asked = (check.asks for check in plan.health_checks)
    return (*(check.argv for check in plan.verification), *asked)
