"""Values as JSON. Nothing that was stored makes an answer fail, however odd it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, TypeVar

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from executor.models.text import encodable

JSON: Final = "application/json"

T = TypeVar("T")

_AT_A_TIME: Final = 200
# More than this goes to the client in pieces, between which others have their turn.
_PIECE_BYTES: Final = 256 << 10


class JSONAnswer(Response):
    """A value that needs no check against a model: it was made by one function that knows the model."""

    media_type = JSON

    def render(self, content: Any) -> bytes:
        return encode(content)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self.body) <= _PIECE_BYTES:
            await super().__call__(scope, receive, send)
            return
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        for first in range(0, len(self.body), _PIECE_BYTES):
            piece = self.body[first : first + _PIECE_BYTES]
            more = first + _PIECE_BYTES < len(self.body)
            await send({"type": "http.response.body", "body": piece, "more_body": more})


def encode(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        # Half a surrogate pair, bytes in a column of text, or an integer beyond 64 bits.
        return orjson.dumps(_cleaned(value))


def encoded_list(items: list[T], shown: Callable[[T], Any]) -> Any:
    """What is shown of the items, as a value to encode; `items` is empty afterwards when it was long.

    A long list is encoded piece by piece: nobody else gets a turn while a value is encoded, or while thousands of
    objects are let go at once.
    """
    if len(items) <= _AT_A_TIME:
        return [shown(item) for item in items]
    items.reverse()
    pieces = []
    while items:
        piece = items[: -_AT_A_TIME - 1 : -1]
        del items[-_AT_A_TIME:]
        pieces.append(encode([shown(item) for item in piece])[1:-1])
    return orjson.Fragment(b"[" + b",".join(pieces) + b"]")


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {encodable(str(name)): _cleaned(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
