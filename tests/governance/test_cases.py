"""What a policy says about a path, and cases it is tested with."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from executor.errors import InvalidPolicy
from executor.governance.cases import CaseResult, read_cases, try_cases
from executor.governance.explain import explain_path
from executor.governance.policy import BUILT_IN, Policy
from executor.governance.policy_file import read_policy
from executor.models.decision import RuleOutcome
from executor.models.execution import TriggerKind, Verdict

NOW = datetime(2026, 1, 2, tzinfo=UTC)
POLICY = read_policy(
    b"""
version: 1
forbid: ["/vendor/*", "!/vendor/ours.py"]
require_checks: [{paths: ["/migrations/"], checks: ["pytest -q tests/migrations"]}]
secrets: {ignore: ["/fixtures/"]}
triggers:
  agent: {require_approval: ["/billing/"], limits: {files: 1}}
  scheduled: {outcome: deny}
""",
    "p.yaml",
)


def rules(path: str, policy: Policy = POLICY) -> list[tuple[str, RuleOutcome, str | None]]:
    return [(rule.rule, rule.outcome, rule.pattern) for rule in explain_path(policy, path).rules]


def run(text: str, policy: Policy = POLICY) -> list[CaseResult]:
    return list(try_cases(policy, read_cases(text.encode(), "cases.yaml"), now=NOW))


def test_each_rule_that_says_something_about_a_path_is_named_with_its_pattern() -> None:
    assert ("forbidden-paths", RuleOutcome.DENY, "/vendor/*") in rules("vendor/x.py")
    assert ("forbidden-paths", RuleOutcome.PASS, "!/vendor/ours.py") in rules("vendor/ours.py")
    assert ("approval-paths", RuleOutcome.NEED_APPROVAL, "Makefile") in rules("sub/makefile")
    assert ("required-checks", RuleOutcome.PASS, "/migrations/") in rules("migrations/1.py")
    assert ("secrets", RuleOutcome.PASS, "/fixtures/") in rules("fixtures/key.pem")
    assert ("trigger-agent", RuleOutcome.NEED_APPROVAL, "/billing/") in rules("billing/a.py")
    assert ("trigger-scheduled", RuleOutcome.DENY, None) in rules("a.py")


@pytest.mark.parametrize(
    ("path", "verdict"),
    [
        (".git/config", Verdict.DENY),
        ("vendor/x.py", Verdict.DENY),
        ("conftest.py", Verdict.NEED_APPROVAL),
        ("billing/a.py", Verdict.ALLOW),
        ("README.md", Verdict.ALLOW),
    ],
)
def test_the_verdict_is_that_of_a_small_verified_change_by_a_person(path: str, verdict: Verdict) -> None:
    assert verdict is explain_path(POLICY, path).verdict


def test_cases_pass_when_verdict_and_rules_are_as_expected() -> None:
    results = run("""
version: 1
cases:
  - {paths: [src/a.py], expect: allow}
  - {paths: [src/a.py], checks: [], expect: need_approval, rules: [verification]}
  - {paths: [docs/a.md], checks: [], expect: allow}
  - {name: out of bounds, paths: [vendor/a.py], expect: deny, rules: [forbidden-paths]}
  - {paths: [migrations/1.py], expect: allow}
  - {paths: [migrations/1.py], checks: [pytest], expect: need_approval, rules: [required-checks]}
  - {trigger: agent, paths: [billing/a.py], expect: need_approval, rules: [trigger-agent]}
  - {trigger: agent, paths: [a.py, b.py], expect: need_approval}
  - {trigger: scheduled, paths: [a.md], expect: deny}
  - {changes: [{path: a.py, lines: 5001}], expect: need_approval, rules: [limits]}
  - {changes: [{path: a.bin, bytes: 5000001}], expect: need_approval, rules: [limits]}
  - {changes: [{path: a.py, operation: create, added: ["k = 'ghp_0123456789abcdefghij0123'"]}],
     expect: need_approval, rules: [secrets]}
  - {changes: [{path: fixtures/a.py, added: ["k = 'ghp_0123456789abcdefghij0123'"]}], expect: allow}
  - {changes: [{path: conftest.py, operation: delete}], expect: need_approval}
""")

    assert [(r.title, r.decision.verdict, r.objecting) for r in results if not r.passed] == []
    assert results[3].title == "out of bounds"


def test_a_case_fails_for_another_verdict_or_another_rule() -> None:
    wrong_verdict, wrong_rule = run("""
cases:
  - {paths: [a.py], expect: deny}
  - {paths: [conftest.py], expect: need_approval, rules: [limits]}
""", BUILT_IN)  # fmt: skip

    assert (wrong_verdict.passed, wrong_rule.passed) == (False, False)
    assert wrong_rule.objecting == ("approval-paths",)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("cases: []", 1),
        ("cases:\n  - expect: allow", 2),
        ("cases:\n  - {paths: [a], changes: [{path: b}], expect: allow}", 2),
        ("cases:\n  - paths: [a]\n    expect: maybe", 3),
        ("cases:\n  - expect: deny\n    paths: [../a]", 3),
        ("cases:\n  - expect: deny\n    paths: [a, a]", 3),
        ("cases:\n  - expect: deny\n    paths: [a]\n    checks: ['a && b']", 4),
        ("cases:\n  - expect: deny\n    paths: [a]\n    trigger: robot", 4),
    ],
)
def test_a_case_that_cannot_be_meant_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(InvalidPolicy, match=f"cases.yaml:{line}:"):
        run(text)


def test_every_trigger_kind_can_be_tried() -> None:
    kinds = "\n".join(f"  - {{trigger: {kind.value}, paths: [a.md], expect: allow}}" for kind in TriggerKind)

    assert all(result.passed for result in run("cases:\n" + kinds, BUILT_IN))
