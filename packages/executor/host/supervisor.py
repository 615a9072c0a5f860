"""Runs one command and leaves no process of it behind.

A program of its own, started as `python -I -S supervisor.py REQUEST STATUS` with the numbers of two open
pipes; its output and error output are where the command's output goes. It imports little, not even
`typing`, because every check waits for its start.

Messages are values of `marshal` after their length in 4 bytes: both ends are the same interpreter.
REQUEST brings one, a dictionary: argv, cwd, env (all bytes), parent (the process that asks), stop_grace
(seconds between SIGTERM and SIGKILL), kill_patience (seconds until a process that outlasts SIGKILL, in an
uninterruptible call or of another user, is reported). What follows on REQUEST are single bytes: `t` ends the
command gently, `k` at once.
The end of REQUEST means that the asking process is gone, and counts as `k`.

STATUS carries `("exit", code)`, `("signal", number)` or `("failed", stage, errno)` when the command has
ended or could not start, then `("gone", left, survivors)` when everything it had started is gone: the names
of the processes it left running, and of those that cannot be ended.

How nothing is left: this process is the subreaper of its descendants, so whatever becomes an orphan
becomes its child, also after a double fork and setsid. As long as any descendant lives, `waitpid` knows a
child; when it knows none, there is none. A process that another service starts on the command's behalf (a
container, a scheduled job) is no descendant and is not found.
"""

import ctypes
import marshal
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

# Seconds for what a command that has ended left behind: to end by itself, and after SIGTERM.
LINGER_GRACE = 0.05
LEFT_GRACE = 0.3

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class Process:
    """A process as /proc shows it. Number and start time together are never used twice."""

    def __init__(self, pid: int, parent: int, state: str, started: int, name: str) -> None:
        self.pid, self.parent, self.state, self.started, self.name = pid, parent, state, started, name


class Supervisor:
    def __init__(self, request: int, status: int, control: Callable[[int, int], None]) -> None:
        self.request = request
        self.status = status
        self.control = control
        self.child = 0
        self.ended: int | None = None
        self.stop_grace = self.kill_patience = 0.0
        self.killed_by_request = False
        self.terminated: set[tuple[int, int]] = set()
        self.wake, wake_write = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, *_STOP_SIGNALS):
            signal.signal(number, _do_nothing)
        self.poll = select.poll()
        self.poll.register(request, select.POLLIN)
        self.poll.register(self.wake, select.POLLIN)

    def run(self) -> None:
        size = _read_exactly(self.request, 4)
        asked = marshal.loads(_read_exactly(self.request, int.from_bytes(size, "big"))) if size else None
        if asked is None:
            return
        # Dies with the thread that asks, should its end of REQUEST have leaked into another process.
        self.control(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != asked["parent"]:
            return
        self.stop_grace, self.kill_patience = asked["stop_grace"], asked["kill_patience"]
        failure = self.start(asked["argv"], asked["cwd"], asked["env"])
        if failure is not None:
            self.tell("failed", *failure)
            self.tell("gone", [], [])
            return
        # The reader of the output sees its end when the last process of the command is gone.
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)

        stop_by = self.watch()
        if self.ended is not None:
            self.tell_ended()
        left: list[str] = []
        if not self.killed_by_request and not self.wait_until_childless(LINGER_GRACE):
            left = [process.name for process in self.descendants()]
            # Asked to stop, too, there may be some that the first round missed, for they were just starting.
            self.terminate_descendants()
            self.wait_until_childless((stop_by or time.monotonic() + LEFT_GRACE) - time.monotonic())
        already_told = self.ended is not None
        survivors = self.kill_descendants()
        if not already_told and self.ended is not None:
            self.tell_ended()
        self.tell("gone", left, survivors)

    def start(self, argv: list[bytes], cwd: bytes, env: dict[bytes, bytes]) -> tuple[str, int] | None:
        """Starts the command in a session of its own. What failed, and its errno, when it did not start.

        Every descriptor of this process but the first three closes when the command begins.
        """
        failed_read, failed_write = os.pipe()
        supervisor = os.getpid()
        self.child = os.fork()
        if self.child == 0:
            stage = "start"
            try:
                signal.set_wakeup_fd(-1)
                os.setsid()
                self.control(_PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != supervisor:
                    os._exit(125)
                # Python ignores these two; the others may be ignored since whoever started us did so.
                for ignored in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, *_STOP_SIGNALS):
                    signal.signal(ignored, signal.SIG_DFL)
                resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
                stage = "cwd"
                os.chdir(cwd)
                stage = "exec"
                os.execvpe(argv[0], argv, env)
            except OSError as error:
                os.write(failed_write, f"{stage} {error.errno or 0}".encode())
            finally:
                os._exit(125)
        os.close(failed_write)
        report = os.read(failed_read, 100).decode()
        os.close(failed_read)
        if not report:
            return None
        os.waitpid(self.child, 0)
        stage, number = report.split()
        return stage, int(number)

    def watch(self) -> float | None:
        """Until the command has ended or is to be killed; when its grace ends if it was asked to stop."""
        stop_by: float | None = None
        while True:
            self.reap()
            if self.ended is not None:
                return stop_by
            asked = self.wait(None if stop_by is None else stop_by - time.monotonic())
            if self.killed_by_request or (stop_by is not None and time.monotonic() >= stop_by):
                self.killed_by_request = True
                return stop_by
            if asked and stop_by is None:
                self.terminate_descendants()
                stop_by = time.monotonic() + self.stop_grace

    def wait(self, seconds: float | None) -> bool:
        """Waits for a signal or a request; whether the command is asked to stop."""
        timeout = None if seconds is None else max(0, round(seconds * 1000))
        ready = {fd for fd, _ in self.poll.poll(timeout)}
        stop = False
        if self.wake in ready:
            stop = not set(_STOP_SIGNALS).isdisjoint(os.read(self.wake, 4096))
        if self.request in ready:
            asked = os.read(self.request, 64)
            stop = stop or b"t" in asked
            if not asked or b"k" in asked:
                self.killed_by_request = True
                # The end of a pipe stays readable for ever.
                self.poll.unregister(self.request)
        return stop

    def wait_until_childless(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.reap():
            rest = end - time.monotonic()
            if rest <= 0 or self.killed_by_request:
                return False
            self.wait(rest)
        return True

    def reap(self) -> bool:
        """Takes in every child that has ended; whether there are others."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.child:
                self.ended = os.waitstatus_to_exitcode(status)

    def kill_descendants(self) -> list[str]:
        """Kills until none is left; the names of those that withstand."""
        end = time.monotonic() + self.kill_patience
        while self.reap():
            if time.monotonic() >= end:
                return [process.name for process in self.descendants()] or ["a process of another user"]
            for process in self.descendants():
                _signal(process, signal.SIGKILL)
            # What a killed process leaves becomes a child of this one: look again soon.
            if self.reap():
                time.sleep(0.002)
        return []

    def terminate_descendants(self) -> None:
        """SIGTERM to each that has not had it; a second one might cut its last actions short."""
        for process in self.descendants():
            if (process.pid, process.started) not in self.terminated:
                self.terminated.add((process.pid, process.started))
                _signal(process, signal.SIGTERM)
                # A stopped process sees no signal before it continues.
                _signal(process, signal.SIGCONT)

    def descendants(self) -> list[Process]:
        """All living processes that come from the command, parents before their children."""
        children: dict[int, list[Process]] = {}
        with os.scandir("/proc") as entries:
            pids = [int(entry.name) for entry in entries if entry.name.isdigit()]
        for process in filter(None, map(_look_at, pids)):
            children.setdefault(process.parent, []).append(process)
        found = children.get(os.getpid(), [])
        for process in found:
            found.extend(children.get(process.pid, []))
        return [process for process in found if process.state not in "ZX"]

    def tell_ended(self) -> None:
        ended = self.ended or 0
        if ended < 0:
            self.tell("signal", -ended)
        else:
            self.tell("exit", ended)

    def tell(self, kind: str, *values: int | str | list[str]) -> None:
        data = marshal.dumps((kind, *values))
        try:
            os.write(self.status, len(data).to_bytes(4, "big") + data)
        except BrokenPipeError:
            # Nobody listens any more; what is left to do is to end the processes.
            return


def _look_at(pid: int) -> Process | None:
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(fd, 4096).decode("utf-8", "replace")
    except OSError:
        return None
    finally:
        os.close(fd)
    # The name stands in brackets and may hold brackets.
    name = text[text.index("(") + 1 : text.rindex(")")]
    fields = text[text.rindex(")") + 2 :].split()
    return Process(pid, int(fields[1]), fields[0], int(fields[19]), name)


def _signal(process: Process, number: int) -> None:
    """Signals this very process; another one that got its number meanwhile is left alone."""
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        return
    try:
        seen = _look_at(process.pid)
        if seen is not None and seen.started == process.started:
            signal.pidfd_send_signal(handle, number)
    except OSError:
        # Ended meanwhile, or another user's: who withstands is found in the end.
        pass
    finally:
        os.close(handle)


def _read_exactly(fd: int, size: int) -> bytes:
    """Nothing when the pipe ends before."""
    data = b""
    while len(data) < size:
        part = os.read(fd, size - len(data))
        if not part:
            return b""
        data += part
    return data


def _do_nothing(_number: int, _frame: object) -> None:
    """The signal is seen through the wake-up pipe."""


def _prctl() -> Callable[[int, int], None]:
    library = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)

    def control(option: int, value: int) -> None:
        if library.prctl(option, ctypes.c_ulong(value), zero, zero, zero) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return control


def main(request: int, status: int) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    control = _prctl()
    control(_PR_SET_CHILD_SUBREAPER, 1)
    os.set_inheritable(request, False)
    os.set_inheritable(status, False)
    Supervisor(request, status, control).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
