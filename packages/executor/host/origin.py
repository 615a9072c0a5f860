"""Who and what triggers an execution, read from the environment and the account."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from executor.host.environment import INSIDE, PARENT, WORKSPACE
from executor.models.execution import TriggerKind


class Agent(NamedTuple):
    """An agent, what it sets in the shells it opens, and which variables tell its session and its model.

    A mark without a value counts whatever its value is.
    """

    name: str
    marks: tuple[tuple[str, str | None], ...]
    sessions: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


class Ci(NamedTuple):
    """A continuous integration: what says that it is one, which run it is, and that a schedule started it."""

    name: str
    mark: tuple[str, str | None]
    runs: tuple[str, ...] = ()
    schedules: tuple[tuple[str, str | None], ...] = ()


# Session markers only: a variable that people set for themselves, or that an editor sets in every terminal, would
# take a person for an agent. The order counts where one agent sets another's mark, or runs inside another.
AGENTS: Final = (
    Agent(
        "amp",
        (("AGENT", "amp"), ("AMP_CURRENT_THREAD_ID", None)),
        ("AMP_CURRENT_THREAD_ID", "AGENT_THREAD_ID"),
    ),
    Agent(
        "codex",
        (
            *(("CODEX_THREAD_ID", None), ("CODEX_SANDBOX", None), ("CODEX_CI", None)),
            ("CODEX_SANDBOX_NETWORK_DISABLED", None),
        ),
        ("CODEX_THREAD_ID",),
    ),
    Agent("gemini-cli", (("GEMINI_CLI", None),), (), ("GEMINI_MODEL",)),
    Agent(
        "copilot",
        (
            *(("COPILOT_AGENT_SESSION_ID", None), ("COPILOT_AGENT_JOB_ID", None)),
            *(("COPILOT_CLI", None), ("COPILOT_AGENT", None)),
        ),
        ("COPILOT_AGENT_SESSION_ID", "COPILOT_AGENT_JOB_ID"),
        ("COPILOT_MODEL",),
    ),
    Agent("opencode", (("OPENCODE", None), ("OPENCODE_SESSION_ID", None)), ("OPENCODE_SESSION_ID",)),
    Agent(
        "cursor",
        (("CURSOR_AGENT", None), ("CURSOR_EXTENSION_HOST_ROLE", "agent-exec")),
        ("CURSOR_TRACE_ID",),
    ),
    Agent("goose", (("GOOSE_TERMINAL", None), ("AGENT", "goose")), ("AGENT_SESSION_ID",), ("GOOSE_MODEL",)),
    Agent("aider", (("OR_APP_NAME", "Aider"),), (), ("AIDER_MODEL",)),
    Agent("cline", (("CLINE_ACTIVE", None),)),
    Agent("roo-code", (("ROO_ACTIVE", None), ("ROO_CLI_RUNTIME", None))),
    Agent("windsurf", (("WINDSURF_CASCADE_TERMINAL", None),)),
    Agent("augment", (("AUGMENT_AGENT", None),)),
    Agent("qwen-code", (("QWEN_CODE", None),)),
    Agent("antigravity", (("ANTIGRAVITY_AGENT", None),)),
    Agent("crush", (("CRUSH", None),)),
    Agent("trae", (("TRAE_AI_SHELL_ID", None),)),
    Agent("pi", (("PI_CODING_AGENT", None),)),
    Agent(
        "claude-code",
        (("CLAUDECODE", None), ("CLAUDE_CODE_CHILD_SESSION", None)),
        ("CLAUDE_CODE_SESSION_ID",),
        ("ANTHROPIC_MODEL",),
    ),
)
OWN_NAME: Final = "EXECUTOR_AGENT"
OWN_SESSION: Final = "EXECUTOR_SESSION"
OWN_MODEL: Final = "EXECUTOR_MODEL"
# What any agent may set to its name.
GENERIC_NAMES: Final = ("AI_AGENT", "AGENT")
_VERSION: Final = re.compile(r"@.*|/\d.*|_\d[\d.-]*_agent$")
_NO_NAME: Final = re.compile(r"[^\w.+-]+")
_LONGEST: Final = 64

CIS: Final = (
    Ci("github", ("GITHUB_ACTIONS", None), ("GITHUB_RUN_ID",), (("GITHUB_EVENT_NAME", "schedule"),)),
    Ci("gitlab", ("GITLAB_CI", None), ("CI_PIPELINE_ID",), (("CI_PIPELINE_SOURCE", "schedule"),)),
    Ci("buildkite", ("BUILDKITE", None), ("BUILDKITE_BUILD_ID",), (("BUILDKITE_SOURCE", "schedule"),)),
    Ci("circleci", ("CIRCLECI", None), ("CIRCLE_WORKFLOW_ID", "CIRCLE_BUILD_NUM")),
    Ci("teamcity", ("TEAMCITY_VERSION", None), ("BUILD_NUMBER",)),
    Ci(
        "jenkins",
        ("JENKINS_URL", None),
        ("BUILD_TAG",),
        (("BUILD_CAUSE_TIMERTRIGGER", "true"), ("BUILD_CAUSE", "TIMERTRIGGER")),
    ),
    Ci("azure", ("TF_BUILD", None), ("BUILD_BUILDID",), (("BUILD_REASON", "Schedule"),)),
    Ci("bitbucket", ("BITBUCKET_BUILD_NUMBER", None), ("BITBUCKET_PIPELINE_UUID", "BITBUCKET_BUILD_NUMBER")),
    Ci("woodpecker", ("CI", "woodpecker"), ("CI_PIPELINE_NUMBER",), (("CI_PIPELINE_EVENT", "cron"),)),
    Ci("drone", ("DRONE", None), ("DRONE_BUILD_NUMBER",), (("DRONE_BUILD_EVENT", "cron"),)),
    Ci("travis", ("TRAVIS", None), ("TRAVIS_BUILD_ID",), (("TRAVIS_EVENT_TYPE", "cron"),)),
    Ci("appveyor", ("APPVEYOR", None), ("APPVEYOR_BUILD_ID",), (("APPVEYOR_SCHEDULED_BUILD", None),)),
    Ci("cirrus", ("CIRRUS_CI", None), ("CIRRUS_BUILD_ID",), (("CIRRUS_CRON", None),)),
    Ci("codebuild", ("CODEBUILD_BUILD_ID", None), ("CODEBUILD_BUILD_ID",)),
    Ci(
        "semaphore",
        ("SEMAPHORE", None),
        ("SEMAPHORE_WORKFLOW_ID",),
        (("SEMAPHORE_WORKFLOW_TRIGGERED_BY_SCHEDULE", "true"),),
    ),
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an execution comes from. `parent` and `correlation` are inherited from an outer execution.

    `asking` is what the surroundings say, whatever was asked for: an agent, a schedule, else a person.
    `account` is the user everything here runs as, `model` what an agent was told to think with.
    """

    trigger_kind: TriggerKind
    asking: TriggerKind
    actor: str
    account: str
    session: str | None
    run_id: str | None
    parent_execution_id: str | None
    correlation_id: str | None
    model: str | None = None


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
    agent, known = find_agent(environ), _known_agent(environ)
    ci, service = find_ci(environ), _known_ci(environ)
    return Origin(
        trigger_kind=TriggerKind(trigger) if trigger else _trigger(environ, parent, agent, service),
        asking=_trigger(environ, None, agent, service),
        actor=_actor(agent, ci),
        account=account_name(),
        session=_first(environ, (OWN_SESSION, *(known.sessions if known else ()))),
        run_id=run_id or (_first(environ, service.runs) if service else None),
        parent_execution_id=parent,
        correlation_id=correlation,
        model=_first(environ, (OWN_MODEL, *(known.models if known else ()))),
    )


def outer_workspace(environ: Mapping[str, str], root: Path) -> str | None:
    """The workspace of the execution this runs inside, when it is another than `root`."""
    outer = environ.get(WORKSPACE)
    return outer if outer and environ.get(PARENT) and outer != str(root) else None


def find_agent(environ: Mapping[str, str]) -> str | None:
    """The name of the agent whose shell this is: as somebody set it, else as its own mark says, else as it says."""
    named = environ.get(OWN_NAME)
    if named:
        return _name(named)
    known = _known_agent(environ)
    if known is not None:
        return known.name
    generic = _first(environ, GENERIC_NAMES)
    return _name(_VERSION.sub("", generic) or generic) if generic else None


def _name(text: str) -> str:
    return _NO_NAME.sub("-", text.strip())[:_LONGEST]


def _known_agent(environ: Mapping[str, str]) -> Agent | None:
    return next((agent for agent in AGENTS if any(_says(environ, mark) for mark in agent.marks)), None)


def find_ci(environ: Mapping[str, str]) -> str | None:
    """The name of the continuous integration this runs in; `ci` for one that only says that it is one."""
    known = _known_ci(environ)
    if known is not None:
        return known.name
    return "ci" if environ.get("CI", "").lower() in ("true", "1", "yes") else None


def _known_ci(environ: Mapping[str, str]) -> Ci | None:
    return next((ci for ci in CIS if _says(environ, ci.mark)), None)


def _says(environ: Mapping[str, str], mark: tuple[str, str | None]) -> bool:
    name, value = mark
    found = environ.get(name)
    return bool(found) and value in (None, found)


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


def _trigger(environ: Mapping[str, str], parent: str | None, agent: str | None, ci: Ci | None) -> TriggerKind:
    if parent is not None:
        return TriggerKind.CHILD
    if agent is not None:
        return TriggerKind.AGENT
    if ci is not None and any(_says(environ, schedule) for schedule in ci.schedules):
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
