"""An old database upgraded while others read it: how long it takes, and how long the slowest read waits."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Final

from benchmarks.engine import Engine
from executor.migrations import run_migrations

READERS: Final = 2


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Seconds; `reads` were answered while the upgrade ran."""

    seconds: float
    worst_read: float
    reads: int


def upgraded(engine: Engine, place: str, executions: int) -> Upgrade:
    """Makes a database of version 0 at `place` and upgrades it with readers running."""
    engine.make_old(place, executions)
    engine.settle(place)
    done = threading.Event()
    readers = [_Reader(engine, place, executions, done) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    began = time.perf_counter()
    try:
        run_migrations(place)
        seconds = time.perf_counter() - began
    finally:
        done.set()
        for reader in readers:
            reader.join()
    failed = [reader.failure for reader in readers if reader.failure is not None]
    if failed:
        raise failed[0]
    return Upgrade(seconds, max(reader.worst for reader in readers), sum(reader.reads for reader in readers))


class _Reader(threading.Thread):
    """Asks for one execution after another; `worst` is the longest that one answer took."""

    def __init__(self, engine: Engine, place: str, executions: int, done: threading.Event) -> None:
        super().__init__()
        self.worst, self.reads = 0.0, 0
        self.failure: Exception | None = None
        self._engine, self._place = engine, place
        self._executions, self._done = executions, done

    def run(self) -> None:
        try:
            with self._engine.old_reader(self._place) as ask:
                while not self._done.is_set():
                    began = time.perf_counter()
                    ask((self.reads * 7919) % self._executions)
                    self.worst = max(self.worst, time.perf_counter() - began)
                    self.reads += 1
                    # Readers that never pause would only show how two processes share a core.
                    time.sleep(0.002)
        except Exception as failure:  # noqa: BLE001 - raised again where the thread is waited for
            self.failure = failure
