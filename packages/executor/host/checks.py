"""Runs checks: commands that judge a workspace and must leave nothing running.

Each check runs under a supervisor program (`supervisor.py`) in a session of its own, without a terminal
and without input. Its output goes, redacted, into a capped log. When it ends, is stopped or runs out of
time, and also when this process is killed, every process it started is ended.
"""

from __future__ import annotations

import errno
import marshal
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from executor.events.redaction import Redactor
from executor.host.environment import Environment
from executor.host.logs import LOG_BYTES, CappedLog, OutputLog
from executor.models.plan import Check

# Marks every process of one check run, so that they can be found should the supervisor be killed.
RUN_ID: Final = "EXECUTOR_CHECK_RUN"

_PROGRAM: Final = str(Path(__file__).with_name("supervisor.py"))
_CHUNK: Final = 65_536
_CANCEL_INTERVAL: Final = 0.05
# Seconds between SIGTERM and SIGKILL for a check that is stopped, and how long SIGKILL is tried.
STOP_GRACE: Final = 3.0
KILL_PATIENCE: Final = 5.0
# The supervisor does not hang, short of being stopped from outside.
_SPARE: Final = 10.0
COMMAND_NOT_FOUND: Final = 127
COMMAND_NOT_EXECUTABLE: Final = 126


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How a check ended.

    `exit_code` is None when a signal ended it, or nothing is known. A command that could not be started has
    127 (not found) or 126 (not executable) and says why in `error`; so does a check whose supervision
    failed. `tail` is the end of the output, redacted, `output_bytes` what was printed, not what was kept.
    `withheld` are the names of variables the check did not get. `left_running` are the names of processes
    that outlived the check and were ended; `survivors` those that could not be.
    """

    exit_code: int | None
    signal: int | None = None
    timed_out: bool = False
    cancelled: bool = False
    duration_seconds: float = 0.0
    output_bytes: int = 0
    log_truncated: bool = False
    log_error: str | None = None
    tail: str = ""
    withheld: tuple[str, ...] = ()
    error: str | None = None
    left_running: tuple[str, ...] = ()
    survivors: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.exit_code == 0 and not self.timed_out and not self.cancelled and self.error is None

    @property
    def summary(self) -> str:
        """How it ended, in a few words."""
        if self.error is not None:
            return self.error
        if self.timed_out:
            return f"did not end in time and was stopped after {self.duration_seconds:.1f} s"
        if self.cancelled:
            return "was cancelled"
        if self.signal is not None:
            return f"was ended by {_signal_name(self.signal)}"
        return f"exited with {self.exit_code}"


def run_check(
    check: Check,
    *,
    cwd: Path,
    log_path: Path,
    environment: Environment,
    redactor: Redactor,
    on_output: Callable[[str], None] | None = None,
    cancel: threading.Event | None = None,
    log_bytes: int = LOG_BYTES,
) -> CheckResult:
    """Runs `check` in `cwd` to its end and returns how it ended; whatever the command does is no exception.

    `on_output` gets the redacted output as it comes, mostly whole lines, in this thread. Setting `cancel`
    stops the check. KeyboardInterrupt, and whatever `on_output` raises, goes on to the caller after the
    check was stopped: SIGTERM, a few seconds, SIGKILL. A second KeyboardInterrupt kills at once.
    """
    try:
        log = CappedLog(log_path, limit=log_bytes)
    except OSError as cause:
        reason = f"the log {log_path} cannot be written: {cause.strerror or cause}"
        return CheckResult(None, error=reason, withheld=environment.withheld)
    with log:
        run = _Run(check, log, redactor, on_output)
        run.execute(cwd, environment, cancel)
    return CheckResult(
        run.exit_code,
        signal=run.signal,
        timed_out=run.timed_out,
        cancelled=run.cancelled,
        duration_seconds=run.duration,
        output_bytes=run.output.bytes,
        log_truncated=log.truncated,
        log_error=log.error,
        tail=log.tail,
        withheld=environment.withheld,
        error=run.error,
        left_running=run.left_running,
        survivors=run.survivors,
    )


class _Run:
    """One run of a check, from the start of its supervisor to the end of its last process."""

    def __init__(
        self, check: Check, log: CappedLog, redactor: Redactor, on_output: Callable[[str], None] | None
    ) -> None:
        self._check = check
        self._log = log
        self._redactor = redactor
        self.output = OutputLog(log, redactor, on_output)
        self._messages = b""
        self._started = 0.0
        self._failed: tuple[str, int] | None = None
        self._gone = False
        self._output = self._status = self._request = -1
        self._output_ended = False
        self.exit_code: int | None = None
        self.signal: int | None = None
        self.timed_out = False
        self.cancelled = False
        self.error: str | None = None
        self.duration = 0.0
        self.left_running: tuple[str, ...] = ()
        self.survivors: tuple[str, ...] = ()

    def execute(self, cwd: Path, environment: Environment, cancel: threading.Event | None) -> None:
        argv = ("/bin/sh", "-c", *self._check.argv) if self._check.shell else self._check.argv
        values = {**environment.values, RUN_ID: os.urandom(16).hex()}
        try:
            message = _request(argv, cwd, values)
        except ValueError as cause:
            self._fail(f"the command cannot be run: {cause}")
            return
        self._started = time.monotonic()
        if not self._supervise(message, cancel):
            return
        if not self._gone:
            _kill_marked(f"{RUN_ID}={values[RUN_ID]}".encode())
            if self.error is None:
                self._fail("the process that watches the check was killed")
        if self._failed is not None:
            self._explain(*self._failed, argv, cwd, environment)

    def _supervise(self, message: bytes, cancel: threading.Event | None) -> bool:
        """Starts the supervisor and returns when it has ended and its output is read; False without start."""
        with ExitStack() as opened:
            try:
                output, request, status = (opened.enter_context(_Pipe()) for _ in range(3))
                supervisor = subprocess.Popen(
                    [sys.executable, "-I", "-S", _PROGRAM, str(request.read), str(status.write)],
                    stdin=subprocess.DEVNULL,
                    stdout=output.write,
                    stderr=output.write,
                    pass_fds=(request.read, status.write),
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as cause:
                self._fail(f"the check could not be started: {cause.strerror or cause}")
                return False
            # From here on, closing our end of the request is enough to have everything killed.
            try:
                output.close_write()
                status.close_write()
                request.close_read()
                self._output, self._status, self._request = output.read, status.read, request.write
                os.set_blocking(output.read, False)
                self._ask(message)
                try:
                    self._attend(cancel)
                except BaseException:
                    # Its listener may be what failed.
                    self.output.listener = None
                    self._stop_after_interrupt()
                    raise
            finally:
                request.close_write()
                self._end(supervisor)
                self._read_rest()
                self.output.finish()
        return True

    def _attend(self, cancel: threading.Event | None) -> None:
        """Reads and waits until the supervisor has ended, and stops the check when it has to."""
        deadline = self._started + self._check.timeout_seconds
        while not self._ended:
            if cancel is not None and cancel.is_set():
                self.cancelled = True
                break
            rest = deadline - time.monotonic()
            if rest <= 0:
                self.timed_out = True
                break
            if not self._read(rest if cancel is None else min(rest, _CANCEL_INTERVAL)):
                return
        if not self._ended:
            self._ask(b"t")
        self._wait_for_end(STOP_GRACE + KILL_PATIENCE + _SPARE)

    def _stop_after_interrupt(self) -> None:
        try:
            self._ask(b"t")
            self._wait_for_end(STOP_GRACE + KILL_PATIENCE)
        except KeyboardInterrupt:
            self._ask(b"k")
            self._wait_for_end(KILL_PATIENCE)

    def _wait_for_end(self, seconds: float) -> None:
        """Reads until the supervisor has ended, at most so long."""
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0 and self._read(rest):
            pass

    def _read(self, seconds: float) -> bool:
        """Takes in what comes within the time; False when the supervisor has ended."""
        wanted = [self._status] if self._output_ended else [self._status, self._output]
        poll = select.poll()
        for fd in wanted:
            poll.register(fd, select.POLLIN)
        # A wait of zero is none, and one of a millisecond too little would be followed by another.
        ready = {fd for fd, _ in poll.poll(seconds * 1000 + 1)}
        if self._output in ready:
            self._output_ended = not self._read_output()
        return self._status not in ready or self._read_status()

    def _ask(self, data: bytes) -> None:
        """Nobody listening shows in the status; it needs no second error."""
        view = memoryview(data)
        with suppress(BrokenPipeError):
            while view:
                view = view[os.write(self._request, view) :]

    def _read_output(self) -> bool:
        """Takes in what there is; False at the end of the output."""
        try:
            data = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return True
        self.output.feed(data)
        return bool(data)

    def _read_rest(self) -> None:
        """What is in the pipe now; a process that could not be ended may keep it open for ever."""
        for _ in range(1 + (1 << 20) // 4096):
            try:
                data = os.read(self._output, _CHUNK)
            except BlockingIOError:
                return
            if not data:
                return
            self.output.feed(data)

    def _read_status(self) -> bool:
        """Takes in messages of the supervisor; False when it has ended."""
        data = os.read(self._status, _CHUNK)
        self._messages += data
        while len(self._messages) >= 4:
            size = int.from_bytes(self._messages[:4], "big")
            if len(self._messages) < 4 + size:
                break
            self._take(marshal.loads(self._messages[4 : 4 + size]))
            self._messages = self._messages[4 + size :]
        return bool(data)

    @property
    def _ended(self) -> bool:
        return self.exit_code is not None or self.signal is not None or self._failed is not None

    def _take(self, message: tuple[object, ...]) -> None:
        match message:
            case ("exit", int(code)):
                self.exit_code = code
            case ("signal", int(number)):
                self.signal = number
            case ("failed", str(stage), int(number)):
                self._failed = (stage, number)
            case ("gone", list(left), list(survivors)):
                self._gone = True
                self.left_running = tuple(map(self._redactor.redact, left))
                self.survivors = tuple(map(self._redactor.redact, survivors))
                return
        self.duration = time.monotonic() - self._started

    def _end(self, supervisor: subprocess.Popen[bytes]) -> None:
        """Reaps the supervisor, which is about to end by itself."""
        try:
            supervisor.wait(KILL_PATIENCE + 1)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()
        if not self._ended:
            self.duration = time.monotonic() - self._started

    def _fail(self, reason: str) -> None:
        self.error = self._redactor.redact(reason)
        self._log.write(f"executor: {self.error}\n")

    def _explain(
        self, stage: str, number: int, argv: tuple[str, ...], cwd: Path, environment: Environment
    ) -> None:
        command = argv[0]
        if stage == "cwd":
            self._fail(f"the directory {cwd} cannot be entered: {os.strerror(number)}")
        elif stage == "exec" and number in (errno.ENOENT, errno.ENOTDIR):
            self.exit_code = COMMAND_NOT_FOUND
            self._fail(_not_found(command, cwd, environment))
        elif stage == "exec":
            self.exit_code = COMMAND_NOT_EXECUTABLE
            self._fail(f"command cannot be executed: {command}: {os.strerror(number)}")
        else:
            self._fail(f"the check could not be started: {os.strerror(number)}")


class _Pipe:
    """Both ends of a pipe, closed at the end of the block unless they were before."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        self._open = {self.read, self.write}

    def __enter__(self) -> _Pipe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_read()
        self.close_write()

    def close_read(self) -> None:
        self._close(self.read)

    def close_write(self) -> None:
        self._close(self.write)

    def _close(self, fd: int) -> None:
        if fd in self._open:
            self._open.remove(fd)
            os.close(fd)


def _request(argv: tuple[str, ...], cwd: Path, values: dict[str, str]) -> bytes:
    """The message that starts the check. Raises ValueError for what no program can be given."""
    if not argv or not argv[0]:
        raise ValueError("no command is given")
    if any("\0" in text for text in (*argv, str(cwd), *values, *values.values())):
        raise ValueError("it holds a NUL character")
    message = marshal.dumps(
        {
            "argv": [os.fsencode(item) for item in argv],
            "cwd": os.fsencode(cwd),
            "env": {os.fsencode(name): os.fsencode(value) for name, value in values.items()},
            "parent": os.getpid(),
            "stop_grace": STOP_GRACE,
            "kill_patience": KILL_PATIENCE,
        }
    )
    return len(message).to_bytes(4, "big") + message


def _not_found(command: str, cwd: Path, environment: Environment) -> str:
    if "/" in command:
        if (cwd / command).is_file():
            return f"command cannot be executed: {command}: the interpreter in its first line does not exist"
        return f"command not found: {command}; there is no such file in {cwd}"
    where = environment.values.get("VIRTUAL_ENV") or environment.values.get("CONDA_PREFIX")
    if where:
        return f"command not found: {command}; is it installed in {where}?"
    path = environment.values.get("PATH", os.defpath)
    return f"command not found: {command}; is it installed in one of {path}?"


def _kill_marked(mark: bytes) -> None:
    """Kills every process whose environment holds `mark`, until none is found twice in a row."""
    quiet = 0
    end = time.monotonic() + KILL_PATIENCE
    while quiet < 2 and time.monotonic() < end:
        found = [pid for pid in _process_ids() if mark in _environment_of(pid).split(b"\0")]
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        quiet = 0 if found else quiet + 1
        time.sleep(0.01)


def _process_ids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _environment_of(pid: int) -> bytes:
    """Nothing for a process of another user, one that is gone, or a zombie."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
