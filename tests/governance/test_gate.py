"""The gate: which rule says what, and what a decision is bound to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.governance.gate import WriteGate
from executor.governance.policy import (
    BUILT_IN,
    Limits,
    PathRules,
    Policy,
    RequiredChecks,
    SecretRules,
    TriggerRules,
)
from executor.models.change import Changeset, FileChange, Operation, sha256
from executor.models.decision import GovernanceDecision, RuleOutcome
from executor.models.execution import RiskLevel, TriggerKind, Verdict
from executor.models.hint import Hint
from executor.models.plan import Check, DriftRule
from executor.models.risk import RISK_ORDER
from executor.planner.planner import plan_change

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CHECK = Check(name="pytest", argv=("pytest",))


def write(path: str, content: bytes = b"x\n") -> FileChange:
    return FileChange(
        operation=Operation.CREATE,
        path=path,
        new_sha256=sha256(content),
        new_mode=0o644,
        content=content,
        lines_added=content.count(b"\n"),
    )


def decide(
    *paths: str,
    policy: Policy = BUILT_IN,
    verified: bool = True,
    hints: tuple[Hint, ...] = (),
    **plan_fields: Any,
) -> GovernanceDecision:
    changeset = Changeset.of([write(path) for path in paths])
    plan = plan_change(changeset, workspace_id="ws_1", now=NOW, verification=[CHECK] if verified else [])
    plan = msgspec.structs.replace(plan, **plan_fields)
    return WriteGate(policy).evaluate(plan, changeset, hints=hints, now=NOW)


def objecting(decision: GovernanceDecision) -> list[str]:
    return [rule.rule for rule in decision.rules if rule.outcome is not RuleOutcome.PASS]


def test_a_verified_change_of_code_is_allowed_and_every_rule_reports() -> None:
    decision = decide("src/a.py")

    assert decision.verdict is Verdict.ALLOW
    assert decision.reasons == ()
    assert [rule.rule for rule in decision.rules] == [
        "protected-paths",
        "forbidden-paths",
        "approval-paths",
        "required-checks",
        "limits",
        "secrets",
        "verification",
        "drift",
        "risk",
    ]


@pytest.mark.parametrize(
    "path", [".git/hooks/pre-commit", ".GIT/config", "sub/.git/config", ".executor/policy.yaml"]
)
def test_nothing_may_write_into_git_or_the_state_directory_whatever_the_policy(path: str) -> None:
    decision = decide(path, policy=Policy(name="lax", require_verification=False))

    assert decision.verdict is Verdict.DENY
    assert decision.effective_risk is RiskLevel.HIGH


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ci.yml",
        "conftest.py",
        "tests/conftest.py",
        "Makefile",
        "sub/MAKEFILE",
        "Dockerfile.dev",
        ".env.production",
        "setup.py",
        "lib/x.pth",
        ".vscode/tasks.json",
        ".gitattributes",
        "package.json",
        "AGENTS.md",
    ],
)
def test_files_that_decide_what_runs_need_a_person(path: str) -> None:
    decision = decide(path)

    assert decision.verdict is Verdict.NEED_APPROVAL
    assert any(path in evidence for rule in decision.rules for evidence in rule.evidence)


@pytest.mark.parametrize(
    "path", ["src/makefiles.py", "docs/dockerfiles.md", "environment.py", "src/setup_tools.py"]
)
def test_names_that_only_look_alike_are_allowed(path: str) -> None:
    assert decide(path).verdict is Verdict.ALLOW


def test_code_that_nothing_verifies_needs_a_person_and_prose_does_not() -> None:
    assert decide("a.py", verified=False).verdict is Verdict.NEED_APPROVAL
    assert decide("a.md", verified=False).verdict is Verdict.ALLOW


def test_a_policy_forbids_and_a_later_pattern_takes_it_back() -> None:
    policy = Policy(name="p", forbid=PathRules(patterns=("/vendor/*", "!/vendor/ours.py")))

    assert decide("vendor/x.py", policy=policy).verdict is Verdict.DENY
    assert decide("vendor/ours.py", policy=policy).verdict is Verdict.ALLOW
    assert decide("vendor/x.py", "a.py", policy=policy).rules[1].evidence == ("vendor/x.py: /vendor/*",)


@pytest.mark.parametrize("limits", [Limits(files=1), Limits(lines=1), Limits(bytes=3)])
def test_a_change_beyond_a_limit_needs_a_person(limits: Limits) -> None:
    assert decide("a.py", "b.py", policy=Policy(name="p", limits=limits)).verdict is Verdict.NEED_APPROVAL


def test_a_decision_is_bound_to_what_it_was_taken_about() -> None:
    changeset = Changeset.of(
        [
            write("new.py"),
            FileChange(operation=Operation.DELETE, path="old.py", old_sha256=sha256(b"o"), old_mode=0o644),
        ]
    )
    plan = plan_change(changeset, workspace_id="ws_1", now=NOW, verification=[CHECK])
    decision = WriteGate(BUILT_IN).evaluate(plan, changeset, now=NOW)

    assert (decision.workspace_id, decision.plan_id) == ("ws_1", plan.plan_id)
    assert (decision.changeset_id, decision.changeset_checksum) == (
        changeset.changeset_id,
        changeset.checksum,
    )
    assert decision.policy_hash == BUILT_IN.digest
    assert [(b.path, b.kind, b.sha256) for b in decision.base] == [
        ("new.py", "absent", None),
        ("old.py", "file", sha256(b"o")),
    ]


def test_a_policy_is_known_by_its_rules_and_not_by_its_name() -> None:
    assert Policy(name="a").digest == Policy(name="b").digest
    assert Policy(name="a").digest != Policy(name="a", limits=Limits(files=1)).digest


def test_a_required_check_counts_by_what_it_runs_and_not_by_its_name() -> None:
    required = RequiredChecks(paths=PathRules(patterns=("/a/",)), checks=("make  lint",))
    policy = Policy(name="p", require_checks=(required,))
    named = Check(name="make  lint", argv=("true",))
    real = Check(name="style", argv=("make", "lint"))
    shell = Check(name="x", argv=("make", "lint"), shell=True)

    assert objecting(decide("b/x.py", policy=policy)) == []
    assert objecting(decide("a/x.py", policy=policy, verification=(named,))) == ["required-checks"]
    assert objecting(decide("a/x.py", policy=policy, verification=(shell,))) == ["required-checks"]
    assert objecting(decide("a/x.py", policy=policy, verification=(CHECK, real))) == []


def test_code_that_no_check_of_the_plan_covers_needs_a_person() -> None:
    assert objecting(decide("a.py", "b.go", unverified=("b.go",))) == ["verification"]
    assert objecting(decide("a.py", "b.md", unverified=("b.md",))) == []


def test_a_plan_laxer_about_drift_than_the_policy_needs_a_person() -> None:
    warning = Policy(name="p", drift=DriftRule.WARN)

    assert objecting(decide("a.py", drift=DriftRule.WARN)) == ["drift"]
    assert objecting(decide("a.py", drift=DriftRule.WARN, policy=warning)) == []
    assert objecting(decide("a.py", drift=DriftRule.FAIL, policy=warning)) == []


def test_rules_of_a_trigger_kind_hold_for_what_is_judged_as_it_and_only_tighten() -> None:
    rules = TriggerRules(
        forbid=PathRules(patterns=("/legal/",)), limits=Limits(files=1, lines=None, bytes=None)
    )
    policy = Policy(name="p", triggers=((TriggerKind.AGENT, rules),))
    agent = {"trigger_kind": TriggerKind.AGENT}
    retried = {"trigger_kind": TriggerKind.RETRY, "judged_as": (TriggerKind.MANUAL, TriggerKind.AGENT)}

    assert objecting(decide("legal/a.py", policy=policy)) == []
    for fields in (agent, retried):
        assert decide("legal/a.py", policy=policy, **fields).verdict is Verdict.DENY
        assert objecting(decide("a.py", "b.py", policy=policy, **fields)) == ["trigger-agent"]
        assert objecting(decide("a.py", policy=policy, **fields)) == []


@given(
    st.sampled_from(["a.py", "Makefile", ".git/config", "a.md"]),
    st.booleans(),
    st.builds(
        TriggerRules,
        outcome=st.sampled_from(RuleOutcome),
        forbid=st.sampled_from([PathRules(), PathRules(patterns=("*.py",)), PathRules(patterns=("!*",))]),
        require_approval=st.sampled_from(
            [PathRules(), PathRules(patterns=("*",)), PathRules(patterns=("!*",))]
        ),
    ),
)
def test_no_rule_of_a_trigger_kind_loosens_anything(path: str, verified: bool, rules: TriggerRules) -> None:
    severity = [Verdict.ALLOW, Verdict.NEED_APPROVAL, Verdict.DENY]
    policy = Policy(name="p", triggers=((TriggerKind.MANUAL, rules),))

    plain = decide(path, verified=verified, policy=Policy(name="p"))
    ruled = decide(path, verified=verified, policy=policy)
    assert severity.index(ruled.verdict) >= severity.index(plain.verdict)
    assert RISK_ORDER.index(ruled.effective_risk) >= RISK_ORDER.index(plain.effective_risk)


def test_a_secret_in_an_added_line_needs_a_person_or_is_refused() -> None:
    leak = write("a.py", b"token = 'ghp_" + b"a1B2" * 6 + b"'\n")
    changeset = Changeset.of([leak])
    plan = plan_change(changeset, workspace_id="ws_1", now=NOW, verification=[CHECK])
    strict = Policy(name="p", secrets=SecretRules(outcome=RuleOutcome.DENY))

    assert WriteGate(BUILT_IN).evaluate(plan, changeset, now=NOW).verdict is Verdict.NEED_APPROVAL
    denied = WriteGate(strict).evaluate(plan, changeset, now=NOW)
    assert denied.verdict is Verdict.DENY
    assert [rule.evidence for rule in denied.rules if rule.rule == "secrets"] == [("a.py:1: GitHub token",)]


hints = st.builds(
    Hint,
    hint_id=st.text(max_size=8),
    kind=st.text(max_size=8),
    message=st.text(max_size=20),
    evidence=st.lists(st.text(max_size=8), max_size=3).map(tuple),
)


@given(
    st.lists(hints, max_size=4), st.sampled_from(["a.py", "Makefile", ".git/config", "a.md"]), st.booleans()
)
def test_hints_add_reasons_and_never_change_the_verdict(
    given_hints: list[Hint], path: str, verified: bool
) -> None:
    plain = decide(path, verified=verified)
    hinted = decide(path, verified=verified, hints=tuple(given_hints))

    assert hinted.verdict is plain.verdict
    assert hinted.effective_risk is plain.effective_risk
    assert hinted.reflection_hints_used == tuple(hint.hint_id for hint in given_hints)
    assert [r for r in hinted.rules if not r.rule.startswith("hint:")] == list(plain.rules)
    assert all(r.outcome is RuleOutcome.PASS for r in hinted.rules if r.rule.startswith("hint:"))
