"""The write gate: policy, plan and changeset in, decision out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Final

from executor.changes.kinds import is_prose
from executor.changes.paths import is_protected
from executor.governance.approvals import may_approve_own
from executor.governance.policy import DECIDES_WHAT_RUNS, Limits, PathRules, Policy, TriggerRules
from executor.governance.secrets import find_secrets
from executor.models.change import Changeset
from executor.models.command_line import split_command
from executor.models.decision import BaseFile, GovernanceDecision, RuleOutcome, RuleResult
from executor.models.execution import RiskLevel, TriggerKind, Verdict
from executor.models.hint import Hint, hints_digest
from executor.models.ids import new_id
from executor.models.plan import ChangePlan, DriftRule
from executor.models.risk import highest
from executor.models.times import format_time

_SEVERITY: Final = {RuleOutcome.PASS: 0, RuleOutcome.NEED_APPROVAL: 1, RuleOutcome.DENY: 2}
_VERDICTS: Final = {
    RuleOutcome.PASS: Verdict.ALLOW,
    RuleOutcome.NEED_APPROVAL: Verdict.NEED_APPROVAL,
    RuleOutcome.DENY: Verdict.DENY,
}


_SECRETS_SHOWN: Final = 20


class WriteGate:
    """Judges changes by one policy."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def evaluate(
        self, plan: ChangePlan, changeset: Changeset, *, hints: Sequence[Hint] = (), now: datetime
    ) -> GovernanceDecision:
        """The decision about `changeset` under `plan`.

        Every rule reports, also those that pass. Hints add reasons to the record and never change the
        verdict. The decision binds workspace, plan, checksum and policy, and the files it was made for.
        """
        rules = tuple(self._rules(plan, changeset))
        worst = max((rule.outcome for rule in rules), key=_SEVERITY.__getitem__)
        raised = RiskLevel.HIGH if worst is not RuleOutcome.PASS else RiskLevel.LOW
        return GovernanceDecision(
            decision_id=new_id("dec"),
            workspace_id=plan.workspace_id,
            plan_id=plan.plan_id,
            changeset_id=changeset.changeset_id,
            changeset_checksum=changeset.checksum,
            policy_name=self.policy.name,
            policy_hash=self.policy.digest,
            verdict=_VERDICTS[worst],
            proposed_risk=plan.proposed_risk,
            effective_risk=highest((plan.proposed_risk, raised)),
            rules=rules + tuple(_hint_rule(hint) for hint in hints),
            base=tuple(
                BaseFile(path=c.path, kind="absent" if c.old_sha256 is None else "file", sha256=c.old_sha256)
                for c in changeset.changes
            ),
            decided_at=format_time(now),
            reflection_hints_used=tuple(hint.hint_id for hint in hints),
            hints_digest=hints_digest(hints),
            own_approval=may_approve_own(plan.trigger_kinds, self.policy.approvals),
            approval_hours=self.policy.approvals.hours,
        )

    def _rules(self, plan: ChangePlan, changeset: Changeset) -> Iterator[RuleResult]:
        yield self._protected(changeset)
        yield self._forbidden(changeset)
        yield self._approval(changeset)
        yield self._checks(plan, changeset)
        yield self._limits(changeset)
        yield self._secrets(changeset)
        yield self._verification(plan, changeset)
        yield self._drift(plan)
        yield self._risk(plan)
        for kind, rules in self.policy.rules_for(plan.trigger_kinds):
            yield _trigger(kind, rules, changeset)

    def _protected(self, changeset: Changeset) -> RuleResult:
        """No policy can turn this rule off."""
        found = [(path, why) for path in changeset.paths if (why := is_protected(path)) is not None]
        return _result(
            "protected-paths",
            RuleOutcome.DENY if found else RuleOutcome.PASS,
            "writes where nothing may be written",
            [f"{path}: {why}" for path, why in found],
        )

    def _forbidden(self, changeset: Changeset) -> RuleResult:
        found = _matches(self.policy.forbid, changeset)
        return _result(
            "forbidden-paths",
            RuleOutcome.DENY if found else RuleOutcome.PASS,
            "touches paths the policy forbids",
            found,
        )

    def _approval(self, changeset: Changeset) -> RuleResult:
        found = _matches(self.policy.require_approval, changeset)
        listed = all(line.rpartition(": ")[2] in DECIDES_WHAT_RUNS for line in found)
        return _result(
            "approval-paths",
            RuleOutcome.NEED_APPROVAL if found else RuleOutcome.PASS,
            "touches files that decide what runs"
            if listed
            else "touches paths that need approval by the policy",
            found,
        )

    def _checks(self, plan: ChangePlan, changeset: Changeset) -> RuleResult:
        """A check counts by what it runs: a name can be given to anything."""
        wanted = self.policy.checks_for(changeset.paths)
        planned = {check.argv for check in plan.verification if not check.shell}
        missing = [command for command in wanted if split_command(command) not in planned]
        return _result(
            "required-checks",
            RuleOutcome.NEED_APPROVAL if missing else RuleOutcome.PASS,
            "lacks checks the policy requires for its paths",
            missing or wanted,
        )

    def _limits(self, changeset: Changeset) -> RuleResult:
        over = _over(self.policy.limits, changeset)
        return _result(
            "limits",
            RuleOutcome.NEED_APPROVAL if over else RuleOutcome.PASS,
            "is larger than the policy allows",
            over,
        )

    def _secrets(self, changeset: Changeset) -> RuleResult:
        found = list(islice(find_secrets(changeset, self.policy.secrets), _SECRETS_SHOWN))
        return _result(
            "secrets",
            self.policy.secrets.outcome if found else RuleOutcome.PASS,
            "adds what looks like a secret",
            found,
        )

    def _verification(self, plan: ChangePlan, changeset: Changeset) -> RuleResult:
        code = [path for path in changeset.paths if not is_prose(path)]
        unverified = code if not plan.verification else [path for path in plan.unverified if path in code]
        missing = self.policy.require_verification and unverified
        return _result(
            "verification",
            RuleOutcome.NEED_APPROVAL if missing else RuleOutcome.PASS,
            "changes code and nothing verifies it; name a check with --verify",
            unverified if missing else [check.name for check in plan.verification],
        )

    def _drift(self, plan: ChangePlan) -> RuleResult:
        lax = plan.drift is DriftRule.WARN and self.policy.drift is DriftRule.FAIL
        return _result(
            "drift",
            RuleOutcome.NEED_APPROVAL if lax else RuleOutcome.PASS,
            "lets its checks change files, and the policy does not",
            [plan.drift.value],
        )

    def _risk(self, plan: ChangePlan) -> RuleResult:
        critical = plan.proposed_risk is RiskLevel.CRITICAL
        return _result(
            "risk",
            RuleOutcome.NEED_APPROVAL if critical else RuleOutcome.PASS,
            "its risk is critical",
            [f"{reason.level}: {reason.reason}" for reason in plan.risk_reasons],
        )


def _trigger(kind: TriggerKind, rules: TriggerRules, changeset: Changeset) -> RuleResult:
    """All that holds in addition for one trigger kind, as one rule."""
    forbidden = _matches(rules.forbid, changeset)
    asked = [*_matches(rules.require_approval, changeset), *_over(rules.limits, changeset)]
    found = [
        rules.outcome,
        RuleOutcome.DENY if forbidden else RuleOutcome.PASS,
        RuleOutcome.NEED_APPROVAL if asked else RuleOutcome.PASS,
    ]
    return _result(
        f"trigger-{kind.value}",
        max(found, key=_SEVERITY.__getitem__),
        f"is beyond what the policy lets pass for the trigger kind {kind.value}",
        [*forbidden, *asked],
    )


def _matches(rules: PathRules, changeset: Changeset) -> list[str]:
    return [f"{path}: {rule}" for path in changeset.paths if (rule := rules.match(path)) is not None]


def _over(limits: Limits, changeset: Changeset) -> list[str]:
    measured = (
        ("files", len(changeset.changes), limits.files),
        ("lines", changeset.lines_added + changeset.lines_removed, limits.lines),
        ("bytes", sum(len(c.content or b"") for c in changeset.changes), limits.bytes),
    )
    return [
        f"{value} {name}, limit {limit}"
        for name, value, limit in measured
        if limit is not None and value > limit
    ]


def _result(rule: str, outcome: RuleOutcome, reason: str, evidence: Sequence[str]) -> RuleResult:
    """A rule that passes needs no reason; its evidence stays."""
    return RuleResult(
        rule=rule,
        outcome=outcome,
        reason="" if outcome is RuleOutcome.PASS else reason,
        evidence=tuple(evidence),
    )


def _hint_rule(hint: Hint) -> RuleResult:
    return RuleResult(
        rule=f"hint:{hint.kind}", outcome=RuleOutcome.PASS, reason=hint.message, evidence=hint.evidence
    )
