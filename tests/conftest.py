"""What every test starts from: an environment that is the same on every machine."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from support.phases import Mode

pytest_plugins = ["support.postgres"]

# Everything else is dropped: variables of agents and CI systems change triggers and actors, EXECUTOR_*
# links executions to whatever runs the tests, GIT_* points git at another repository.
KEPT = ("PATH", "LANG", "LC_", "TMPDIR", "TZ", "LD_", "USER", "LOGNAME")
KEPT_FOR_TESTS = ("PYTHONPATH", "PYTHONWARNINGS", "PYTEST_", "COVERAGE_", "HYPOTHESIS_", "EXECUTOR_TEST_")

GIT_CONFIG = """\
[user]
    name = Test
    email = test@example.invalid
[init]
    defaultBranch = main
[commit]
    gpgSign = false
"""

# Shared machines stall: neither deadlines nor slow data generation say anything about the code.
settings.register_profile(
    "short", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("full", settings.get_profile("short"), max_examples=1000)
settings.load_profile("short")


@pytest.fixture(scope="session", autouse=True)
def heeded_interrupts() -> None:
    """As at a terminal, also where the tests run in the background of a script, which ignores Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def isolated_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An empty HOME with a git identity, no variable that Executor, git or a terminal would heed, and the
    environment that runs the tests first on PATH, as if it were activated.
    """
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(GIT_CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if not name.startswith(KEPT + KEPT_FOR_TESTS):
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        yield


@pytest.fixture
def mode(record_property: Callable[[str, object], None]) -> Mode:
    """Says by which means a test made its faults; the run prints them all at its end."""
    return lambda text: record_property("fault mode", text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """By which means the faults were made, test by test; a run without any says nothing."""
    modes = [
        f"{report.nodeid.rpartition('/')[2]}: {value}"
        for outcome in ("passed", "failed", "skipped")
        for report in terminalreporter.stats.get(outcome, ())
        for name, value in getattr(report, "user_properties", ())
        if name == "fault mode" and (report.when == "call" or report.failed)
    ]
    if modes:
        terminalreporter.write_sep("-", "how the faults were made")
        for line in sorted(modes):
            terminalreporter.write_line(line)
