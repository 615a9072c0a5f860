"""The plan: what is going to happen to a changeset, and why."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from executor.models.execution import RiskLevel, TriggerKind

DEFAULT_TIMEOUT_SECONDS: Final = 900.0


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A command that must exit with 0.

    `argv` runs as it is; with `shell` set, its single item is given to `/bin/sh -c`. `reason` says why the
    planner chose it; it is empty when somebody named it. `reports` are files of the workspace to which it
    writes how its tests came out, in JUnit's XML.
    """

    name: str
    argv: tuple[str, ...]
    shell: bool = False
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    environment: tuple[str, ...] = ()
    reason: str = ""
    reports: tuple[str, ...] = ()


class CapturedCommand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A command whose changes are the change, and what was asked for around it, so that it can be run again.

    `masked` says that a secret of the command line is not kept. `checks` are command lines that were named; when
    there are none and `find_checks` is set, the planner finds them. `transcript` is the whole path of a file that
    the command leaves. The rest is what every check has in common.
    """

    argv: tuple[str, ...]
    timeout_seconds: float
    masked: bool = False
    checks: tuple[str, ...] = ()
    find_checks: bool = True
    check_timeout_seconds: float | None = None
    environment: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    transcript: str | None = None


class HealthKind(StrEnum):
    """What a health check looks at."""

    HTTP = "http"
    TCP = "tcp"
    PROCESS = "process"
    COMMAND = "command"


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A look at a running service after a change was verified.

    `target` is the URL, HOST:PORT, name of a process or command line; `argv` is the command. An answer is well
    with one of `status` (2xx when empty) and a body in which the regular expression `body` is found; redirects
    are followed to the same host and to `hosts`. A try takes `timeout_seconds` at most, all tries together
    `deadline_seconds`. A check that is not `critical` warns.
    """

    name: str
    kind: HealthKind
    target: str
    argv: tuple[str, ...] = ()
    status: tuple[int, ...] = ()
    body: str | None = None
    hosts: tuple[str, ...] = ()
    critical: bool = True
    retries: int = 0
    interval_seconds: float = 1.0
    timeout_seconds: float = 5.0
    deadline_seconds: float = 60.0
    environment: tuple[str, ...] = ()

    @property
    def asks(self) -> tuple[str, ...]:
        """What somebody who approves it approves."""
        return self.argv or (self.kind.value, self.target)


class RiskReason(msgspec.Struct, frozen=True, kw_only=True):
    """One reason for a risk level: the level it asks for, and what was seen."""

    level: RiskLevel
    reason: str
    evidence: str = ""


class DriftRule(StrEnum):
    """What happens when a check changes files that existed before it."""

    FAIL = "fail"
    WARN = "warn"


class ChangePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Scope, risk, checks and the way back for one changeset in one workspace.

    `judged_as` are trigger kinds whose rules hold beside those of `trigger_kind`: who really asks, and what
    a retry repeats. `proposed_by` is the account under which the change was proposed, also by an agent.
    `unverified` names code that no check of the plan is known to cover. `command` made the change; while it
    runs, scope and checks are empty. With `isolate` the checks have to pass in a scratch copy first.
    `transcript_url` is where somebody can read what an agent said while it made the change, and
    `model` what it was told to think with.
    """

    plan_id: str
    workspace_id: str
    changeset_id: str
    trigger_kind: TriggerKind
    title: str
    why: str | None
    scope: tuple[str, ...]
    proposed_risk: RiskLevel
    risk_reasons: tuple[RiskReason, ...]
    verification: tuple[Check, ...]
    health_checks: tuple[HealthCheck, ...]
    rollback: str
    drift: DriftRule
    created_at: str
    judged_as: tuple[TriggerKind, ...] = ()
    proposed_by: str | None = None
    unverified: tuple[str, ...] = ()
    command: CapturedCommand | None = None
    isolate: bool = False
    transcript_url: str | None = None
    model: str | None = None

    @property
    def trigger_kinds(self) -> tuple[TriggerKind, ...]:
        """Every trigger kind the plan is judged as, its own first."""
        return tuple(dict.fromkeys((self.trigger_kind, *self.judged_as)))
