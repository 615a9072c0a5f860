"""A patch read line by line, with numbers for error messages and without splitting it all at once."""

from __future__ import annotations


class PatchCursor:
    """Stands before a line of a patch. `line` is its number from 1, `position` its offset."""

    __slots__ = ("_ahead", "data", "line", "position")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.line = 1
        # The next lines that have been looked at: text without its end, and the offset after it.
        self._ahead: list[tuple[bytes, int]] = []

    def peek(self, ahead: int = 0) -> bytes | None:
        """A line without its end (LF or CRLF), the next one by default; None beyond the last."""
        while len(self._ahead) <= ahead:
            start = self._ahead[-1][1] if self._ahead else self.position
            if start >= len(self.data):
                return None
            end = self.data.find(b"\n", start)
            end = len(self.data) if end < 0 else end
            self._ahead.append((self.data[start:end].removesuffix(b"\r"), min(end + 1, len(self.data))))
        return self._ahead[ahead][0]

    def take(self) -> bytes:
        """The line `peek` shows, which there has to be; the cursor then stands behind it."""
        text = self.peek()
        assert text is not None
        self.position = self._ahead.pop(0)[1]
        self.line += 1
        return text

    def jump(self, position: int, lines: int) -> None:
        """Moves to an offset that `lines` lines lie before."""
        self.position = position
        self.line += lines
        self._ahead.clear()


def shown(text: bytes) -> str:
    """A piece of a patch as a message can show it."""
    return repr(text[:80].decode("utf-8", "backslashreplace"))
