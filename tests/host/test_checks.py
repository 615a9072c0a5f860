"""Checks run to their end and leave nothing behind: real processes, as badly behaved as they come."""

import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from executor.events.redaction import MASK, Redactor
from executor.host import checks
from executor.host.checks import CheckResult, run_check
from executor.host.environment import Environment, check_environment
from executor.models.plan import Check

SECRET = "s3cr3t-value-of-a-token"
PYTHON = shlex.quote(sys.executable)  # as a shell wants it


class Runner:
    """Runs checks in a directory of their own; every process of them carries a mark to find it by."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root.parent / "check.log"
        self.mark = f"EXECUTOR_TEST_MARK={root}-{os.getpid()}"

    def run(
        self,
        *argv: str,
        timeout: float = 60.0,
        on_output: Callable[[str], None] | None = None,
        cancel: threading.Event | None = None,
        environment: Environment | None = None,
        log_bytes: int = 1_000_000,
    ) -> CheckResult:
        check = Check(name="check", argv=argv, shell=len(argv) == 1, timeout_seconds=timeout)
        values = environment or check_environment(os.environ)
        name, _, value = self.mark.partition("=")
        return run_check(
            check,
            cwd=self.root,
            log_path=self.log,
            environment=Environment({**values.values, name: value}, values.withheld),
            redactor=Redactor({"API_TOKEN": SECRET}),
            on_output=on_output,
            cancel=cancel,
            log_bytes=log_bytes,
        )

    def python(self, code: str, timeout: float = 60.0, **options: object) -> CheckResult:
        return self.run(sys.executable, "-I", "-c", code, timeout=timeout, **options)  # type: ignore[arg-type]

    def left(self) -> list[str]:
        """The command lines of processes of the checks that are alive."""
        found = []
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                try:
                    if self.mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                        found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
                except OSError:
                    continue
        return found


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    root = tmp_path / "work"
    root.mkdir()
    runner = Runner(root)
    yield runner
    assert [] == runner.left(), "a check left processes"


# How it ends.


def test_a_check_that_exits_with_zero_has_passed(runner: Runner) -> None:
    """It runs in the workspace; its output is in the log and at hand."""
    result = runner.run("pwd; echo to stderr >&2")

    assert result.passed
    assert (0, None, False, None, ()) == (
        *(result.exit_code, result.signal, result.timed_out, result.error),
        result.left_running,
    )
    assert f"{runner.root}\nto stderr\n" == result.tail == runner.log.read_text()
    assert len(result.tail) == result.output_bytes


def test_arguments_reach_the_command_as_they_are(runner: Runner) -> None:
    """No shell sees an argv list: spaces, quotes, globs and bytes that are no UTF-8 stay."""
    arguments = ["a b", "'\"", "*", "$HOME", "", "ü", os.fsdecode(b"\xe9")]
    code = "import sys, os; print([os.fsencode(a) for a in sys.argv[1:]])"
    result = runner.run(sys.executable, "-I", "-c", code, *arguments)

    assert f"{[os.fsencode(a) for a in arguments]}\n" == result.tail


@pytest.mark.parametrize(
    ("script", "exit_code", "number", "summary"),
    [
        ("exit 3", 3, None, "exited with 3"),
        ("kill -SEGV $$", None, signal.SIGSEGV, "was ended by SIGSEGV"),
        ("kill -KILL $$", None, signal.SIGKILL, "was ended by SIGKILL"),
        ("kill -TERM 0; sleep 60", None, signal.SIGTERM, "was ended by SIGTERM"),
        ("kill -40 $$", None, 40, "was ended by signal 40"),
    ],
)
def test_how_a_check_failed_is_told(
    runner: Runner, script: str, exit_code: int | None, number: int | None, summary: str
) -> None:
    """Exit code or signal, also when the check ends its own process group."""
    result = runner.run(script)

    assert not result.passed
    assert (exit_code, number, summary) == (result.exit_code, result.signal, result.summary)


def test_a_command_that_is_not_installed_is_an_answer(runner: Runner) -> None:
    """Exit code 127, a sentence that says where it was looked for, and the same sentence in the log."""
    environment = Environment({"PATH": "/bin", "VIRTUAL_ENV": "/srv/app/.venv"}, ("SOME_TOKEN",))
    result = runner.run("no-such-command", "-q", environment=environment)

    assert (127, "command not found: no-such-command; is it installed in /srv/app/.venv?") == (
        result.exit_code,
        result.error,
    )
    assert not result.passed
    assert ("SOME_TOKEN",) == result.withheld
    assert f"executor: {result.error}\n" == runner.log.read_text()


def test_what_cannot_be_executed_says_why(runner: Runner) -> None:
    """Not there, not executable, no interpreter, no program, no directory to run in."""
    (runner.root / "plain").write_text("#!/bin/sh\n")
    (runner.root / "lost").write_text("#!/no/such/interpreter\n")
    (runner.root / "lost").chmod(0o755)
    (runner.root / "empty").touch(mode=0o755)

    def outcome(*argv: str) -> tuple[int | None, str | None]:
        result = runner.run(*argv, "x")
        return result.exit_code, result.error

    assert (127, f"command not found: ./gone; there is no such file in {runner.root}") == outcome("./gone")
    assert (126, "command cannot be executed: ./plain: Permission denied") == outcome("./plain")
    assert (126, "command cannot be executed: ./empty: Exec format error") == outcome("./empty")
    assert "the interpreter in its first line does not exist" in (outcome("./lost")[1] or "")
    assert (None, "the command cannot be run: no command is given") == outcome("")
    assert (None, "the command cannot be run: it holds a NUL character") == outcome("a\0b")
    assert (126, "command cannot be executed: true: Argument list too long") == outcome("true", "x" * 200_000)
    (runner.root / "plain").unlink()
    runner.root = runner.root / "gone"
    assert (None, f"the directory {runner.root} cannot be entered: No such file or directory") == outcome(
        "true"
    )


def test_a_log_that_cannot_be_opened_is_an_answer(runner: Runner) -> None:
    """The check does not run: nobody could say afterwards what it had printed."""
    runner.log = runner.root / "no" / "such" / "folder"
    result = runner.run("touch ran")

    assert not result.passed
    assert result.error is not None
    assert "cannot be written" in result.error
    assert not (runner.root / "ran").exists()


# What it may use.


def test_a_check_has_no_input_and_no_terminal(runner: Runner) -> None:
    """What asks gets an end of file and not the keyboard: nothing waits for an answer."""
    result = runner.python(
        "import os, sys\n"
        "print(repr(sys.stdin.read()), os.getsid(0) == os.getpid() == os.getpgrp())\n"
        "try: os.open('/dev/tty', os.O_RDWR)\n"
        "except OSError: print('no terminal')"
    )

    assert "'' True\nno terminal\n" == result.tail


def test_no_open_file_reaches_a_check(runner: Runner) -> None:
    """Neither a lock of the workspace nor a pipe of ours, also when it is marked as inheritable."""
    held = os.open(runner.root, os.O_RDONLY)
    os.set_inheritable(held, True)
    try:
        result = runner.python("import os; print(sorted(os.listdir('/proc/self/fd')))")
    finally:
        os.close(held)

    # The fourth is the listing itself.
    assert "['0', '1', '2', '3']\n" == result.tail


def test_signals_are_as_in_a_fresh_shell(runner: Runner) -> None:
    """Neither Python's ignored SIGPIPE nor what this process blocks is inherited; no core is dumped."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])
    try:
        result = runner.run("grep -E 'Sig(Blk|Ign)' /proc/self/status; ulimit -c")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    found = re.fullmatch(r"SigBlk:\t(\w+)\nSigIgn:\t(\w+)\n(\d+)\n", result.tail)
    assert found is not None
    blocked, ignored, core = found.groups()
    # The C library keeps 32 and 33 to itself, and what GNU make starts has them ignored.
    reserved = 1 << 31 | 1 << 32

    assert (0, 0, 0) == (int(blocked, 16), int(ignored, 16) & ~reserved, int(core))


def test_a_check_gets_the_variables_it_was_given_and_no_others(runner: Runner) -> None:
    """Nothing of this process leaks around the allow-list; one variable marks the run."""
    result = runner.run("env", "-0", environment=Environment({"PATH": os.environ["PATH"], "A": "b\nc"}))
    names = {item.partition("=")[0] for item in result.tail.split("\0") if item}

    assert {"PATH", "A", "EXECUTOR_TEST_MARK", checks.RUN_ID} == names
    assert "A=b\nc\0" in result.tail


# What it leaves behind.


DAEMON = """
import os, signal, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
{silence}
open(f'up-{{os.getpid()}}', 'w').close()
time.sleep(1000)
"""
SILENCE = "n = os.open('/dev/null', os.O_RDWR)\nfor fd in (0, 1, 2): os.dup2(n, fd)"


POLITE = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('{word}', flush=True)))
pathlib.Path('ready').touch()
time.sleep(1000)
"""


@pytest.mark.parametrize("silence", [SILENCE, ""], ids=["own output", "shared output"])
@pytest.mark.parametrize("end", ["", "exit 1", "kill -9 $$"], ids=["passed", "failed", "killed"])
def test_daemons_are_ended_however_the_check_ends(runner: Runner, silence: str, end: str) -> None:
    """Double fork, own session, deaf to every polite signal, output closed or held open."""
    (runner.root / "daemon.py").write_text(DAEMON.format(silence=silence))
    both = "while [ $(ls | grep -c up-) -lt 2 ]; do sleep 0.02; done"
    result = runner.run(f"{PYTHON} -I daemon.py; {PYTHON} -I daemon.py; {both}; {end}")

    assert 2 == len(result.left_running)
    assert () == result.survivors
    assert (end == "") == result.passed


def test_processes_left_in_the_background_may_finish_first(runner: Runner) -> None:
    """SIGTERM comes before SIGKILL: a server removes its socket."""
    (runner.root / "server.py").write_text(POLITE.format(word="cleaned up"))
    result = runner.run(f"{PYTHON} -I server.py & while [ ! -e ready ]; do sleep 0.02; done; echo done")

    assert result.passed
    assert "done\ncleaned up\n" == result.tail
    assert result.left_running


def test_a_pipeline_that_is_just_ending_is_not_said_to_be_left(runner: Runner) -> None:
    """What ends by itself in a moment was not left behind."""
    result = runner.run("true & echo done")

    assert ("done\n", ()) == (result.tail, result.left_running)


def test_a_check_that_runs_out_of_time_is_stopped_with_all_it_started(runner: Runner) -> None:
    """Children in other sessions too; what it printed until then is in the log."""
    result = runner.run(
        f"echo begin; setsid sleep 1000 & (setsid sh -c 'sleep 1000; true' &); {PYTHON} -I -c '"
        "import time; time.sleep(1000)'",
        timeout=2.0,
    )

    assert result.timed_out
    assert not result.passed
    assert "begin\n" == result.tail
    assert re.fullmatch(r"did not end in time and was stopped after \d+\.\d s", result.summary)


def test_a_check_that_ends_well_when_told_that_time_is_up_has_not_passed(runner: Runner) -> None:
    """The exit code of the way out does not count."""
    result = runner.python(POLITE.format(word="bye"), timeout=2.0)

    assert (True, 0, False, "bye\n") == (result.timed_out, result.exit_code, result.passed, result.tail)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL a third of a second after SIGTERM."""
    monkeypatch.setattr(checks, "STOP_GRACE", 0.3)


@pytest.mark.usefixtures("impatient")
def test_a_check_that_ignores_every_signal_is_killed(runner: Runner) -> None:
    """SIGTERM, a grace period, SIGKILL; stopped processes too."""
    result = runner.python(
        "import os, signal, time\n"
        "for n in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}: signal.signal(n, signal.SIG_IGN)\n"
        "if os.fork() == 0: os.kill(os.getpid(), signal.SIGSTOP)\n"
        "else: print('deaf', flush=True)\n"
        "while True: time.sleep(1000)",
        timeout=2.0,
    )

    assert (True, signal.SIGKILL, "deaf\n") == (result.timed_out, result.signal, result.tail)


@pytest.mark.usefixtures("impatient")
def test_processes_that_keep_forking_are_caught(runner: Runner) -> None:
    """Each replaces itself by a child in a session of its own all the time, so that none is there for long."""
    result = runner.python(
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        "        while True:\n"
        "            if os.fork(): os._exit(0)\n"
        "            os.setsid(); time.sleep(0.001)\n"
        "time.sleep(1000)",
        timeout=0.5,
    )

    assert result.timed_out
    assert () == result.survivors


def test_a_check_can_be_cancelled_from_another_thread(runner: Runner) -> None:
    """`executor cancel` reaches a running check at once."""
    cancel = threading.Event()
    result = runner.run("echo begin; sleep 1000", cancel=cancel, on_output=lambda _: cancel.set())

    assert (True, False, False, "was cancelled") == (
        *(result.cancelled, result.timed_out, result.passed),
        result.summary,
    )


def test_a_check_cancelled_before_it_begins_does_not_last(runner: Runner) -> None:
    """An event that is set already ends it as soon as it has started."""
    cancel = threading.Event()
    cancel.set()

    assert runner.run("sleep 1000", cancel=cancel).cancelled


def test_an_interrupt_reaches_the_caller_when_the_check_is_gone(runner: Runner) -> None:
    """Ctrl-C: the check is stopped, its last words are in the log, then KeyboardInterrupt goes on."""

    def interrupt(text: str) -> None:
        if "begin" in text:
            os.kill(os.getpid(), signal.SIGINT)

    (runner.root / "server.py").write_text(POLITE.format(word="last words"))
    with pytest.raises(KeyboardInterrupt):
        runner.run(
            f"setsid sleep 1000 & {PYTHON} -I server.py & "
            "while [ ! -e ready ]; do sleep 0.02; done; echo begin; sleep 1000",
            on_output=interrupt,
        )
    assert "begin\nlast words\n" == runner.log.read_text()


def test_a_second_interrupt_kills_at_once(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever presses Ctrl-C again does not wait for a check that ignores the first."""
    monkeypatch.setattr(checks, "STOP_GRACE", 200.0)
    interrupts = iter(range(2))

    def interrupt(text: str) -> None:
        if "begin" in text and next(interrupts, None) is not None:
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            os.kill(os.getpid(), signal.SIGINT)

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        runner.run("trap '' TERM; echo begin; while :; do sleep 1000; done", on_output=interrupt)

    # No measure of speed: without the second interrupt it would be the whole grace period.
    assert time.monotonic() - start < 150


def test_what_the_listener_raises_ends_the_check_and_goes_on(runner: Runner) -> None:
    """A closed pipe at the other end of `executor run | head` leaves nothing running."""

    def fail(_: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        runner.run("while :; do echo x; sleep 0.02; done", on_output=fail)


def test_a_killed_executor_takes_its_check_along(runner: Runner, tmp_path: Path) -> None:
    """SIGKILL leaves no time to clean up, and still nothing of the check stays: neither the command nor a
    daemon in another session.
    """
    (runner.root / "daemon.py").write_text(DAEMON.format(silence=SILENCE))
    program = tmp_path / "run.py"
    program.write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from executor.events.redaction import Redactor\n"
        "from executor.host.checks import run_check\n"
        "from executor.host.environment import Environment\n"
        "from executor.models.plan import Check\n"
        f"check = Check(name='c', argv=({f'{PYTHON} -I daemon.py; echo ready; sleep 1000'!r},), shell=True)\n"
        f"run_check(check, cwd=Path({str(runner.root)!r}), log_path=Path({str(runner.log)!r}),\n"
        "    environment=Environment(dict(os.environ)), redactor=Redactor({}),\n"
        "    on_output=lambda text: print(text, end='', flush=True))\n"
    )
    name, _, value = runner.mark.partition("=")
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, env={**os.environ, name: value}
    ) as outer:
        assert outer.stdout is not None
        assert outer.stdout.readline() == b"ready\n"
        assert len(runner.left()) >= 3
        outer.kill()
    deadline = time.monotonic() + 20
    while runner.left() and time.monotonic() < deadline:
        time.sleep(0.02)

    assert [] == runner.left()


def test_a_check_that_kills_its_supervisor_gains_nothing(runner: Runner) -> None:
    """The command dies with it; what had left its session is found by its mark. The check has not passed."""
    (runner.root / "daemon.py").write_text(DAEMON.format(silence=SILENCE))
    result = runner.run(f"{PYTHON} -I daemon.py; echo before; kill -9 $PPID; sleep 1000")

    assert not result.passed
    assert "the process that watches the check was killed" == result.error
    assert result.tail.startswith("before\n")


def test_a_check_that_stops_its_supervisor_politely_is_stopped_itself(runner: Runner) -> None:
    """SIGTERM to the supervisor stops the check; it is not taken for a pass."""
    result = runner.run("kill -TERM $PPID; sleep 1000")

    assert not result.passed
    assert signal.SIGTERM == result.signal


def descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def children() -> set[str]:
    """Of this process, dead ones included; other tests may have some that run on."""
    tasks = Path("/proc/self/task").iterdir()
    return {child for task in tasks for child in (task / "children").read_text().split()}


def test_a_check_leaves_no_descriptor_and_no_child_with_us(runner: Runner) -> None:
    """A long-running server runs thousands of them."""
    runner.run("true")
    before = descriptors(), children()
    for _ in range(3):
        runner.run("sleep 1000 & true")
        runner.run("no-such-command", "x")
        runner.run("sleep 1000", timeout=0.1)

    assert before == (descriptors(), children())


def test_checks_run_side_by_side_in_threads(runner: Runner) -> None:
    """A server runs several at once; each gets its own output and ends by itself."""
    results: dict[int, CheckResult] = {}

    def one(number: int) -> None:
        own = Runner(runner.root)
        own.log = runner.root.parent / f"{number}.log"
        results[number] = own.run(f"echo {number}; sleep 0.1; exit {number}")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {n: (n, f"{n}\n") for n in range(6)} == {n: (r.exit_code, r.tail) for n, r in results.items()}


def test_many_open_files_do_not_matter(runner: Runner) -> None:
    """A server has more descriptors open than select() can take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1_200:
        pytest.skip("this user may not open 1,200 files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1_200), hard))
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(1_050)]
    try:
        assert runner.run("echo fine").tail == "fine\n"
    finally:
        for fd in opened:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# What it prints.


def test_output_is_shown_as_it_comes(runner: Runner) -> None:
    """The listener has the first line before the check ends; the log, too."""
    seen: list[tuple[str, str]] = []

    def listen(text: str) -> None:
        seen.append((text, runner.log.read_text()))
        (runner.root / "go").touch()

    result = runner.run("echo first; while [ ! -e go ]; do sleep 0.02; done; echo second", on_output=listen)

    assert [("first\n", "first\n"), ("second\n", "first\nsecond\n")] == seen
    assert result.passed


def test_bytes_that_are_no_text_are_shown_as_such(runner: Runner) -> None:
    """Neither the log nor the answer breaks on them; a character cut by a buffer is whole again."""
    result = runner.python(
        "import sys, time; w = sys.stdout.buffer\n"
        "w.write(b'a\\xffb\\xc3'); w.flush(); time.sleep(0.1); w.write(b'\\xb6\\n\\x00\\xf0\\x9f\\n')"
    )

    assert "a\N{REPLACEMENT CHARACTER}bö\n\0\N{REPLACEMENT CHARACTER}\n" == result.tail
    assert result.tail.encode() == runner.log.read_bytes()


def test_secrets_are_masked_before_anything_is_written(runner: Runner) -> None:
    """Also when a secret comes in pieces; neither log, listener nor answer ever sees it."""
    seen: list[str] = []
    half = len(SECRET) // 2
    result = runner.python(
        "import sys, time\n"
        f"for part in ('token ', {SECRET[:half]!r}, {SECRET[half:]!r}, ' end\\n', 'http://u:pw@h/\\n'):\n"
        "    sys.stdout.write(part); sys.stdout.flush(); time.sleep(0.05)",
        on_output=seen.append,
    )
    expected = f"token {MASK} end\nhttp://u:{MASK}@h/\n"

    assert expected == result.tail == runner.log.read_text() == "".join(seen)


PRINTED = [50, pytest.param(1_000, marks=pytest.mark.full)]


@pytest.mark.parametrize("megabytes", PRINTED)
def test_endless_output_costs_neither_memory_nor_disk(runner: Runner, megabytes: int) -> None:
    """Of a gigabyte the log keeps a megabyte, begin and end; this process grows by a few megabytes."""
    runner.run("true")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = runner.python(
        "import sys\n"
        "line = b'x' * 99 + b'\\n'\n"
        "sys.stdout.buffer.write(b'first\\n')\n"
        f"for _ in range({megabytes}): sys.stdout.buffer.write(line * 10_000)\n"
        "sys.stdout.buffer.write(b'last\\n')"
    )
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    text = runner.log.read_text()

    assert result.passed
    assert result.log_truncated
    assert megabytes * 1_000_000 + 11 == result.output_bytes
    assert 900_000 < len(text) <= 1_000_000
    assert text.startswith("first\nxxx")
    assert text.endswith("x\nlast\n")
    assert len(re.findall(r"\n\[\.\.\. \d+ bytes left out \.\.\.\]\n", text)) == 1
    assert grown < 30_000


def test_a_line_without_end_is_cut_and_costs_no_memory(runner: Runner) -> None:
    """20 MB without a line break."""
    result = runner.python("import sys\nfor _ in range(200): sys.stdout.write('y' * 100_000)")

    assert 20_000_000 == result.output_bytes
    assert runner.log.stat().st_size <= 1_000_000
    assert {"y"} == set(result.tail)


def test_a_full_disk_ends_the_log_and_not_the_check(runner: Runner) -> None:
    """The result is the check's; that the log is incomplete is said."""
    runner.log = Path("/dev/full")
    result = runner.run("echo text; exit 4")

    assert (4, "text\n") == (result.exit_code, result.tail)
    assert result.log_error == "the log is incomplete: No space left on device"
