"""Ctrl-C and SIGTERM: the first asks the execution to stop and roll back, the second ends the process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def cancellable(say: Callable[[str], None]) -> Iterator[threading.Event]:
    """An event that is set by the first signal. A killed process is put in order by the next start."""
    cancel = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        if cancel.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            return
        cancel.set()
        # The signal may have met this very stream in the middle of a write; then nothing can be said.
        with suppress(RuntimeError):
            say("stopping: rolling back; once more ends at once and leaves the rest to the next start")

    # Who starts a command with `nohup` or in the background of a script had these ignored on purpose.
    heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
