"""The command a user types, killed after each event and at moments nobody has chosen."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.command import Repository
from support.faults import environment
from support.parallel import at_each
from support.phases import Mode
from support.recovered import CASES, Template

pytestmark = pytest.mark.faults

FULL = [pytest.mark.full, pytest.mark.timeout(3000)]


def change(template: Template, *, captured: bool) -> Sequence[str]:
    if not captured:
        return ("run", "--verify", template.verify, "--patch", "-")
    return ("run", "--verify", template.verify, "--", "git", "apply", str(template.patch_file))


def start(
    repository: Repository, template: Template, *, captured: bool, after_event: int = 0
) -> subprocess.Popen[str]:
    command = change(template, captured=captured)
    process = repository.start(*command, environ=environment(after_event=after_event))
    assert process.stdin is not None
    if not captured:
        process.stdin.write(template.patch)
        process.stdin.flush()
    return process


@pytest.mark.parametrize("stride", [pytest.param(8, id="some"), pytest.param(1, marks=FULL, id="every")])
@pytest.mark.parametrize("captured", [False, True], ids=["patch", "captured"])
@pytest.mark.parametrize("case", CASES)
def test_killed_right_after_any_event_it_is_before_or_after(
    tmp_path: Path, mode: Mode, case: str, captured: bool, stride: int
) -> None:
    template = Template(tmp_path, case)
    counted = template.copy("counted")
    start(counted, template, captured=captured).communicate(timeout=120)
    (events,) = (counted.root / ".executor/executions").glob("*/events.jsonl")
    total = len(events.read_bytes().splitlines())
    mode(f"SIGKILL of the real command once an event is written, 1 in {stride} of {total}")

    def attempt(nth: int) -> str:
        repository = template.copy(str(nth))
        process = start(repository, template, captured=captured, after_event=nth)
        _, err = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, err
        return template.assert_in_order(repository)

    statuses = at_each(range(1 + stride // 2, total + 1, stride), attempt)

    assert total > 10
    assert "" not in statuses
    # After its last event the execution has come out; whatever happens to the process then changes nothing.
    assert stride > 1 or statuses[-1] == {"passes": "completed", "fails": "rolled_back"}[case]


@pytest.mark.parametrize("moments", [pytest.param(4, id="some"), pytest.param(50, marks=FULL, id="many")])
@pytest.mark.parametrize("case", CASES)
def test_killed_at_any_moment_it_is_before_or_after(
    tmp_path: Path, mode: Mode, case: str, moments: int
) -> None:
    """The moments are spread over twice the time a run takes when nothing else does."""
    template = Template(tmp_path, case)
    began = time.monotonic()
    start(template.copy("timed"), template, captured=False).communicate(timeout=120)
    longest = 2 * (time.monotonic() - began)
    chosen = random.Random(f"{case} {moments}")
    mode(f"SIGKILL of the real command at {moments} random moments")

    def attempt(nth: int) -> str:
        repository = template.copy(str(nth))
        process = start(repository, template, captured=False)
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        try:
            process.wait(delays[nth])
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate(timeout=120)
        return template.assert_in_order(repository)

    delays = [chosen.uniform(0.0, longest) for _ in range(moments)]

    assert set(at_each(range(moments), attempt)) <= {"", "completed", "failed", "rolled_back"}
