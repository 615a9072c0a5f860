"""Names in patches as git quotes them: in double quotes, with C escapes and octal bytes."""

from __future__ import annotations

import re
from typing import Final

from executor.errors import InvalidChange

_ESCAPES: Final = {
    b"a": b"\a",
    b"b": b"\b",
    b"t": b"\t",
    b"n": b"\n",
    b"v": b"\v",
    b"f": b"\f",
    b"r": b"\r",
    b'"': b'"',
    b"\\": b"\\",
}
_LETTERS: Final = {value[0]: key for key, value in _ESCAPES.items()}
_QUOTED: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\([0-3][0-7]{2}|.)", re.DOTALL)


def unquote(text: bytes, start: int, *, line: int | None = None) -> tuple[bytes, int]:
    """The name quoted at `text[start]` and the index after its closing quote. Raises InvalidChange."""
    match = _QUOTED.match(text, start)
    if match is None:
        raise InvalidChange("a quoted name has no closing quote", line=line)

    def plain(escape: re.Match[bytes]) -> bytes:
        code = escape[1]
        if len(code) == 3:
            return bytes([int(code, 8)])
        if code not in _ESCAPES:
            raise InvalidChange(f"unknown escape in the quoted name {match[0].decode('latin-1')}", line=line)
        return _ESCAPES[code]

    return _ESCAPE.sub(plain, match[1]), match.end()


def quote(name: bytes) -> bytes:
    """`name` as git writes it: as it is when it is plain ASCII, else quoted."""
    if all(0x20 <= byte < 0x7F and byte not in b'"\\' for byte in name):
        return name
    parts = []
    for byte in name:
        if byte in _LETTERS:
            parts.append(b"\\" + _LETTERS[byte])
        elif 0x20 <= byte < 0x7F:
            parts.append(bytes([byte]))
        else:
            parts.append(b"\\%03o" % byte)
    return b'"' + b"".join(parts) + b'"'
