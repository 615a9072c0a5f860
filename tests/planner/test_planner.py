"""The plan of a change: title, scope, risk with reasons, checks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from executor.errors import InvalidSettings
from executor.models.change import Changeset, FileChange, Operation, sha256
from executor.models.execution import RiskLevel, TriggerKind
from executor.models.hint import Hint
from executor.planner.commands import read_check
from executor.planner.planner import plan_change, with_required

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def create(path: str, content: bytes = b"x\n", *, mode: int = 0o644) -> FileChange:
    return FileChange(
        operation=Operation.CREATE,
        path=path,
        new_sha256=sha256(content),
        new_mode=mode,
        content=content,
        lines_added=content.count(b"\n"),
    )


def delete(path: str, *, lines: int = 1) -> FileChange:
    return FileChange(
        operation=Operation.DELETE, path=path, old_sha256=sha256(b"x"), old_mode=0o644, lines_removed=lines
    )


def reasons(*changes: FileChange, verify: str | None = "make test") -> dict[str, RiskLevel]:
    checks = [read_check(verify)] if verify else []
    plan = plan_change(Changeset.of(changes), workspace_id="ws_1", now=NOW, verification=checks)
    return {reason.reason: reason.level for reason in plan.risk_reasons}


def test_a_small_verified_change_of_code_is_low_risk() -> None:
    plan = plan_change(
        Changeset.of([create("src/a.py")]),
        workspace_id="ws_1",
        now=NOW,
        verification=[read_check("pytest -q")],
    )

    assert plan.proposed_risk is RiskLevel.LOW
    assert plan.risk_reasons == ()
    assert plan.scope == ("src/a.py",)
    assert plan.created_at == "2026-01-02T03:04:05.000000Z"


@pytest.mark.parametrize(
    ("changes", "reason", "level"),
    [
        ([delete("a.py")], "deletes files", RiskLevel.MEDIUM),
        ([create("requirements-dev.txt")], "changes dependencies or the build", RiskLevel.MEDIUM),
        ([create("bin/tool", mode=0o755)], "makes files executable", RiskLevel.MEDIUM),
        ([delete("tests/test_a.py")], "takes away more test lines than it adds", RiskLevel.MEDIUM),
        ([create(f"f{i}.py") for i in range(21)], "touches many files", RiskLevel.MEDIUM),
        ([create("a.py", b"x\n" * 501)], "changes many lines", RiskLevel.MEDIUM),
    ],
)
def test_each_reason_for_risk_is_found(changes: list[FileChange], reason: str, level: RiskLevel) -> None:
    assert reasons(*changes)[reason] is level


def test_code_that_nothing_verifies_is_high_risk_and_prose_is_not() -> None:
    assert reasons(create("a.py"), verify=None) == {"no check verifies this change": RiskLevel.HIGH}
    assert reasons(create("docs/a.md"), verify=None) == {}
    assert "no check verifies this change" in reasons(create("requirements.txt"), verify=None)


def test_code_that_no_check_covers_is_high_risk_beside_code_that_one_does() -> None:
    plan = plan_change(
        Changeset.of([create("a.py"), create("b.c")]),
        workspace_id="w",
        now=NOW,
        verification=[read_check("pytest")],
        unverified=["b.c"],
    )

    assert [(r.level, r.evidence) for r in plan.risk_reasons] == [(RiskLevel.HIGH, "b.c")]


def test_a_hint_can_raise_the_risk_and_never_lower_it() -> None:
    def risk(*levels: RiskLevel | None) -> RiskLevel:
        hints = [Hint(hint_id="h", kind="seen_before", message="it failed", risk=level) for level in levels]
        changeset = Changeset.of([delete("a.py")])
        return plan_change(
            changeset, workspace_id="w", now=NOW, verification=[read_check("x")], hints=hints
        ).proposed_risk

    assert [risk(), risk(None), risk(RiskLevel.LOW)] == [RiskLevel.MEDIUM] * 3
    assert risk(RiskLevel.LOW, RiskLevel.CRITICAL) is RiskLevel.CRITICAL


def test_required_checks_are_added_unless_they_are_planned_already() -> None:
    planned = [read_check("make lint"), read_check("pytest")]

    checks = with_required(planned, ["make  lint", "make docs"], timeout_seconds=7, environment=["A"])
    assert [check.name for check in checks] == ["make lint", "pytest", "make docs"]
    assert (checks[2].timeout_seconds, checks[2].environment) == (7, ("A",))
    assert checks[2].reason == "the policy requires it"


def test_a_plan_is_judged_as_each_kind_once_its_own_first() -> None:
    plan = plan_change(
        Changeset.of([create("a.md")]),
        workspace_id="w",
        now=NOW,
        trigger_kind=TriggerKind.RETRY,
        judged_as=[TriggerKind.MANUAL, TriggerKind.RETRY, TriggerKind.AGENT, TriggerKind.MANUAL],
    )

    assert plan.trigger_kinds == (TriggerKind.RETRY, TriggerKind.MANUAL, TriggerKind.AGENT)


def test_a_change_without_title_is_named_after_its_files() -> None:
    def title(*changes: FileChange) -> str:
        return plan_change(Changeset.of(changes), workspace_id="w", now=NOW).title

    assert title(create("src/a.py")) == "Add a.py"
    assert title(delete("a.py"), delete("b.py")) == "Delete a.py and b.py"
    assert title(create("a"), delete("b"), create("c"), create("d")) == "Change a, b and 2 more files"


def test_a_check_is_split_into_words_without_a_shell() -> None:
    check = read_check("pytest -q -k 'a or b'", timeout_seconds=5, environment=["TOKEN"])

    assert check.argv == ("pytest", "-q", "-k", "a or b")
    assert check.timeout_seconds == 5
    assert check.environment == ("TOKEN",)


@pytest.mark.parametrize("command", ["a | b", "a && b", "a; b", "a > f", "a &", "(a)"])
def test_an_operator_no_shell_will_see_is_refused_with_the_way_to_ask_for_a_shell(command: str) -> None:
    with pytest.raises(InvalidSettings, match="sh -c"):
        read_check(command)


@pytest.mark.parametrize("command", ["grep '|' f", 'grep ">" f', "echo 'a;b'"])
def test_a_quoted_operator_is_a_word(command: str) -> None:
    assert len(read_check(command).argv) >= 2


@pytest.mark.parametrize("command", ["", "  ", "echo 'open"])
def test_a_command_that_is_none_is_refused(command: str) -> None:
    with pytest.raises(InvalidSettings):
        read_check(command)
