"""One line that says why a check failed, from the end of its output."""

from __future__ import annotations

import re
from typing import Final

LENGTH: Final = 300

# An exception's own line, as Python, pytest, JavaScript, the JVM, Go and Rust print it.
_CAUSES: Final = (
    re.compile(r"^E\s+(?P<cause>[\w.]*(?:Error|Exception|Failure|Interrupt)\b.*)"),
    re.compile(r"^E\s{2,}(?P<cause>assert .*)"),
    re.compile(r"^(?P<cause>[\w.]*(?:Error|Exception|Failure)(?::.*)?)$"),
    re.compile(r"^(?P<cause>(?:error|fatal|panic)(?:\[\w+\])?: .*)", re.IGNORECASE),
    re.compile(r"^(?P<cause>FAILED .*)"),
    # A shell, about a program that is not there.
    re.compile(r"^(?P<cause>(?:\S+: )+(?:\d+: )?.*(?:not found|No such file or directory))$"),
)
# Advice that package managers print last, whatever came before.
_ADVICE: Final = re.compile(r"^(?:npm (?:notice|warn)\b|\[notice\] )", re.IGNORECASE)


def cause_line(output: str) -> str:
    """The last line that names an exception or an error, else the last line that says anything."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip() and not _ADVICE.match(line)]
    for pattern in _CAUSES:
        for line in reversed(lines):
            found = pattern.match(line)
            if found:
                return found["cause"][:LENGTH]
    return lines[-1].strip()[:LENGTH] if lines else ""
