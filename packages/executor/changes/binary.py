"""Binary payloads of git patches: base 85 lines, zlib, and deltas, all with bounded output."""

from __future__ import annotations

import base64
import hashlib
import zlib
from dataclasses import dataclass
from typing import Final

from executor.errors import InvalidChange

# The length letter of a line: A-Z are 1 to 26 bytes, a-z 27 to 52.
_LENGTHS: Final = {
    **{ord("A") + index: index + 1 for index in range(26)},
    **{ord("a") + index: index + 27 for index in range(26)},
}
_LETTERS: Final = {length: bytes([letter]) for letter, length in _LENGTHS.items()}
_MAX_LINE: Final = 52
_MAX_COPY: Final = 0x10000


@dataclass(frozen=True, slots=True)
class BinaryHunk:
    """One payload: the whole content, or a delta against the other side.

    `packed` is its zlib stream, which inflates to `size` bytes. It stays packed until it is needed: a
    patch can hold thousands that are small packed and large inflated.
    """

    line: int
    delta: bool
    size: int
    packed: bytes

    def apply(self, source: bytes, limit: int) -> bytes:
        """The content this payload makes of `source`, at most `limit` bytes. Raises InvalidChange."""
        data = inflate(self.packed, self.size, line=self.line)
        return apply_delta(data, source, limit, line=self.line) if self.delta else data


@dataclass(frozen=True, slots=True)
class BinaryPatch:
    """What makes the new file, and, when the patch has it, what makes the old file from the new one."""

    forward: BinaryHunk
    reverse: BinaryHunk | None


def decode_line(text: bytes, *, line: int | None = None) -> bytes:
    """The bytes of one base 85 line with its length letter. Raises InvalidChange."""
    length = _LENGTHS.get(text[0]) if text else None
    digits = text[1:]
    if length is None or len(digits) != (length + 3) // 4 * 5:
        raise InvalidChange("a line of a binary payload has the wrong length", line=line)
    try:
        return base64.b85decode(digits)[:length]
    except ValueError:
        raise InvalidChange("a line of a binary payload is not base 85", line=line) from None


def encode_payload(content: bytes) -> bytes:
    """A content as a whole, as it stands in a patch."""
    packed = zlib.compress(content)
    lines = [b"literal %d\n" % len(content)]
    for start in range(0, len(packed), _MAX_LINE):
        piece = packed[start : start + _MAX_LINE]
        lines.append(_LETTERS[len(piece)] + base64.b85encode(piece, pad=True) + b"\n")
    return b"".join([*lines, b"\n"])


def inflate(packed: bytes, size: int, *, line: int | None = None) -> bytes:
    """Exactly `size` bytes from a zlib stream; never holds more than one byte above. Raises InvalidChange."""
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(packed, size + 1)
    except zlib.error as cause:
        raise InvalidChange("a binary payload is not a zlib stream", line=line) from cause
    if len(data) != size or not stream.eof or stream.unused_data:
        raise InvalidChange(f"a binary payload does not inflate to the {size:,} bytes it states", line=line)
    return data


def apply_delta(delta: bytes, source: bytes, limit: int, *, line: int | None = None) -> bytes:
    """Builds the target of a git delta from `source`, at most `limit` bytes. Raises InvalidChange."""

    def broken(what: str) -> InvalidChange:
        return InvalidChange(f"a binary delta {what}", line=line)

    source_size, position = _varint(delta, 0, line)
    target_size, position = _varint(delta, position, line)
    if source_size != len(source):
        raise broken(f"is for a file of {source_size:,} bytes, not {len(source):,}")
    if target_size > limit:
        raise broken(f"makes {target_size:,} bytes, more than the limit file_bytes = {limit:,}")
    target = bytearray()
    end = len(delta)
    while position < end:
        command = delta[position]
        position += 1
        if command & 0x80:
            numbers = [0, 0]
            for bit in range(7):
                if command >> bit & 1:
                    if position >= end:
                        raise broken("ends inside a command")
                    which, shift = (0, bit * 8) if bit < 4 else (1, (bit - 4) * 8)
                    numbers[which] |= delta[position] << shift
                    position += 1
            offset, size = numbers[0], numbers[1] or _MAX_COPY
            if offset + size > len(source):
                raise broken("copies from outside the old file")
            piece = source[offset : offset + size]
        elif command:
            piece = delta[position : position + command]
            if len(piece) != command:
                raise broken("ends inside a command")
            position += command
        else:
            raise broken("holds the reserved command 0")
        if len(target) + len(piece) > target_size:
            raise broken(f"makes more than the {target_size:,} bytes it states")
        target += piece
    if len(target) != target_size:
        raise broken(f"makes {len(target):,} bytes, not the {target_size:,} it states")
    return bytes(target)


def _varint(data: bytes, position: int, line: int | None) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, position
    raise InvalidChange("a binary delta has no readable sizes", line=line)


def blob_id(content: bytes, digits: int = 40) -> str:
    """The id git gives a file of this content; with more than 40 digits that of a SHA-256 repository."""
    header = b"blob %d\0" % len(content)
    if digits > 40:
        return hashlib.sha256(header + content).hexdigest()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()
