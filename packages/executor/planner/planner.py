"""From a changeset to a plan. Pure: the same input and clock give the same plan, ids aside."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePosixPath

from executor.models.change import Changeset, Operation
from executor.models.execution import RiskLevel, TriggerKind
from executor.models.hint import Hint
from executor.models.ids import new_id
from executor.models.plan import CapturedCommand, ChangePlan, Check, DriftRule, HealthCheck, RiskReason
from executor.models.risk import highest
from executor.models.times import format_time
from executor.planner.commands import read_check
from executor.planner.risk import risk_reasons
from executor.planner.verification import FoundCheck

_VERBS = {Operation.CREATE: "Add", Operation.UPDATE: "Update", Operation.DELETE: "Delete"}


def default_title(changeset: Changeset) -> str:
    """What a change does, from its paths, for a proposer who gave no title."""
    operations = {change.operation for change in changeset.changes}
    verb = _VERBS[operations.pop()] if len(operations) == 1 else "Change"
    names = [PurePosixPath(path).name for path in changeset.paths]
    if len(set(names[:2])) < len(names[:2]):
        names = list(changeset.paths)
    if len(names) <= 2:
        return f"{verb} {' and '.join(names)}"
    return f"{verb} {names[0]}, {names[1]} and {len(names) - 2} more files"


def plan_change(
    changeset: Changeset,
    *,
    workspace_id: str,
    now: datetime,
    verification: Sequence[Check] = (),
    health_checks: Sequence[HealthCheck] = (),
    title: str | None = None,
    why: str | None = None,
    trigger_kind: TriggerKind = TriggerKind.MANUAL,
    drift: DriftRule = DriftRule.FAIL,
    judged_as: Sequence[TriggerKind] = (),
    proposed_by: str | None = None,
    unverified: Sequence[str] = (),
    absent: Sequence[FoundCheck] = (),
    hints: Sequence[Hint] = (),
    command: CapturedCommand | None = None,
    plan_id: str | None = None,
    isolate: bool = False,
    transcript_url: str | None = None,
    model: str | None = None,
) -> ChangePlan:
    """The plan for `changeset`: its scope, the risk it proposes with reasons, its checks, the way back.

    `absent` are checks of unverified code whose programs are missing. Hints can only raise the risk.
    Without `plan_id` it gets a new one.
    """
    learned = [
        RiskReason(level=hint.risk, reason=hint.message, evidence=", ".join(hint.evidence))
        for hint in hints
        if hint.risk is not None
    ]
    missing = [
        RiskReason(
            level=RiskLevel.HIGH,
            reason="a program that would verify it is not there",
            evidence=f"{shlex.split(check.command)[0]}: {check.reason}",
        )
        for check in absent
    ]
    reasons = (*risk_reasons(changeset, verification, unverified), *missing, *learned)
    return ChangePlan(
        plan_id=plan_id or new_id("plan"),
        workspace_id=workspace_id,
        changeset_id=changeset.changeset_id,
        trigger_kind=trigger_kind,
        title=title or default_title(changeset),
        why=why,
        scope=tuple(changeset.paths),
        proposed_risk=highest([reason.level for reason in reasons]),
        risk_reasons=reasons,
        verification=tuple(verification),
        health_checks=tuple(health_checks),
        rollback="restore every file from its backup and compare its hash with the one before",
        drift=drift,
        created_at=format_time(now),
        judged_as=tuple(kind for kind in dict.fromkeys(judged_as) if kind is not trigger_kind),
        proposed_by=proposed_by,
        unverified=tuple(unverified),
        command=command,
        isolate=isolate,
        transcript_url=transcript_url,
        model=model,
    )


def with_required(
    checks: Sequence[Check],
    commands: Sequence[str],
    *,
    timeout_seconds: float | None = None,
    environment: Sequence[str] = (),
) -> list[Check]:
    """`checks` and, of the checks a policy requires, those that are not among them."""
    planned = {check.argv for check in checks if not check.shell}
    required = [
        read_check(
            command, timeout_seconds=timeout_seconds, environment=environment, reason="the policy requires it"
        )
        for command in commands
    ]
    return [*checks, *(check for check in required if check.argv not in planned)]
