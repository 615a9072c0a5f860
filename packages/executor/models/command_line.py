"""A command line as people type it, split into words without a shell."""

from __future__ import annotations

import shlex
from typing import Final

from executor.errors import InvalidSettings

_OPERATORS: Final = frozenset("|&;<>()")


def split_command(command: str) -> tuple[str, ...]:
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
    return tuple(argv)
