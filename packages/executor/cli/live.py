"""What a command prints, shown while it runs, at a rate a person may follow."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

# Seconds between two looks, and lines shown after each at most.
INTERVAL: Final = 0.1
LINES: Final = 200
# Characters that wait to be shown at most; a line is cut to as many as fit many times on a screen.
_WAITING: Final = 1 << 20
_LINE: Final = 4_000


class LiveOutput:
    """Takes text at any rate and shows it line by line, from a thread of its own.

    Whoever feeds it never waits: a terminal that stands still holds up neither command nor check. What comes
    faster than it is shown is left out, and `show` is told how many lines that were. `show` gets whole lines without
    their end; `hint` gets the line that has not ended yet. Of a line that was written over with carriage returns the
    last state counts.
    """

    def __init__(self, show: Callable[[Sequence[str], int], None], hint: Callable[[str], None]) -> None:
        self._show, self._hint = show, hint
        self._changed = threading.Condition()
        self._waiting: deque[str] = deque()
        self._size = 0
        self._left_out = 0
        self._ending = False
        self._thread: threading.Thread | None = None

    def feed(self, text: str) -> None:
        """Never waits, never raises."""
        with self._changed:
            self._waiting.append(text)
            self._size += len(text)
            while self._size > _WAITING and len(self._waiting) > 1:
                dropped = self._waiting.popleft()
                self._size -= len(dropped)
                self._left_out += dropped.count("\n")
            if self._thread is None:
                self._ending = False
                self._thread = threading.Thread(target=self._run, name="live output", daemon=True)
                self._thread.start()
            self._changed.notify()

    def drain(self) -> None:
        """Returns when all that was fed is shown, a last line without end included."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._ending = True
            self._changed.notify()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        begun = ""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ending)
                text = begun + "".join(self._waiting)
                self._waiting.clear()
                self._size = 0
                left_out, self._left_out = self._left_out, 0
                ending = self._ending
            *lines, begun = text.split("\n")
            if ending and begun:
                lines, begun = [*lines, begun], ""
            shown = lines[-LINES:]
            left_out += len(lines) - len(shown)
            if shown or left_out:
                self._show([_last_state(line) for line in shown], left_out)
            begun = begun[-_LINE:]
            self._hint(_last_state(begun))
            if ending:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._ending, INTERVAL)


def _last_state(line: str) -> str:
    return line.rstrip("\r").rpartition("\r")[2][:_LINE]
