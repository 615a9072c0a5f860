"""Identifiers: how new ones are made and which given ones are taken.

Ids already stored are never checked against these rules; they stay readable exactly as they are.
"""

import re
from typing import Final

from executor.errors import InvalidId

RESERVED_EXECUTION_IDS: Final = frozenset({"correlation", "statistics"})

_EXECUTION_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LABEL_MAX: Final = 256


def new_id(prefix: str) -> str:
    """`prefix` + `_` + 32 hexadecimal digits of a UUIDv7 (RFC 9562), so that text order follows time."""
    # Here, because reading commands make no ids and need not wait for the import.
    from uuid_utils import uuid7

    return f"{prefix}_{uuid7().hex}"


def new_execution_id() -> str:
    return new_id("exec")


def check_execution_id(value: object) -> str:
    """Returns `value` when a caller may give it to a new execution. Raises InvalidId."""
    if not isinstance(value, str) or _EXECUTION_ID.fullmatch(value) is None:
        rule = "1 to 128 letters, digits, '.', '_' or '-', beginning with a letter or digit"
        raise InvalidId("execution id", value, rule)
    if value in RESERVED_EXECUTION_IDS:
        raise InvalidId("execution id", value, "this word is reserved")
    return value


def check_label(kind: str, value: object) -> str:
    """Returns a correlation or run id when it may be given. Raises InvalidId."""
    if not isinstance(value, str) or not 1 <= len(value) <= _LABEL_MAX or not value.isprintable():
        raise InvalidId(kind, value, f"1 to {_LABEL_MAX} printable characters")
    return value
