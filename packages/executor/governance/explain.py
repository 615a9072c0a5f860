"""Which rule of a policy says what about one path, before there is any change."""

from __future__ import annotations

from dataclasses import dataclass

from executor.changes.kinds import is_prose
from executor.changes.paths import is_protected
from executor.governance.policy import DECIDES_WHAT_RUNS, PathRules, Policy
from executor.models.decision import RuleOutcome
from executor.models.execution import TriggerKind, Verdict


@dataclass(frozen=True, slots=True)
class PathRule:
    """What one rule says about a path. `pattern` is the one that decides; `trigger_kind` None means always."""

    rule: str
    outcome: RuleOutcome
    sentence: str
    pattern: str | None = None
    trigger_kind: TriggerKind | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """All a policy says about one path. `verdict` is that of a small, verified manual change of it."""

    path: str
    verdict: Verdict
    rules: tuple[PathRule, ...]


def explain_path(policy: Policy, path: str) -> Explanation:
    rules = tuple(_rules(policy, path))
    outcomes = {rule.outcome for rule in rules if rule.trigger_kind in (None, TriggerKind.MANUAL)}
    if RuleOutcome.DENY in outcomes:
        verdict = Verdict.DENY
    elif RuleOutcome.NEED_APPROVAL in outcomes:
        verdict = Verdict.NEED_APPROVAL
    else:
        verdict = Verdict.ALLOW
    return Explanation(path, verdict, rules)


def _rules(policy: Policy, path: str) -> list[PathRule]:
    found: list[PathRule] = []
    protected = is_protected(path)
    if protected is not None:
        found.append(PathRule("protected-paths", RuleOutcome.DENY, f"never written: {protected}"))
    found += _listed("forbidden-paths", RuleOutcome.DENY, policy.forbid, path)
    found += _listed("approval-paths", RuleOutcome.NEED_APPROVAL, policy.require_approval, path)
    for required in policy.require_checks:
        pattern = required.paths.match(path)
        if pattern is not None:
            checks = ", ".join(required.checks)
            found.append(PathRule("required-checks", RuleOutcome.PASS, f"has to pass {checks}", pattern))
    ignored = policy.secrets.ignore.match(path)
    if ignored is not None:
        found.append(PathRule("secrets", RuleOutcome.PASS, "is not searched for secrets", ignored))
    if is_prose(path):
        found.append(PathRule("verification", RuleOutcome.PASS, "is prose: needs no check"))
    elif policy.require_verification:
        found.append(PathRule("verification", RuleOutcome.PASS, "is code: without a check a person decides"))
    for kind, rules in policy.triggers:
        if rules.outcome is not RuleOutcome.PASS:
            found.append(PathRule(f"trigger-{kind.value}", rules.outcome, "every path", trigger_kind=kind))
        name = f"trigger-{kind.value}"
        found += _listed(name, RuleOutcome.DENY, rules.forbid, path, kind)
        found += _listed(name, RuleOutcome.NEED_APPROVAL, rules.require_approval, path, kind)
    return found


def _listed(
    name: str, outcome: RuleOutcome, rules: PathRules, path: str, kind: TriggerKind | None = None
) -> list[PathRule]:
    decided = rules.decide(path)
    if decided is None:
        return []
    meant, pattern = decided
    if not meant:
        return [PathRule(name, RuleOutcome.PASS, "taken back", pattern, kind)]
    sentence = "forbidden" if outcome is RuleOutcome.DENY else "needs approval"
    if pattern in DECIDES_WHAT_RUNS:
        sentence += ": it decides what runs"
    return [PathRule(name, outcome, sentence, pattern, kind)]
