"""Events as they are recorded, for any number of streams.

One thread waits for commits and reads what came; the last events stay in memory, and a stream that is further
behind reads the database itself. Every stream goes by its own cursor, so none misses an event or gets one twice.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from anyio import to_thread

from executor.errors import TryAgain, Unavailable
from executor.models.execution import EventRecord
from executor.storage.store import ExecutionStore
from executor_api.encoding import encode
from executor_api.problems import Refused

MOST_STREAMS: Final = 1000
_KEPT: Final = 5_000
_BATCH: Final = 500
# A stream that is behind sends in pieces: what is sent and not yet received is held in memory.
_PIECE_BYTES: Final = 64 << 10
_WAIT_SECONDS: Final = 1.0
_RETRY_MILLISECONDS: Final = 1000

_log: Final = logging.getLogger("executor_api")


class Item(NamedTuple):
    position: int
    execution_id: str
    correlation_id: str
    event: str
    frame: bytes


Wanted = Callable[[Item], bool]


class EventFeed:
    """Its thread starts with the first stream. `loop` is the one that streams run in."""

    def __init__(self, store: Callable[[], ExecutionStore]) -> None:
        self._store = store
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        # From here on everything belongs to the loop.
        self._kept: list[Item] = []
        self._below = 0
        self._news = asyncio.Event()
        self._streams = 0
        self._ended = False

    def set(self) -> None:
        """The server stops: ends every stream. Called in the loop, as that of an event is."""
        self._ended = True
        self._news.set()

    def start(self, loop: asyncio.AbstractEventLoop) -> int:
        """The position of the newest event; what comes after it is in memory, or can be read. Any thread."""
        with self._starting:
            if self._thread is None:
                self._loop = loop
                position = self._store().last_event_position()
                self._below = position
                self._thread = threading.Thread(
                    target=self._read_on, args=(position,), name="events", daemon=True
                )
                self._thread.start()
                return position
        return self._store().last_event_position()

    def close(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    async def stream(self, position: int, wanted: Wanted) -> AsyncIterator[bytes]:
        """Frames of the events after `position`. Raises Refused when there are too many streams."""
        if self._streams >= MOST_STREAMS:
            raise Refused(503, "too_many_streams", "too many streams are open; close some")
        self._streams += 1
        try:
            yield _opening(position)
            while not self._ended:
                news, below = self._news, self._below
                items: Sequence[Item] = self._after(position)
                if position < below:
                    items = await to_thread.run_sync(self._read, position)
                    if not items:
                        position = below
                        continue
                for piece in _pieces(items, wanted):
                    yield piece
                if items:
                    position = items[-1].position
                else:
                    await news.wait()
        finally:
            self._streams -= 1

    def _after(self, position: int) -> list[Item]:
        first = bisect_right(self._kept, position, key=lambda item: item.position)
        return self._kept[first : first + _BATCH]

    def _publish(self, items: list[Item]) -> None:
        self._kept += items
        if len(self._kept) > 2 * _KEPT:
            self._below = self._kept[-_KEPT - 1].position
            del self._kept[:-_KEPT]
        self._news.set()
        self._news = asyncio.Event()

    # In the thread, or in one of a pool.

    def _read(self, position: int) -> list[Item]:
        return [_item(event) for event in self._store().read_events_after(position, _BATCH)]

    def _read_on(self, position: int) -> None:
        watch = None
        try:
            while not self._stopping.is_set():
                try:
                    watch = watch or self._store().watch_events()
                    items = self._read(position)
                    if not items:
                        watch.wait(_WAIT_SECONDS)
                        continue
                except (TryAgain, Unavailable) as error:
                    _log.warning("events cannot be read: %s", error)
                    self._stopping.wait(_WAIT_SECONDS)
                    continue
                position = items[-1].position
                assert self._loop is not None
                # A loop that is closed has no streams any more.
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._publish, items)
        finally:
            if watch is not None:
                watch.close()


def _item(event: EventRecord) -> Item:
    data = encode(event.to_dict())
    frame = b"id: %d\nevent: %s\ndata: %s\n\n" % (event.position, event.event.encode(), data)
    return Item(event.position, event.execution_id, event.correlation_id, event.event, frame)


def _opening(position: int) -> bytes:
    """Says where the stream begins, so that a connection lost before the first event loses none."""
    return b'retry: %d\nid: %d\nevent: open\ndata: {"position":%d}\n\n' % (
        _RETRY_MILLISECONDS,
        position,
        position,
    )


def _pieces(items: Sequence[Item], wanted: Wanted) -> list[bytes]:
    pieces: list[bytes] = []
    frames: list[bytes] = []
    size = 0
    for item in items:
        if wanted(item):
            frames.append(item.frame)
            size += len(item.frame)
            if size >= _PIECE_BYTES:
                pieces.append(b"".join(frames))
                frames, size = [], 0
    if frames:
        pieces.append(b"".join(frames))
    return pieces
