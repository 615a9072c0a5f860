"""A server to be measured, in a process of its own.

As a program: it listens at a free port of the loopback, says `ready` and the port, and answers each line of its
standard input: `cpu` with the CPU seconds it has used, `watch` once it looks at its event loop, `hold` with the
longest that the loop was held since. It stops when its input ends.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.baseline.web import BareApp
from benchmarks.results import BASELINE
from executor_api.app import create_app
from executor_api.serving import server_of, settle
from executor_api.settings import Settings

_TICK_SECONDS: Final = 0.001


class _Watch:
    """Looks every millisecond how late it is: as late as whatever held the loop, or the interpreter, made it.

    Of that only what this process was computing meanwhile counts: for what other programs on the machine take
    away, the loop is not to blame.
    """

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        while True:
            due, used = time.perf_counter() + _TICK_SECONDS, time.process_time()
            await asyncio.sleep(_TICK_SECONDS)
            late, computed = time.perf_counter() - due, time.process_time() - used
            self.longest = max(self.longest, min(late, computed))


def _application(subject: str, place: str, workspace: Path, port: int) -> Any:
    if subject == BASELINE:
        return BareApp(place)
    url = place if "://" in place else f"sqlite:///{place}"
    return create_app(Settings(workspaces=(workspace,), port=port, environ={"EXECUTOR_DATABASE_URL": url}))


async def _serve(server: Any, listening: socket.socket) -> None:
    loop, watch = asyncio.get_running_loop(), _Watch()
    watching: list[asyncio.Task[None]] = []

    def begin() -> None:
        watch.longest = 0.0
        if not watching:
            watching.append(asyncio.create_task(watch.run()))

    def answer() -> None:
        for line in sys.stdin:
            word = line.strip()
            if word == "cpu":
                _say(f"cpu {time.process_time()}")
            elif word == "watch":
                loop.call_soon_threadsafe(begin)
                _say("watch")
            elif word == "hold":
                _say(f"hold {watch.longest}")
        server.should_exit = True

    threading.Thread(target=answer, daemon=True).start()
    await server.serve(sockets=[listening])
    for task in watching:
        task.cancel()


def main(arguments: Sequence[str]) -> None:
    subject, place, workspace = arguments
    # With the protocol named, asyncio sends the body without waiting for the head to be acknowledged.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1024)
        port = listening.getsockname()[1]
        server = server_of(_application(subject, place, Path(workspace), port))
        settle()
        _say(f"ready {port}")
        asyncio.run(_serve(server, listening))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
