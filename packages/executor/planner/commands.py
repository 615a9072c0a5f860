"""A command line as people type it becomes a check."""

from __future__ import annotations

from collections.abc import Sequence

from executor.models.command_line import split_command
from executor.models.plan import DEFAULT_TIMEOUT_SECONDS, Check


def read_check(
    command: str,
    *,
    timeout_seconds: float | None = None,
    environment: Sequence[str] = (),
    reason: str = "",
    reports: Sequence[str] = (),
) -> Check:
    """The check that runs `command`, named as it is typed. Raises InvalidSettings."""
    return Check(
        name=command,
        argv=split_command(command),
        timeout_seconds=timeout_seconds or DEFAULT_TIMEOUT_SECONDS,
        environment=tuple(environment),
        reason=reason,
        reports=tuple(reports),
    )
