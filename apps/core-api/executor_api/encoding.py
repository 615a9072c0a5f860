"""Values as JSON. Nothing that was stored makes an answer fail, however odd it is."""

from __future__ import annotations

import math
from typing import Any, Final

import orjson
from starlette.responses import Response

from executor.models.text import encodable

JSON: Final = "application/json"


class JSONAnswer(Response):
    """A value that needs no check against a model: it was made by one function that knows the model."""

    media_type = JSON

    def render(self, content: Any) -> bytes:
        return encode(content)


def encode(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        # Half a surrogate pair, bytes in a column of text, or an integer beyond 64 bits.
        return orjson.dumps(_cleaned(value))


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
