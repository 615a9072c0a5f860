"""Where a page ended: opaque to callers, bound to the question it answers a part of."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import astuple
from typing import Any, NamedTuple

from executor.errors import InvalidCursor
from executor.models.execution import ExecutionFilter

_DIGEST_BYTES = 6


class Position(NamedTuple):
    """The last execution of a page; the next one comes strictly after it."""

    started_at: str
    execution_id: str


def encode_cursor(position: Position, question: str) -> str:
    text = json.dumps([question, *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: object, question: str) -> Position:
    """Raises InvalidCursor, also for a cursor of another question."""
    match _content(cursor):
        case [str(asked), str(started_at), str(execution_id)] if asked == question:
            return Position(started_at, execution_id)
        case _:
            raise InvalidCursor


def _content(cursor: object) -> Any:
    if not isinstance(cursor, str):
        raise InvalidCursor
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError, binascii.Error) as cause:
        raise InvalidCursor from cause


def question_digest(filter: ExecutionFilter, oldest_first: bool) -> str:
    """What tells a question, filter and order together, from others."""
    return _digest([astuple(filter), oldest_first])


def chain_digest(correlation_id: str) -> str:
    """What tells the chain of one correlation from other questions."""
    return _digest(["chain", correlation_id])


def _digest(question: list[Any]) -> str:
    text = json.dumps(question)
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()
