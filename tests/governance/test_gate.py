"""The gate: which rule says what, and what a decision is bound to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.governance.gate import WriteGate
from executor.governance.policy import BUILT_IN, Limits, PathRules, Policy
from executor.models.change import Changeset, FileChange, Operation, sha256
from executor.models.decision import GovernanceDecision, RuleOutcome
from executor.models.execution import RiskLevel, Verdict
from executor.models.hint import Hint
from executor.models.plan import Check
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
    *paths: str, policy: Policy = BUILT_IN, verified: bool = True, hints: tuple[Hint, ...] = ()
) -> GovernanceDecision:
    changeset = Changeset.of([write(path) for path in paths])
    plan = plan_change(changeset, workspace_id="ws_1", now=NOW, verification=[CHECK] if verified else [])
    return WriteGate(policy).evaluate(plan, changeset, hints=hints, now=NOW)


def test_a_verified_change_of_code_is_allowed_and_every_rule_reports() -> None:
    decision = decide("src/a.py")

    assert decision.verdict is Verdict.ALLOW
    assert decision.reasons == ()
    assert [rule.rule for rule in decision.rules] == [
        "protected-paths",
        "forbidden-paths",
        "approval-paths",
        "limits",
        "verification",
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
