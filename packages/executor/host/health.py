"""Carries out health checks: looks, waits and looks again, until the service is well or time is up."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from executor.host.cause import cause_line
from executor.host.checks import CheckResult
from executor.models.plan import Check, HealthCheck, HealthKind

_PROGRAM: Final = str(Path(__file__).with_name("probe.py"))
# A command or a look is started with at least so many seconds to go.
_LEAST: Final = 0.05


def run_health_check(
    check: HealthCheck, run: Callable[[Check], CheckResult], cancel: threading.Event
) -> tuple[CheckResult, int]:
    """How the last try ended, and how many there were; never takes longer than the check's deadline.

    `run` runs one try as a check. Setting `cancel` ends the waiting.
    """
    end = time.monotonic() + check.deadline_seconds
    tries = 0
    while True:
        left = max(end - time.monotonic(), _LEAST)
        result = run(_one_try(check, min(check.timeout_seconds, left)))
        tries += 1
        left = end - time.monotonic()
        if result.passed or tries > check.retries or left <= _LEAST:
            return result, tries
        if cancel.wait(min(check.interval_seconds, left)) or end - time.monotonic() <= _LEAST:
            return result, tries


def failure(check: HealthCheck, result: CheckResult, tries: int) -> str:
    """Why a check is not satisfied, in one line."""
    said = cause_line(result.tail) if result.error is None and not result.timed_out else ""
    if check.kind is HealthKind.COMMAND or not said:
        said = f"{result.summary}: {said}" if said else result.summary
    again = f" after {tries} tries" if tries > 1 else ""
    return f"{check.name} is not healthy{again}: {said}"


def _one_try(check: HealthCheck, timeout: float) -> Check:
    if check.kind is HealthKind.COMMAND:
        return Check(name=check.name, argv=check.argv, timeout_seconds=timeout, environment=check.environment)
    request = {
        "kind": check.kind.value,
        "target": check.target,
        "status": check.status,
        "body": check.body,
        "hosts": check.hosts,
        "timeout": timeout,
    }
    return Check(
        name=check.name,
        argv=(sys.executable, "-I", "-S", _PROGRAM, json.dumps(request)),
        timeout_seconds=timeout,
    )
