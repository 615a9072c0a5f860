"""Who and what triggers an execution."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from executor.host.origin import AGENTS, CIS, Agent, Ci, find_origin
from executor.models.execution import TriggerKind
from support.command import GOOD_PATCH, Repository

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


PAGE = (Path(__file__).parents[2] / "docs/origin.md").read_text("utf-8")
MARKS = [(agent, mark) for agent in AGENTS for mark in agent.marks]
SCHEDULES = [(ci, schedule) for ci in CIS for schedule in (*ci.schedules, None)]


def variables(*marks: tuple[str, str | None] | None) -> dict[str, str]:
    return {mark[0]: mark[1] or "1" for mark in marks if mark is not None}


@pytest.mark.parametrize(("agent", "mark"), MARKS, ids=lambda value: str(value[0]))
def test_each_mark_of_an_agent_is_enough(agent: Agent, mark: tuple[str, str | None]) -> None:
    """With the session and the model that its variables tell, and as the page says."""
    told = {**{name: f"s {name}" for name in agent.sessions}, **{name: f"m {name}" for name in agent.models}}

    origin = find_origin({**told, **variables(mark)}, workspace="/w")

    assert (TriggerKind.AGENT, f"agent:{agent.name}") == (origin.trigger_kind, origin.actor)
    if mark[0] not in told:
        assert (f"s {agent.sessions[0]}" if agent.sessions else None) == origin.session
    assert (f"m {agent.models[0]}" if agent.models else None) == origin.model
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `agent:{agent.name}` |"))
    shown = mark[0] if mark[1] is None else f"{mark[0]}={mark[1]}"
    assert [] == [name for name in (shown, *agent.sessions, *agent.models) if f"`{name}`" not in row]


@pytest.mark.parametrize(("ci", "schedule"), SCHEDULES, ids=lambda value: str(value and value[0]))
def test_each_ci_says_which_run_it_is_and_whether_a_clock_started_it(
    ci: Ci, schedule: tuple[str, str | None] | None
) -> None:
    environ = {**{name: f"r {name}" for name in ci.runs}, **variables(ci.mark, schedule)}

    origin = find_origin(environ, workspace="/w")

    kind = TriggerKind.MANUAL if schedule is None else TriggerKind.SCHEDULED
    assert (kind, f"ci:{ci.name}") == (origin.trigger_kind, origin.actor)
    assert environ[ci.runs[0]] == origin.run_id
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `ci:{ci.name}` |"))
    shown = [name if value is None else f"{name}={value}" for name, value in (ci.mark, *ci.schedules)]
    assert [] == [name for name in (*shown, *ci.runs) if f"`{name}`" not in row]


@pytest.mark.parametrize(
    ("environ", "actor"),
    [
        ({"AGENT": "amp", "CLAUDECODE": "1"}, "amp"),
        ({"CLAUDECODE": "1", "AI_AGENT": "claude-code_2-1-132_agent"}, "claude-code"),
        ({"COPILOT_AGENT": "1", "AI_AGENT": "github_copilot_vscode_agent"}, "copilot"),
        ({"AI_AGENT": "devin@1"}, "devin"),
        ({"AI_AGENT": "helper_2-0_agent"}, "helper"),
        ({"AI_AGENT": "openhands/1.2"}, "openhands"),
        ({"AGENT": "own bot\n\x1b[2J"}, "own-bot-2J"),
        ({"AI_AGENT": "x" * 500}, "x" * 64),
        ({"EXECUTOR_AGENT": "mine@2", "CLAUDECODE": "1", "AI_AGENT": "other"}, "mine-2"),
    ],
)
def test_the_name_of_an_agent(environ: dict[str, str], actor: str) -> None:
    """As somebody set it; else by its own mark; else as it says, without its version."""
    assert f"agent:{actor}" == find_origin(environ, workspace="/w").actor


def test_what_people_and_editors_set_makes_nobody_an_agent() -> None:
    names = "AIDER_MODEL GOOSE_PROVIDER COPILOT_MODEL REPL_ID CURSOR_TRACE_ID TERM_PROGRAM ANTHROPIC_MODEL"

    origin = find_origin(dict.fromkeys(names.split(), "x"), workspace="/w")

    assert (TriggerKind.MANUAL, None, None) == (origin.trigger_kind, origin.session, origin.model)


def test_what_is_set_for_executor_wins() -> None:
    own = {"EXECUTOR_AGENT": "a", "EXECUTOR_SESSION": "s", "EXECUTOR_MODEL": "m"}
    claude = {"CLAUDECODE": "1", "CLAUDE_CODE_SESSION_ID": "theirs", "ANTHROPIC_MODEL": "theirs"}

    origin = find_origin({**claude, **own}, workspace="/w")

    assert ("agent:a", "s", "m") == (origin.actor, origin.session, origin.model)


def test_an_execution_records_agent_session_and_model(tmp_path: Path) -> None:
    repository = Repository.calculator(tmp_path / "repository")
    environ = {"CLAUDECODE": "1", "CLAUDE_CODE_SESSION_ID": "0b5c", "ANTHROPIC_MODEL": "opus"}

    for command in (("--patch", "-"), ("--", "true")):
        ran = repository.run("run", "--json", *command, stdin=GOOD_PATCH, environ=environ)
        record = ran.json["execution"]
        shown = repository.run("show", record["execution_id"])

        assert ("agent", "agent:claude-code", "0b5c") == tuple(
            record[name] for name in ("trigger_kind", "actor", "session")
        )
        assert re.search(r"^model +opus *$", shown.out, re.MULTILINE)
