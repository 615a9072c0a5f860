"""Who may approve, what an approval is about, and what voids it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.governance.approvals import difference, expired, make_approval, may_approve_own, refusal
from executor.governance.gate import WriteGate
from executor.governance.policy import ApprovalRules, Limits, Policy
from executor.models.change import Changeset, FileChange, Operation, sha256
from executor.models.decision import GovernanceDecision
from executor.models.execution import TriggerKind, Verdict
from executor.models.plan import ChangePlan, Check
from executor.planner.planner import plan_change

NOW = datetime(2026, 1, 2, tzinfo=UTC)
POLICY = Policy(name="p", limits=Limits(files=0))
CHECKS = [Check(name="tests", argv=("pytest", "-q")), Check(name="style", argv=("ruff",))]


def change(path: str = "a.py", old: bytes = b"old", new: bytes = b"new") -> FileChange:
    return FileChange(
        operation=Operation.UPDATE, path=path, old_sha256=sha256(old), old_mode=0o644, new_sha256=sha256(new),
        new_mode=0o644, content=new,
    )  # fmt: skip


def judged(
    *changes: FileChange, policy: Policy = POLICY, checks: list[Check] = CHECKS, **plan_fields: Any
) -> tuple[ChangePlan, GovernanceDecision]:
    changeset = Changeset.of(changes or [change()])
    plan = plan_change(changeset, workspace_id="ws", now=NOW, verification=checks)
    plan = msgspec.structs.replace(plan, **plan_fields)
    return plan, WriteGate(policy).evaluate(plan, changeset, now=NOW)


def approve(plan: ChangePlan, decision: GovernanceDecision) -> Any:
    return make_approval("exec_1", plan, decision, approved_by="ann", reason=None, now=NOW)


@pytest.mark.parametrize(
    ("kinds", "own", "may"),
    [
        ({"manual"}, {"manual"}, True),
        ({"agent"}, {"manual"}, False),
        ({"agent", "manual"}, {"manual"}, False),
        ({"agent", "manual"}, {"manual", "agent"}, True),
        ({"scheduled", "manual"}, {"manual", "agent"}, False),
        ({"retry", "manual"}, {"manual"}, True),
        ({"retry", "manual", "agent"}, {"manual"}, False),
        ({"child", "agent"}, {"agent"}, True),
        ({"repair"}, {"manual"}, True),
        ({"manual"}, set(), False),
    ],
)
def test_own_changes_are_approved_when_everyone_who_asks_is_allowed_to(
    kinds: set[str], own: set[str], may: bool
) -> None:
    rules = ApprovalRules(own=tuple(map(TriggerKind, own)))

    assert may is may_approve_own(map(TriggerKind, kinds), rules)


@given(st.frozensets(st.sampled_from(TriggerKind), min_size=1), st.frozensets(st.sampled_from(TriggerKind)))
def test_an_agent_or_a_schedule_among_those_who_ask_is_never_overlooked(
    kinds: frozenset[TriggerKind], own: frozenset[TriggerKind]
) -> None:
    asking = kinds & {TriggerKind.AGENT, TriggerKind.SCHEDULED, TriggerKind.MANUAL}

    if may_approve_own(kinds, ApprovalRules(own=tuple(own))):
        assert asking <= own


def test_who_proposed_it_is_refused_and_another_is_not() -> None:
    nobody = Policy(name="p", limits=Limits(files=0), approvals=ApprovalRules(own=()))
    plan, decision = judged(policy=nobody, proposed_by="ann")

    assert refusal(plan, decision, approver="bob", actor="ann") is None
    assert "ann proposed this" in str(refusal(plan, decision, approver="ann", actor="agent:x"))
    unnamed = msgspec.structs.replace(plan, proposed_by=None)
    assert "bob proposed this" in str(refusal(unnamed, decision, approver="bob", actor="bob"))
    assert refusal(unnamed, decision, approver="ann", actor="bob") is None
    assert "nobody knows" in str(refusal(unnamed, decision, approver="ann", actor=None))
    own, decision = judged(proposed_by="ann")
    assert refusal(own, decision, approver="ann", actor="ann") is None


def test_an_approval_holds_for_as_long_as_the_policy_says() -> None:
    policy = Policy(name="p", limits=Limits(files=0), approvals=ApprovalRules(hours=1.5))
    approval = approve(*judged(policy=policy))

    assert approval.expires_at == "2026-01-02T01:30:00.000000Z"
    assert not expired(approval, NOW + timedelta(minutes=89))
    assert expired(approval, NOW + timedelta(minutes=90))
    assert approve(*judged()).expires_at == "2026-01-03T00:00:00.000000Z"


def test_an_approval_is_about_the_same_change_judged_again() -> None:
    approval = approve(*judged())
    plan, decision = judged(trigger_kind=TriggerKind.RETRY, title="again")

    assert decision.verdict is Verdict.NEED_APPROVAL
    assert difference(approval, plan, decision) is None
    more = [*CHECKS, Check(name="more", argv=("mypy",))]
    assert difference(approval, *judged(checks=more)) is None


@pytest.mark.parametrize(
    ("again", "said"),
    [
        (lambda: judged(change(new=b"other")), "the change is another"),
        (lambda: judged(change(old=b"other")), "the change is another"),
        (lambda: judged(change(), change("b.py")), "the change is another"),
        (lambda: judged(policy=Policy(name="p", limits=Limits(files=0, lines=9))), "the policy has changed"),
        (lambda: judged(workspace_id="ws_2"), "another workspace"),
        (lambda: judged(checks=CHECKS[:1]), "a check is left out (ruff)"),
        (lambda: judged(checks=[Check(name="tests", argv=("true",)), CHECKS[1]]), "a check is left out (pytest -q)"),
        (lambda: judged(unverified=("a.py",)), "a rule asks that did not then (verification)"),
    ],
)  # fmt: skip
def test_whatever_is_another_voids_it_and_is_named(again: Any, said: str) -> None:
    approval = approve(*judged())

    assert said in str(difference(approval, *again()))


def test_a_base_that_differs_voids_it_even_when_the_checksum_is_the_same() -> None:
    plan, decision = judged()
    approval = approve(plan, decision)
    other = msgspec.structs.replace(decision.base[0], sha256=None, kind="absent")

    assert "a.py is not what it was" in str(
        difference(approval, plan, msgspec.structs.replace(decision, base=(other,)))
    )
    assert "a file is not what it was" in str(
        difference(approval, plan, msgspec.structs.replace(decision, base=()))
    )
