"""Who and what triggers an execution."""

from __future__ import annotations

import pytest

from executor.host.origin import find_origin
from executor.models.execution import TriggerKind

INHERITED = {
    "EXECUTOR_WORKSPACE": "/w",
    "EXECUTOR_PARENT_EXECUTION_ID": "exec_outer",
    "EXECUTOR_CORRELATION_ID": "corr",
}


@pytest.mark.parametrize(
    ("environ", "kind", "actor"),
    [
        ({"CLAUDECODE": "1"}, TriggerKind.AGENT, "agent:claude-code"),
        ({"EXECUTOR_AGENT": "fixer"}, TriggerKind.AGENT, "agent:fixer"),
        ({"GITHUB_ACTIONS": "true"}, TriggerKind.MANUAL, "ci:github"),
        ({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "schedule"}, TriggerKind.SCHEDULED, "ci:github"),
        ({"GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "schedule"}, TriggerKind.SCHEDULED, "ci:gitlab"),
        ({"CI": "true"}, TriggerKind.MANUAL, "ci:ci"),
        ({"GITHUB_ACTIONS": "true", "CLAUDECODE": "1"}, TriggerKind.AGENT, "agent:claude-code"),
    ],
)
def test_agent_and_ci_are_recognised_by_their_variables(
    environ: dict[str, str], kind: TriggerKind, actor: str
) -> None:
    origin = find_origin(environ, workspace="/w")

    assert (origin.trigger_kind, origin.actor) == (kind, actor)


def test_a_person_acts_manually_under_the_name_of_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "operator")

    origin = find_origin({}, workspace="/w")

    assert (origin.trigger_kind, origin.actor) == (TriggerKind.MANUAL, "operator")


def test_an_execution_inside_another_is_its_child() -> None:
    origin = find_origin(INHERITED, workspace="/w")

    assert origin.trigger_kind is TriggerKind.CHILD
    assert origin.parent_execution_id == "exec_outer"
    assert origin.correlation_id is None


def test_what_was_inherited_for_another_workspace_is_ignored() -> None:
    origin = find_origin(INHERITED, workspace="/elsewhere")

    assert (origin.parent_execution_id, origin.correlation_id) == (None, None)
    assert origin.trigger_kind is TriggerKind.MANUAL


def test_a_parent_that_is_asked_for_beats_the_inherited_one() -> None:
    origin = find_origin(INHERITED, workspace="/w", trigger="retry", parent="exec_failed")

    assert (origin.trigger_kind, origin.parent_execution_id) == (TriggerKind.RETRY, "exec_failed")
    assert origin.correlation_id is None


def test_run_and_session_come_from_ci_and_agent_unless_given() -> None:
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "77", "EXECUTOR_SESSION": "s1"}

    assert find_origin(environ, workspace="/w").run_id == "77"
    assert find_origin(environ, workspace="/w").session == "s1"
    assert find_origin(environ, workspace="/w", run_id="mine").run_id == "mine"
