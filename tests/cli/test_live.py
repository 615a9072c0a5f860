"""What checks print is shown while they run, and neither holds them up nor steers the terminal."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from executor.cli.live import LINES, LiveOutput
from support.command import GOOD_PATCH, Repository
from support.terminal import Terminal


class Screen:
    """Takes what is shown; nothing passes while `held`."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.left_out = 0
        self.hints: list[str] = []
        self.free = threading.Event()
        self.free.set()

    def show(self, lines: Sequence[str], left_out: int) -> None:
        self.free.wait()
        self.lines += lines
        self.left_out += left_out


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def output(screen: Screen) -> LiveOutput:
    return LiveOutput(screen.show, screen.hints.append)


def test_lines_are_shown_whole_and_in_order(screen: Screen, output: LiveOutput) -> None:
    """However they are cut on their way; of what was written over, the last state; the last one without its end."""
    for part in ("o", "ne\ntw", "o\n", " 10%\r 99%\rdone\r\n", "\n", "rest"):
        output.feed(part)
    output.drain()
    output.feed("again\n")
    output.drain()

    assert ["one", "two", "done", "", "rest", "again"] == screen.lines
    assert 0 == screen.left_out


def test_a_terminal_that_stands_still_holds_nobody_up(screen: Screen, output: LiveOutput) -> None:
    """Everything that is not shown is counted, and little of it is kept meanwhile."""
    screen.free.clear()
    for number in range(200_000):
        output.feed(f"line {number} of very many\n")
    waiting = sum(map(len, output._waiting))

    screen.free.set()
    output.drain()

    assert waiting <= 1 << 20
    assert 200_000 == len(screen.lines) + screen.left_out
    assert "line 199999 of very many" == screen.lines[-1]
    assert len(screen.lines) <= 2 * LINES


CHECK = r"""sh -c 'printf "one\n\033[2Jtwo %s\n" "$API_TOKEN"'"""


@pytest.mark.parametrize(
    ("at_terminal", "options", "expected"),
    [
        (True, (), True),
        (True, ("--no-live",), False),
        (True, ("--json",), False),
        (False, (), False),
        (False, ("--live",), True),
    ],
)
def test_what_a_check_prints_is_shown_at_a_terminal_or_when_asked_for(
    tmp_path: Path, at_terminal: bool, options: tuple[str, ...], expected: bool
) -> None:
    repository = Repository.calculator(tmp_path / "repository")
    repository.environ["API_TOKEN"] = "s3cret-value"
    (tmp_path / "good.diff").write_text(GOOD_PATCH)
    command = ("run", "--patch", "../good.diff", "--verify", CHECK, "--env", "API_TOKEN", *options)

    ran = Terminal(repository).run(*command) if at_terminal else repository.run(*command)

    assert 0 == ran.code, ran.err
    assert expected == ("  │ one" in ran.err)
    assert expected == ("  │ \\x1b[2Jtwo [redacted]" in ran.err)
    assert "\033[2J" not in ran.err
    assert "s3cret-value" not in ran.err
