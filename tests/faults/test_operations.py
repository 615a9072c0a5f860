"""The command a user types, with the n-th file operation failing, fatal, or interrupted."""

from __future__ import annotations

import errno
import signal
from pathlib import Path

import pytest

from support.command import Repository
from support.faults import Fault, environment
from support.parallel import at_each
from support.phases import Mode
from support.recovered import CASES, Template

pytestmark = pytest.mark.faults

EVERY = pytest.param(1, marks=[pytest.mark.full, pytest.mark.timeout(3000)], id="every")
LENGTHS = [pytest.param(23, id="some"), EVERY]


def run(
    repository: Repository,
    template: Template,
    fault: Fault,
    count: Path | None = None,
    *,
    captured: bool = False,
) -> int:
    """The exit code; a crash of the command's own fails the test. `captured`: git makes the change in a copy."""
    change = ["--patch", "-"]
    if captured:
        patch = repository.root.parent / "change.diff"
        patch.write_text(template.patch)
        change = ["--", "git", "apply", str(patch)]
    process = repository.start(
        "run", "--verify", template.verify, *change, environ=environment(fault, count=count)
    )
    _, err = process.communicate(None if captured else template.patch, timeout=120)
    assert "Traceback (most recent call last)" not in err, err
    return process.returncode


def operations(template: Template, *, captured: bool = False) -> int:
    """How many there are when none fails."""
    repository = template.copy("counted")
    report = repository.root.parent / "operations"
    run(repository, template, Fault(), report, captured=captured)
    return int(report.read_text())


@pytest.mark.parametrize("stride", LENGTHS)
@pytest.mark.parametrize("case", CASES)
def test_killed_at_any_operation_it_is_before_or_after(
    tmp_path: Path, mode: Mode, case: str, stride: int
) -> None:
    template = Template(tmp_path, case)
    total = operations(template)
    mode(f"SIGKILL at file operations of the real command, 1 in {stride} of {total}")

    def attempt(nth: int) -> str:
        repository = template.copy(str(nth))
        counted = tmp_path / f"{nth}.count"
        code = run(repository, template, Fault(nth=nth, error=None), counted)
        # What a check prints comes in more or fewer parts, each of which is written by itself.
        assert code == -signal.SIGKILL or int(counted.read_text()) < nth
        return template.assert_in_order(repository)

    statuses = at_each(range(1 + stride // 2, total + 1, stride), attempt)

    assert "rolled_back" in statuses or stride > 1
    assert total > 50


@pytest.mark.parametrize("stride", LENGTHS)
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("case", CASES)
def test_whichever_operation_fails_the_record_is_true(
    tmp_path: Path, mode: Mode, case: str, error: str, stride: int
) -> None:
    """What the command reports at once holds, too: 0 only when the change is there."""
    template = Template(tmp_path, case)
    total = operations(template)
    mode(f"{error} from file operations of the real command, 1 in {stride} of {total}")

    def attempt(nth: int) -> str:
        repository = template.copy(str(nth))
        code = run(repository, template, Fault(nth=nth, error=getattr(errno, error)))
        if code != 5:
            assert repository.state() == (template.after if code == 0 else template.before), nth
        status = template.assert_in_order(repository)
        assert (code == 0) == (status == "completed"), (nth, code, status)
        return status

    at_each(range(1 + stride // 2, total + 1, stride), attempt)


@pytest.mark.parametrize("stride", [pytest.param(47, id="some"), EVERY])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("case", CASES)
def test_a_signal_at_any_operation_rolls_back_or_comes_too_late(
    tmp_path: Path, mode: Mode, case: str, number: signal.Signals, stride: int
) -> None:
    template = Template(tmp_path, case)
    total = operations(template)
    mode(f"{number.name} at file operations of the real command, 1 in {stride} of {total}")

    def attempt(nth: int) -> str:
        repository = template.copy(str(nth))
        code = run(repository, template, Fault(nth=nth, error=None, signal=number))
        assert code in (0, 1, 130, -number), (nth, code)
        assert repository.state() == (template.after if code == 0 else template.before), (nth, code)
        status = template.assert_in_order(repository)
        assert (code == 0) == (status == "completed"), (nth, code, status)
        return status

    at_each(range(1 + stride // 2, total + 1, stride), attempt)


@pytest.mark.parametrize("captured", [False, True], ids=["patch", "captured"])
def test_what_a_rollback_could_not_do_the_next_start_does(tmp_path: Path, mode: Mode, captured: bool) -> None:
    """Exit 5 and a record that says so; the journal and the mark stay until it is done."""
    mode("EIO from every rename of a rollback")
    template = Template(tmp_path, "fails")
    total = operations(template, captured=captured)
    seen = set()
    for nth in range(1, total):
        repository = template.copy(str(nth))
        fault = Fault(nth=nth, error=errno.EIO, lasting=True, operations=frozenset({"rename"}))
        code = run(repository, template, fault, captured=captured)
        seen.add(code)
        if code == 5:
            assert repository.state() != template.before
            template.assert_in_order(repository)
            return
    pytest.fail(f"no rollback was incomplete: {seen}")
