"""The workers of a server: one process for each workspace, started when it is first needed."""

from __future__ import annotations

import logging
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

import orjson

from executor_api.accepted_queue import AcceptedQueue
from executor_api.encoding import encode
from executor_api.problems import Refused

# Longer than reading and judging the largest change takes.
_ANSWER_SECONDS: Final = 60.0
_MOST_ASKING: Final = 16
# What runs when the server ends gets so long to finish, then so long to be rolled back.
_FINISH_SECONDS: Final = 10.0
_ROLLBACK_SECONDS: Final = 30.0

_log: Final = logging.getLogger("executor_api")


class WorkerProcess:
    """Calls are answered one at a time. A worker that died or hangs is replaced by the next call."""

    def __init__(self, root: Path, state: Path, environ: Mapping[str, str]) -> None:
        self._root, self._state, self._environ = root, state, environ
        self._turn = threading.Lock()
        self._asking = threading.BoundedSemaphore(_MOST_ASKING)
        self._process: subprocess.Popen[bytes] | None = None

    def call(self, method: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the worker did. Raises Refused."""
        if not self._asking.acquire(blocking=False):
            raise _busy()
        try:
            with self._turn:
                return self._answered(encode({"method": method, "values": values}) + b"\n")
        finally:
            self._asking.release()

    def go_on(self) -> None:
        """Starts the worker when something was accepted and has not been run."""
        if AcceptedQueue(self._state).waiting():
            with self._turn:
                self._started()

    def close(self) -> None:
        with self._turn:
            process, self._process = self._process, None
            if process is None:
                return
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(_FINISH_SECONDS)
            except subprocess.TimeoutExpired:
                process.terminate()
                try:
                    process.wait(_ROLLBACK_SECONDS)
                except subprocess.TimeoutExpired:
                    # The next start recovers what this leaves.
                    process.kill()
                    process.wait()
            _close(process.stdout)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        if self._process is not None:
            _log.error("the worker of %s ended with %s", self._root, self._process.returncode)
            self._discard()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "executor_api.worker", str(self._root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=dict(self._environ),
            # Ctrl-C at the terminal is for the server, which lets the worker finish.
            start_new_session=True,
        )
        return self._process

    def _answered(self, request: bytes) -> dict[str, Any]:
        process = self._started()
        assert process.stdin is not None
        try:
            process.stdin.write(request)
            process.stdin.flush()
        except BrokenPipeError as cause:
            self._discard()
            raise _busy() from cause
        line = _line(process)
        if line is None:
            self._discard()
            raise _busy()
        answer = orjson.loads(line)
        if "refused" in answer:
            raise Refused(**answer["refused"])
        done = answer["done"]
        assert isinstance(done, dict)
        return done

    def _discard(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        _close(self._process.stdin)
        _close(self._process.stdout)
        self._process = None


def _line(process: subprocess.Popen[bytes]) -> bytes | None:
    """The next line, or None when it does not come."""
    assert process.stdout is not None
    deadline = time.monotonic() + _ANSWER_SECONDS
    line = b""
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            return None
        # The pipe has no buffer of Python's: `select` sees what there is.
        read = process.stdout.read(65_536)
        if not read:
            return None
        line += read
    return line


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        # What could not be flushed was for a process that is gone.
        with suppress(BrokenPipeError):
            stream.close()


def _busy() -> Refused:
    return Refused(503, "busy", "the worker of the workspace is busy; try again", {"Retry-After": "1"})
