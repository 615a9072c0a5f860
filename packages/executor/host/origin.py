"""Who and what triggers an execution, read from the environment and the account."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from executor.host.environment import INSIDE, PARENT, WORKSPACE
from executor.models.execution import TriggerKind

# What agents set in the shells they open, and what to call them.
_AGENT_MARKS: Final = (
    ("CLAUDECODE", "claude-code"),
    ("CODEX_SANDBOX", "codex"),
    ("CODEX_THREAD_ID", "codex"),
    ("CURSOR_AGENT", "cursor"),
    ("GEMINI_CLI", "gemini-cli"),
    ("OPENCODE", "opencode"),
    ("AIDER_MODEL", "aider"),
)
_AGENT_NAMES: Final = ("EXECUTOR_AGENT", "AI_AGENT", "AGENT")
_SESSIONS: Final = ("EXECUTOR_SESSION", "CLAUDE_CODE_SESSION_ID", "CODEX_THREAD_ID", "CURSOR_TRACE_ID")
_CI_NAMES: Final = (
    ("GITHUB_ACTIONS", "github"),
    ("GITLAB_CI", "gitlab"),
    ("BUILDKITE", "buildkite"),
    ("CIRCLECI", "circleci"),
    ("JENKINS_URL", "jenkins"),
    ("TF_BUILD", "azure"),
    ("DRONE", "drone"),
    ("TRAVIS", "travis"),
)
_CI_SCHEDULES: Final = (
    ("GITHUB_EVENT_NAME", "schedule"),
    ("CI_PIPELINE_SOURCE", "schedule"),
    ("BUILDKITE_SOURCE", "schedule"),
    ("BUILD_REASON", "Schedule"),
    ("TRAVIS_EVENT_TYPE", "cron"),
    ("DRONE_BUILD_EVENT", "cron"),
)
_CI_RUN_IDS: Final = ("GITHUB_RUN_ID", "CI_PIPELINE_ID", "BUILDKITE_BUILD_ID", "BUILD_BUILDID", "BUILD_TAG")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an execution comes from. `parent` and `correlation` are inherited from an outer execution.

    `asking` is what the surroundings say, whatever was asked for: an agent, a schedule, else a person.
    `account` is the user everything here runs as.
    """

    trigger_kind: TriggerKind
    asking: TriggerKind
    actor: str
    account: str
    session: str | None
    run_id: str | None
    parent_execution_id: str | None
    correlation_id: str | None


def find_origin(
    environ: Mapping[str, str],
    *,
    workspace: str,
    trigger: str | None = None,
    parent: str | None = None,
    correlation: str | None = None,
    run_id: str | None = None,
) -> Origin:
    """What was asked for wins; then an outer execution of the same workspace; then agent, CI, person.

    Inherited ids hold only for the workspace they were given for (`EXECUTOR_WORKSPACE`); elsewhere, as in a
    test suite that uses Executor itself, they are ignored. A parent that is asked for brings its own
    correlation.
    """
    inherits = environ.get("EXECUTOR_WORKSPACE") == workspace
    if parent is None and inherits and correlation is None:
        parent = environ.get("EXECUTOR_PARENT_EXECUTION_ID")
        correlation = environ.get("EXECUTOR_CORRELATION_ID") if parent is None else None
    agent = find_agent(environ)
    ci = find_ci(environ)
    return Origin(
        trigger_kind=TriggerKind(trigger) if trigger else _trigger(environ, parent, agent, ci),
        asking=_trigger(environ, None, agent, ci),
        actor=_actor(agent, ci),
        account=account_name(),
        session=_first(environ, _SESSIONS),
        run_id=run_id or (_first(environ, _CI_RUN_IDS) if ci else None),
        parent_execution_id=parent,
        correlation_id=correlation,
    )


def outer_workspace(environ: Mapping[str, str], root: Path) -> str | None:
    """The workspace of the execution this runs inside, when it is another than `root`."""
    outer = environ.get(WORKSPACE)
    return outer if outer and environ.get(PARENT) and outer != str(root) else None


def find_agent(environ: Mapping[str, str]) -> str | None:
    """The name of the agent whose shell this is."""
    named = _first(environ, _AGENT_NAMES)
    if named:
        return named
    return next((name for mark, name in _AGENT_MARKS if environ.get(mark)), None)


def find_ci(environ: Mapping[str, str]) -> str | None:
    """The name of the continuous integration this runs in; `ci` for one that only says that it is one."""
    for mark, name in _CI_NAMES:
        if environ.get(mark):
            return name
    return "ci" if environ.get("CI", "").lower() in ("true", "1", "yes") else None


def approval_refusal(environ: Mapping[str, str], *, at_terminal: bool) -> str | None:
    """Why nobody can approve anything from here; None for a person at a terminal.

    Inside an execution of any workspace: what runs there is not the person who started it.
    """
    if environ.get(INSIDE) or environ.get(PARENT):
        return "this runs inside an execution, and an approval is a person's to give"
    agent = find_agent(environ)
    if agent is not None:
        return f"this is the shell of an agent ({agent}), and an approval is a person's to give"
    ci = find_ci(environ)
    if ci is not None:
        return f"this runs in continuous integration ({ci}), and an approval is a person's to give"
    if not at_terminal:
        return "an approval is given at a terminal, and standard input or standard error is none"
    return None


def _trigger(
    environ: Mapping[str, str], parent: str | None, agent: str | None, ci: str | None
) -> TriggerKind:
    if parent is not None:
        return TriggerKind.CHILD
    if agent is not None:
        return TriggerKind.AGENT
    if ci is not None and any(environ.get(name) == value for name, value in _CI_SCHEDULES):
        return TriggerKind.SCHEDULED
    return TriggerKind.MANUAL


def _actor(agent: str | None, ci: str | None) -> str:
    if agent is not None:
        return f"agent:{agent}"
    if ci is not None:
        return f"ci:{ci}"
    return account_name()


def account_name() -> str:
    """The user this process runs as."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a uid that has no name.
        return f"uid:{os.getuid()}"


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := environ.get(name))), None)
