"""What tests say about themselves: reports in JUnit's XML become results of tests.

Reports come from the code under test: nothing in them is believed to be small, true or well-formed. XML with
a document type, and so with entities, is refused.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from executor.errors import InvalidSettings, UnsafePath
from executor.host.files import close, open_directory, open_file, open_root
from executor.models.execution import TestOutcome, TestResult

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from executor.events.redaction import Redactor
    from executor.models.plan import Check

REPORT_BYTES: Final = 50_000_000
_MESSAGE: Final = 2_000
_TEST_ID: Final = 1_000

_PYTEST: Final = frozenset({"pytest", "py.test"})
# What stands before the name of a program it runs: `python -m pytest`, `uv run pytest`.
_RUNNERS: Final = frozenset({"-m", "run"})
# How pytest ends the account of a failure: where, and by which exception.
_PLACE: Final = re.compile(r"^([^\s:][^:\n]*):(\d+): ([A-Za-z_][\w.]*)$", re.MULTILINE)
_EXCEPTION: Final = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception|Warning|Exit|Interrupt))\b")
# The worst of several results of one test counts.
_WORST: Final = (TestOutcome.PASSED, TestOutcome.SKIPPED, TestOutcome.ERROR, TestOutcome.FAILED)


class UnreadableReport(ValueError):
    """What should be a report is none; the text says why."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it stood before a check: what is unchanged after it was not written by it."""

    path: str
    state: tuple[int, int, int] | None


def with_report(argv: tuple[str, ...], report: Path) -> tuple[str, ...]:
    """A pytest command line that writes `report` besides; any other command line as it is.

    One that says where its own report goes, or wants none, stays as it is, too. The older form of the report
    is asked for because it names the files.
    """
    for place, word in enumerate(argv):
        if PurePath(word).name in _PYTEST and (place == 0 or argv[place - 1] in _RUNNERS):
            rest = argv[place + 1 :]
            if any(option.startswith(("--junitxml", "--junit-xml")) for option in rest):
                return argv
            if any("no:junitxml" in option for option in rest):
                return argv
            return (*argv[: place + 1], f"--junitxml={report}", "-ojunit_family=xunit1", *rest)
    return argv


def check_report_path(text: str) -> str:
    """A path inside the workspace to which checks write a report. Raises InvalidSettings."""
    path = PurePath(text)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in text:
        raise InvalidSettings(
            f"the report {text!r} is no path inside the workspace; give one relative to its root"
        )
    return str(path)


def look_at_reports(root: Path, check: Check) -> list[Seen]:
    """The reports the check is to write, as they are before it runs."""
    return [Seen(path, _state(root / path)) for path in check.reports]


def read_written(root: Path, seen: Seen) -> bytes:
    """The report, if it was written since. Raises UnreadableReport."""
    state = _state(root / seen.path)
    if state is None:
        raise UnreadableReport(f"the report {seen.path} was not written")
    if state == seen.state:
        raise UnreadableReport(f"the report {seen.path} is from before the check")
    return read_report_file(root, seen.path)


def read_report_file(root: Path, name: str) -> bytes:
    """The bytes of a file below `root`; no link on the way to it is followed. Raises UnreadableReport."""
    *folders, file = PurePath(name).parts
    descriptor = -1
    try:
        descriptor = open_root(root)
        for folder in folders:
            inner = open_directory(folder, dir_fd=descriptor)
            close(descriptor)
            descriptor = inner
        opened = open_file(file, dir_fd=descriptor)
    except (OSError, UnsafePath) as cause:
        raise UnreadableReport(f"the report {name} cannot be read: {cause}") from cause
    finally:
        if descriptor >= 0:
            with suppress(OSError):
                close(descriptor)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        close(opened)
        raise UnreadableReport(f"the report {name} is no regular file")
    with os.fdopen(opened, "rb") as stream:
        data = stream.read(REPORT_BYTES + 1)
    if len(data) > REPORT_BYTES:
        raise UnreadableReport(f"the report {name} is longer than {REPORT_BYTES // 1_000_000} MB")
    return data


def read_report(data: bytes, execution_id: str, step_num: int, redactor: Redactor) -> list[TestResult]:
    """One result for each test of a report, in its order. Raises UnreadableReport."""
    # Here, because most executions have no report.
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root = fromstring(data, forbid_dtd=True)
    except DefusedXmlException as cause:
        raise UnreadableReport("it has a document type, and with it perhaps entities") from cause
    except (ParseError, ValueError, LookupError) as cause:
        raise UnreadableReport(f"it is no XML: {cause}") from cause
    if root.tag not in ("testsuites", "testsuite"):
        raise UnreadableReport(f"it begins with <{root.tag[:40]}>, not with <testsuites> or <testsuite>")
    found: dict[str, TestResult] = {}
    for case in root.iter("testcase"):
        result = _result(case, execution_id, step_num, redactor)
        before = found.get(result.test_id)
        if before is None or _rank(before) < _rank(result):
            found[result.test_id] = result
    return list(found.values())


def count_outcomes(results: list[TestResult]) -> dict[str, int]:
    """How many tests came out how; what none did is left out."""
    counts = {outcome.value: sum(r.outcome == outcome for r in results) for outcome in TestOutcome}
    return {name: count for name, count in counts.items() if count}


def _rank(result: TestResult) -> int:
    return _WORST.index(TestOutcome(result.outcome))


def _result(case: Element, execution_id: str, step_num: int, redactor: Redactor) -> TestResult:
    outcome, detail = TestOutcome.PASSED, None
    for child, meaning in _verdicts(case):
        if _WORST.index(meaning) > _WORST.index(outcome):
            outcome, detail = meaning, child
    file = case.get("file") or None
    line = _whole(case.get("line"))
    exception = message = None
    if detail is not None:
        text = detail.text or ""
        message = (detail.get("message") or text.strip().partition("\n")[0]).strip() or None
        exception = detail.get("type") or None
        if outcome is not TestOutcome.SKIPPED:
            places = _PLACE.findall(text)
            if places:
                file, line, exception = places[-1][0], int(places[-1][1]), exception or places[-1][2]
            if exception is None and message is not None and (named := _EXCEPTION.match(message)):
                exception = named[1]
    return TestResult(
        execution_id,
        step_num,
        redactor.redact(_test_id(case))[:_TEST_ID],
        outcome.value,
        _seconds(case.get("time")),
        None if exception is None else redactor.redact(exception)[:_TEST_ID],
        None if message is None else redactor.redact(" ".join(message.split()))[:_MESSAGE],
        None if file is None else redactor.redact(file)[:_TEST_ID],
        line,
    )


def _verdicts(case: Element) -> Iterator[tuple[Element, TestOutcome]]:
    for child in case:
        match child.tag:
            case "failure":
                yield child, TestOutcome.FAILED
            case "error":
                yield child, TestOutcome.ERROR
            case "skipped":
                yield child, TestOutcome.SKIPPED


def _test_id(case: Element) -> str:
    """As pytest names its tests where the report tells the file, else class and name."""
    file, owner, name = case.get("file") or "", case.get("classname") or "", case.get("name") or "?"
    module = file.removesuffix(".py").replace("/", ".")
    if file.endswith(".py") and (owner == module or owner.startswith(f"{module}.")):
        return "::".join((file, *filter(None, owner[len(module) + 1 :].split(".")), name))
    return f"{owner}::{name}" if owner else name


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float((text or "").replace(",", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e9 else None


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
