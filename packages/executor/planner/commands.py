"""A command line as people type it becomes a check."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from executor.errors import InvalidSettings
from executor.models.plan import DEFAULT_TIMEOUT_SECONDS, Check

_OPERATORS: Final = frozenset("|&;<>()")


def read_check(
    command: str, *, timeout_seconds: float | None = None, environment: Sequence[str] = ()
) -> Check:
    """Splits `command` as a shell would, without running one.

    Raises InvalidSettings for an empty command, an open quote, and for shell operators, which would be
    handed to the program as words: `sh -c '…'` asks for a shell by name.
    """
    # Not posix: quoted words keep their quotes, so a quoted operator is told from a real one.
    lexer = shlex.shlex(command, posix=False, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        tokens = list(lexer)
        argv = shlex.split(command)
    except ValueError as cause:
        raise InvalidSettings(f"the check {command!r} cannot be read: {cause}") from cause
    if not argv:
        raise InvalidSettings("a check must name a command")
    operator = next((token for token in tokens if token and set(token) <= _OPERATORS), None)
    if operator is not None:
        raise InvalidSettings(
            f"the check {command!r} holds the shell operator {operator!r} and no shell runs it; "
            f"write: sh -c {shlex.quote(command)}"
        )
    return Check(
        name=command,
        argv=tuple(argv),
        timeout_seconds=timeout_seconds or DEFAULT_TIMEOUT_SECONDS,
        environment=tuple(environment),
    )
