"""Makes chosen file operations of a real run fail, or the process die there.

`executor.host.files` calls the operating system for the files of workspace and state, `executor.events.lines`
for the file of events, `executor.storage.location` for the state directory and its id; all do so through their
name `os`. A proxy put in its place counts what changes something on disk. It works in this process (`faulty`),
in a forked one (`CrashServer`) and in any program that is started with `environment`.
"""

from __future__ import annotations

import atexit
import ctypes
import errno
import itertools
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Self

from executor.events import lines
from executor.host import files
from executor.models import times
from executor.storage import location

CHANGING: Final = frozenset(
    {
        *("open", "write", "ftruncate", "fsync", "fchmod", "fchown", "chmod", "utime"),
        *("rename", "link", "symlink", "unlink", "mkdir", "makedirs", "rmdir"),
    }
)
_PLACES: Final = (files, lines, location)
VARIABLE: Final = "EXECUTOR_TEST_FAULT"
_SUPPORT: Final = Path(__file__).resolve().parent


@dataclass
class Fault:
    """The `nth` counted operation fails with `error`, or sends `signal` to the process when `error` is None.

    SIGKILL ends it there; after any other signal the operation is done. A write that fails does half of its
    work before. With `lasting`, all operations from the `nth` on fail. `nth` 0 only counts. Opening counts when
    it creates.
    """

    nth: int = 0
    error: int | None = errno.EIO
    lasting: bool = False
    signal: int = signal.SIGKILL
    operations: frozenset[str] = CHANGING
    count: int = field(default=0, compare=False)
    hit: str | None = field(default=None, compare=False)

    def strikes(self, operation: str) -> bool:
        if operation not in self.operations:
            return False
        self.count += 1
        return self.nth > 0 and (self.count == self.nth or (self.lasting and self.count > self.nth))


class FaultyOs:
    """The module `os`, with one fault. `sync` False leaves out the work of fsync, not its failures."""

    def __init__(self, fault: Fault, *, sync: bool = False) -> None:
        self._fault, self._sync = fault, sync

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CHANGING:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return real(*args, **kwargs)
            if self._fault.strikes(name):
                self._strike(name, args)
            if name == "fsync" and not self._sync:
                return None
            return real(*args, **kwargs)

        return call

    def _strike(self, name: str, args: tuple[Any, ...]) -> None:
        self._fault.hit = name
        if self._fault.error is None and self._fault.signal != signal.SIGKILL:
            os.kill(os.getpid(), self._fault.signal)
            return
        if name == "write":
            os.write(args[0], args[1][: len(args[1]) // 2])
        if self._fault.error is None:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            raise OSError(self._fault.error, os.strerror(self._fault.error))


class Operation(NamedTuple):
    """One changing operation that was done: its name, the path it was done to, the path it led to."""

    name: str
    path: str
    to: str = ""


class RecordingOs(FaultyOs):
    """Writes down what changes something on disk, in order, with whole paths."""

    def __init__(self, operations: list[Operation]) -> None:
        super().__init__(Fault())
        self._operations = operations

    def __getattr__(self, name: str) -> Any:
        real = super().__getattr__(name)
        if name not in CHANGING:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return real(*args, **kwargs)
            operation = self._describe(name, args, kwargs)
            result = real(*args, **kwargs)
            self._operations.append(operation)
            return result

        return call

    @staticmethod
    def _describe(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Operation:
        if name in ("write", "ftruncate", "fsync", "fchmod", "fchown", "utime"):
            return Operation(name, _path_of(args[0]))
        if name in ("rename", "link"):
            source = f"{_path_of(kwargs['src_dir_fd'])}/{os.fsdecode(args[0])}"
            return Operation(name, source, f"{_path_of(kwargs['dst_dir_fd'])}/{os.fsdecode(args[1])}")
        path = os.fsdecode(args[1] if name == "symlink" else args[0])
        return Operation(name, f"{_path_of(kwargs['dir_fd'])}/{path}" if "dir_fd" in kwargs else path)


def _path_of(fd: int) -> str:
    return str(Path(f"/proc/self/fd/{fd}").readlink())


@contextmanager
def recording() -> Iterator[list[Operation]]:
    """Collects the operations of the block."""
    operations: list[Operation] = []
    outer = vars(files)["os"]
    vars(files)["os"] = RecordingOs(operations)
    try:
        yield operations
    finally:
        vars(files)["os"] = outer


def install(fault: Fault, *, sync: bool = False) -> None:
    for place in _PLACES:
        vars(place)["os"] = FaultyOs(fault, sync=sync)


@contextmanager
def faulty(fault: Fault) -> Iterator[Fault]:
    """The fault is in force while the block runs."""
    outer = {place: vars(place)["os"] for place in _PLACES}
    install(fault)
    try:
        yield fault
    finally:
        for place, system in outer.items():
            vars(place)["os"] = system


def environment(
    fault: Fault | None = None,
    *,
    count: Path | None = None,
    unprivileged: bool = False,
    clock_jumps: bool = False,
    clock_ahead: tuple[float, Path] | None = None,
    after_event: int = 0,
    peak: Path | None = None,
) -> dict[str, str]:
    """Variables under which any Python program that imports executor meets the fault.

    How many operations there were is written to `count` at its end, the most memory it had, in KiB, to `peak`.
    `unprivileged` takes away what root may do beyond its modes. With `clock_jumps` every look at the clock finds
    it days before or after the last one; `clock_ahead` sets it so many seconds ahead (negative: back) until the
    file appears. The process is killed once the line of its event number `after_event` is written.
    """
    fault = fault or Fault()
    wanted = {**asdict(fault), "operations": sorted(fault.operations)}
    del wanted["count"], wanted["hit"]
    wanted |= {"report": str(count) if count else None, "unprivileged": unprivileged, "jumps": clock_jumps}
    wanted |= {"event": after_event, "peak": str(peak) if peak else None}
    wanted["ahead"] = [clock_ahead[0], str(clock_ahead[1])] if clock_ahead else None
    path = os.pathsep.join([str(_SUPPORT / "faultsite"), str(_SUPPORT.parent), *filter(None, sys.path)])
    return {VARIABLE: json.dumps(wanted), "PYTHONPATH": path}


_OPTIONS: Final = ("report", "unprivileged", "jumps", "ahead", "event", "peak")


def install_from(variables: Mapping[str, str]) -> None:
    if VARIABLE not in variables:
        return
    wanted = json.loads(variables[VARIABLE])
    report, unprivileged, jumps, ahead, event, peak = (wanted.pop(name) for name in _OPTIONS)
    fault = Fault(**{**wanted, "operations": frozenset(wanted["operations"])})
    install(fault, sync=True)
    if event:
        vars(lines)["os"] = FatalEvents(event)
    if report:
        atexit.register(lambda: Path(report).write_text(str(fault.count)))
    if peak:
        atexit.register(lambda: Path(peak).write_text(str(_peak_kib())))
    if unprivileged:
        drop_privileges()
    if jumps:
        vars(times)["datetime"] = JumpingClock
    if ahead:
        _set_clock(ahead[0], Path(ahead[1]))


def _peak_kib() -> int:
    """Of this program alone; what `getrusage` says includes the one it was started from."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    return int(line.split()[1])


def _set_clock(ahead: float, until: Path) -> None:
    """As if somebody set the clock of the machine at the moment the file appears."""
    real, real_ns = time.time, time.time_ns

    def offset() -> float:
        return 0.0 if until.exists() else ahead

    vars(time)["time"] = lambda: real() + offset()
    vars(time)["time_ns"] = lambda: real_ns() + int(offset() * 1e9)


class FatalEvents:
    """The module `os` for the file of events; the process dies once the line of event number `fatal` is in it."""

    def __init__(self, fatal: int) -> None:
        self._left = fatal

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, descriptor: int, data: memoryview) -> int:
        size = os.write(descriptor, data)
        self._left -= bytes(data[:size]).count(b"\n")
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return size


class JumpingClock(datetime):
    """A clock that somebody sets to another day each time before it is read."""

    _steps = itertools.cycle((0, 2, -3, 400, -400))

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(days=next(cls._steps))


def drop_privileges() -> None:
    """Root loses what lets it write where its mode says no; everybody else loses nothing."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capset")


Scenario = Callable[..., None]


class CrashServer:
    """A process that forks a child per run, kills it at the n-th operation, and says how it ended.

    Forking from a process of its own keeps the runs fast and the tests' own process free of forks.
    """

    def __init__(self) -> None:
        path = os.pathsep.join([str(_SUPPORT.parent), *filter(None, sys.path)])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.faults"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )

    def run(self, scenario: Scenario, *arguments: object, kill_at: int) -> bool:
        """Runs `scenario(*arguments)` of an importable module; True when it was killed, False when it ended.

        Raises AssertionError when it ended with an exception.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        _send(self._process.stdin, (scenario, arguments, kill_at))
        status = _receive(self._process.stdout)
        assert status in (0, -signal.SIGKILL), f"{scenario.__name__} ended with {status}"
        return bool(status)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def _send(stream: BinaryIO | Any, value: object) -> None:
    data = pickle.dumps(value)
    stream.write(struct.pack("!I", len(data)) + data)
    stream.flush()


def _receive(stream: BinaryIO | Any) -> Any:
    head = stream.read(4)
    if not head:
        raise EOFError
    return pickle.loads(stream.read(struct.unpack("!I", head)[0]))


def _serve() -> None:
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            scenario, arguments, kill_at = _receive(requests)
        except EOFError:
            return
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                install(Fault(nth=kill_at, error=None))
                scenario(*arguments)
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        _, waited = os.waitpid(pid, 0)
        _send(answers, os.waitstatus_to_exitcode(waited))


if __name__ == "__main__":
    _serve()
