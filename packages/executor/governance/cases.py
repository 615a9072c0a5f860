"""Cases a policy is tested with: changes as they could come, and the verdict they should get."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from executor.changes.paths import canonical_path
from executor.errors import InvalidSettings, UnsafePath
from executor.governance.document import Document
from executor.governance.gate import WriteGate
from executor.governance.policy import Policy
from executor.models.change import Changeset, FileChange, Operation, sha256
from executor.models.command_line import split_command
from executor.models.decision import GovernanceDecision, RuleOutcome
from executor.models.execution import RiskLevel, TriggerKind, Verdict
from executor.models.plan import ChangePlan, Check
from executor.models.times import format_time

_SOME_CHECK: Final = "true"


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class ChangeCase(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One changed file."""

    path: str
    operation: Operation = Operation.UPDATE
    added: Annotated[tuple[str, ...], Meta(description="Text of the lines that are new.")] = ()
    lines: Annotated[int, Meta(ge=0, description="Lines added and removed, if more than `added`.")] = 0
    bytes: Annotated[int, Meta(ge=0, le=100_000_000, description="Size of the file afterwards.")] = 0


class PolicyCase(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change and the verdict it should get. Either `paths` or `changes` is given."""

    expect: Verdict
    name: str | None = None
    paths: tuple[str, ...] = ()
    changes: tuple[ChangeCase, ...] = ()
    trigger: TriggerKind = TriggerKind.MANUAL
    checks: Annotated[
        tuple[str, ...] | None,
        Meta(description="What verifies the change; some check when left out, [] for none."),
    ] = None
    rules: Annotated[
        tuple[str, ...] | None, Meta(description="The rules that object, when it matters which.")
    ] = None


class CasesFile(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cases for `executor policy test`."""

    version: Literal[1] = 1
    cases: Annotated[tuple[PolicyCase, ...], Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one case came out. `objecting` names the rules that object."""

    case: PolicyCase
    title: str
    decision: GovernanceDecision
    objecting: tuple[str, ...]

    @property
    def passed(self) -> bool:
        wanted = self.case.rules
        return self.decision.verdict is self.case.expect and (
            wanted is None or sorted(wanted) == sorted(self.objecting)
        )


def cases_schema() -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Executor policy cases",
        **msgspec.json.schema(CasesFile),
    }


def read_cases(data: bytes, source: str) -> tuple[PolicyCase, ...]:
    """Raises InvalidPolicy naming the line."""
    document = Document(data, source)
    cases = document.convert(CasesFile).cases
    for index, case in enumerate(cases):
        place = ("cases", index)
        if bool(case.paths) == bool(case.changes):
            raise document.error("a case has either paths or changes", place)
        for key, paths in (("paths", case.paths), ("changes", tuple(c.path for c in case.changes))):
            for position, path in enumerate(paths):
                try:
                    canonical_path(path)
                except UnsafePath as cause:
                    raise document.error(str(cause), (*place, key, position)) from cause
            if len(set(paths)) < len(paths):
                raise document.error("a path is given twice", (*place, key))
        for position, command in enumerate(case.checks or ()):
            try:
                split_command(command)
            except InvalidSettings as cause:
                raise document.error(str(cause), (*place, "checks", position)) from cause
    return cases


def try_cases(policy: Policy, cases: tuple[PolicyCase, ...], *, now: datetime) -> Iterator[CaseResult]:
    gate = WriteGate(policy)
    for case in cases:
        changes = case.changes or tuple(ChangeCase(path=path) for path in case.paths)
        changeset = Changeset.of([_change(change) for change in changes])
        decision = gate.evaluate(_plan(case, changeset, policy, now), changeset, now=now)
        objecting = tuple(r.rule for r in decision.rules if r.outcome is not RuleOutcome.PASS)
        title = case.name or f"{case.trigger.value}: {', '.join(changeset.paths)}"
        yield CaseResult(case, title, decision, objecting)


def _change(case: ChangeCase) -> FileChange:
    old = sha256(b"old") if case.operation is not Operation.CREATE else None
    lines = max(case.lines, len(case.added))
    if case.operation is Operation.DELETE:
        return FileChange(
            operation=case.operation, path=case.path, old_sha256=old, old_mode=0o644, lines_removed=lines
        )
    text = "".join(f"{line}\n" for line in case.added).encode()
    content = text + b"\n" * max(0, case.bytes - len(text))
    return FileChange(
        operation=case.operation,
        path=case.path,
        old_sha256=old,
        old_mode=None if old is None else 0o644,
        new_sha256=sha256(content),
        new_mode=0o644,
        content=content,
        lines_added=lines,
        added_lines=((1, len(case.added)),) if case.added else (),
    )


def _plan(case: PolicyCase, changeset: Changeset, policy: Policy, now: datetime) -> ChangePlan:
    # As the planner does, what the policy requires is added, unless the case says which checks there are.
    commands = case.checks
    if commands is None:
        commands = policy.checks_for(changeset.paths) or (_SOME_CHECK,)
    return ChangePlan(
        plan_id="plan_case",
        workspace_id="ws_case",
        changeset_id=changeset.changeset_id,
        trigger_kind=case.trigger,
        title=case.name or "",
        why=None,
        scope=tuple(changeset.paths),
        proposed_risk=RiskLevel.LOW,
        risk_reasons=(),
        verification=tuple(Check(name=command, argv=split_command(command)) for command in commands),
        health_checks=(),
        rollback="",
        drift=policy.drift,
        created_at=format_time(now),
    )
