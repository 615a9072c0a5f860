"""Checks that misbehave, under the command a user types."""

from __future__ import annotations

import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import GOOD_PATCH, VERIFY, Repository
from support.faults import environment
from support.phases import Mode

pytestmark = pytest.mark.faults

FULL = [pytest.mark.full, pytest.mark.timeout(900)]

# Deeper than a path may be long.
DEEP = """
import os
for _ in range(30):
    os.mkdir("deep" * 50)
    os.chdir("deep" * 50)
"""
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    with open(sys.argv[1], "w") as file:
        file.write(str(os.getpid()))
    time.sleep(1000)
while not os.path.exists(sys.argv[1]) or not os.path.getsize(sys.argv[1]):
    time.sleep(0.01)
"""
STUBBORN = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
with open(sys.argv[1], "w") as file:
    file.write(str(os.getpid()))
time.sleep(1000)
"""
FLOOD = """
import os, sys
block = b"all work and no play\\n" * 50_000
rest = int(sys.argv[1])
while rest > 0:
    rest -= os.write(1, block[:rest])
"""
KILLER = "import os, signal; os.killpg(0, signal.SIGKILL)"
WRITER = """
import pathlib
pathlib.Path("junk/deep").mkdir(parents=True)
pathlib.Path("junk/deep/file").write_text("junk")
pathlib.Path("test_calculator.py").write_text("spoiled")
pathlib.Path(".gitignore").write_text("junk")
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.calculator(tmp_path / "repository")


def script(tmp_path: Path, text: str, *arguments: object) -> str:
    """The command line of a check that is a program of its own."""
    file = tmp_path / "check.py"
    file.write_text(text)
    return " ".join(["python", str(file), *map(str, arguments)])


def gone(pid_file: Path) -> bool:
    """Whether the process has died; one that nobody has reaped is dead, too."""
    try:
        stat = Path(f"/proc/{pid_file.read_text()}/stat").read_text()
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def why(repository: Repository) -> str:
    """What the record says went wrong; a line of progress may be cut where the terminal ends."""
    return str(repository.run("show", "@last", "--json").json["execution"]["error_message"])


def next_change_runs(repository: Repository) -> None:
    result = repository.apply("--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+n = 1\n", verify="true")
    assert result.code == 0, result.err


def test_a_daemon_of_a_check_does_not_outlive_it(repository: Repository, tmp_path: Path, mode: Mode) -> None:
    mode("a check that forks twice into a session of its own")
    pid_file = tmp_path / "pid"

    result = repository.apply(GOOD_PATCH, verify=script(tmp_path, DAEMON, pid_file))

    assert result.code == 0, result.err
    assert gone(pid_file)
    next_change_runs(repository)


def test_a_check_that_ignores_signals_is_killed_in_time(
    repository: Repository, tmp_path: Path, mode: Mode
) -> None:
    mode("a check that ignores SIGTERM, SIGINT and SIGHUP")
    before = repository.state()
    pid_file = tmp_path / "pid"

    result = repository.apply(GOOD_PATCH, "--timeout", "3", verify=script(tmp_path, STUBBORN, pid_file))

    assert result.code == 1, result.err
    assert "did not end in time" in why(repository)
    assert before == repository.state()
    assert gone(pid_file)
    next_change_runs(repository)


@pytest.mark.parametrize(
    "size", [pytest.param(64 << 20, id="64MB"), pytest.param(1 << 30, marks=FULL, id="1GB")]
)
def test_a_flood_of_output_costs_no_memory(
    repository: Repository, tmp_path: Path, mode: Mode, size: int
) -> None:
    """Against a check that prints nothing; the log has its beginning and its end, and says what is missing."""
    mode(f"a check that prints {size >> 20} MB")
    peaks = []
    for printed, patch in ((0, "a"), (size, "b")):
        peak = tmp_path / f"{patch}.peak"
        diff = f"--- /dev/null\n+++ b/{patch}.py\n@@ -0,0 +1 @@\n+x = 1\n"
        process = repository.start(
            *("run", "--verify", script(tmp_path, FLOOD, printed), "--patch", "-"),
            environ=environment(peak=peak),
        )
        _, err = process.communicate(diff, timeout=600)
        assert process.returncode == 0, err
        peaks.append(int(peak.read_text()))

    logs = [*(repository.root / ".executor/executions").glob("*/steps/*verify.log")]
    largest = max(logs, key=lambda log: log.stat().st_size)

    assert peaks[1] - peaks[0] < 50_000
    assert largest.stat().st_size <= 1_000_000
    assert b"bytes left out" in largest.read_bytes()


def test_a_check_that_kills_its_process_group_kills_only_itself(
    repository: Repository, tmp_path: Path, mode: Mode
) -> None:
    mode("a check that sends SIGKILL to its process group")
    before = repository.state()

    result = repository.apply(GOOD_PATCH, verify=script(tmp_path, KILLER))

    assert result.code == 1, result.err
    assert signal.SIGKILL.name in why(repository)
    assert before == repository.state()
    next_change_runs(repository)


@pytest.mark.parametrize("code", [0, 1])
def test_what_a_check_writes_into_the_workspace_is_undone(
    repository: Repository, tmp_path: Path, mode: Mode, code: int
) -> None:
    """Whether it passes or fails: checks must not change what was there."""
    mode("a check that makes files, spoils one, and hides what it made from git")
    before = repository.state()

    result = repository.apply(GOOD_PATCH, verify=script(tmp_path, f"{WRITER}\nraise SystemExit({code})"))

    assert result.code == 1, result.err
    assert "test_calculator.py" in why(repository) or code
    assert before == repository.state()
    next_change_runs(repository)


def test_what_a_check_leaves_too_deep_to_be_named_keeps_nothing_else_from_its_place(
    repository: Repository, tmp_path: Path, mode: Mode
) -> None:
    """Exit 5 names the directory; everything that was there before is as before."""
    mode("a check that makes a directory deeper than a path may be long")
    before = repository.state()

    result = repository.apply(GOOD_PATCH, verify=script(tmp_path, f"{DEEP}\nraise SystemExit(1)"))

    assert result.code == 5, result.err
    assert "deep" in why(repository)
    shutil.rmtree(repository.root / ("deep" * 50))
    assert before == repository.state()
    next_change_runs(repository)


def test_a_command_that_makes_a_tree_too_deep_is_refused(
    repository: Repository, tmp_path: Path, mode: Mode
) -> None:
    mode("a captured command that makes a directory deeper than a path may be long")
    before = repository.state()

    result = repository.run("run", "--verify", VERIFY, "--", *script(tmp_path, DEEP).split())

    assert result.code == 1, result.err
    assert "cannot be read" in why(repository)
    assert before == repository.state()
    assert list((repository.root / ".executor").glob("scratch/*")) == []
    next_change_runs(repository)


@pytest.fixture
def mute() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("kind", ["http", "command"])
def test_a_health_check_that_hangs_ends_at_its_deadline(
    repository: Repository, tmp_path: Path, mode: Mode, mute: int, kind: str
) -> None:
    mode(f"a health check of kind {kind} that never answers")
    what = f'http = "http://127.0.0.1:{mute}/"' if kind == "http" else 'command = "sleep 1000"'
    repository.write(
        ".executor/config.toml", f"[health.slow]\n{what}\nretries = 100\ntimeout = 1.0\ndeadline = 2.0\n"
    )
    before = repository.state()
    began = time.monotonic()

    result = repository.apply(GOOD_PATCH, verify="true")

    assert result.code == 1, result.err
    assert "slow" in why(repository)
    assert time.monotonic() - began < 60
    assert before == repository.state()


@pytest.mark.parametrize("passes", [True, False])
def test_a_clock_that_jumps_by_days_changes_nothing(
    repository: Repository, tmp_path: Path, mode: Mode, passes: bool
) -> None:
    """Back and forth at every look: the record ends once, in order, with a duration that makes sense."""
    mode("every look at the clock days away from the one before")
    before = repository.state()
    verify = "true" if passes else "false"

    process = repository.start(
        *("run", "--verify", verify, "--patch", "-"), environ=environment(clock_jumps=True)
    )
    _, err = process.communicate(GOOD_PATCH, timeout=120)
    record = repository.run("show", "@last", "--json").json["execution"]
    events = repository.run("events", "@last", "--json").json["events"]

    assert process.returncode == (0 if passes else 1), err
    assert record["status"] == ("completed" if passes else "rolled_back")
    assert 0 <= record["duration_seconds"] < 120
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert passes or before == repository.state()


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_set_while_checks_run_hides_nothing_they_made(
    repository: Repository, tmp_path: Path, mode: Mode, hours: int
) -> None:
    """What is new is told from what was there by time, too; set back, new files look older than they are."""
    mode(f"the clock {hours:+} h off until the check begins")
    before = repository.state()
    verify = script(tmp_path, f"open({str(tmp_path / 'set')!r}, 'w').close()\n{WRITER}\nraise SystemExit(1)")

    process = repository.start(
        *("run", "--verify", verify, "--patch", "-"),
        environ=environment(clock_ahead=(hours * 3600.0, tmp_path / "set")),
    )
    _, err = process.communicate(GOOD_PATCH, timeout=120)

    assert process.returncode == 1, err
    assert before == repository.state()
