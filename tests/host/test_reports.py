"""Reports in JUnit's XML: what is taken from them, and what is refused."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import InvalidSettings
from executor.events.redaction import Redactor
from executor.host.reports import (
    UnreadableReport,
    check_report_path,
    read_report,
    read_report_file,
    with_report,
)

REDACTOR = Redactor({"API_TOKEN": "verysecretvalue"})
REPORT = Path("/state/.report-04.xml")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("pytest -q", "pytest {} -q"),
        (".venv/bin/pytest", ".venv/bin/pytest {}"),
        ("python -m pytest tests -- x", "python -m pytest {} tests -- x"),
        ("uv run pytest -x", "uv run pytest {} -x"),
        ("pytest --junitxml=own.xml", None),
        ("pytest -p no:junitxml", None),
        ("python -m unittest pytest", None),
        ("make test", None),
        ("grep pytest setup.cfg", None),
    ],
)
def test_a_pytest_command_is_asked_for_a_report(command: str, expected: str | None) -> None:
    asked = " ".join(with_report(tuple(command.split()), REPORT))

    assert (expected or command).format(f"--junitxml={REPORT} -ojunit_family=xunit1") == asked


def test_results_are_named_as_pytest_names_them_and_the_worst_counts() -> None:
    report = b"""<testsuites><testsuite><testsuite>
      <testcase classname="tests.test_a.TestX" name="test_m[1]" file="tests/test_a.py" line="3" time="0.25"/>
      <testcase classname="tests.test_a" name="test_b" file="tests/test_a.py" line="9">
        <failure message="Error: verysecretvalue">def test_b():
&gt;       assert 1 == 2
tests/help.py:41: AssertionError</failure></testcase>
      <testcase classname="tests.test_a" name="test_b" file="tests/test_a.py"/>
      <testcase classname="com.example.Size" name="grows" time="1,234.5"><error type="java.io.IOException"/></testcase>
      <testcase name="alone"><skipped/></testcase>
    </testsuite></testsuite></testsuites>"""

    found = read_report(report, "e", 4, REDACTOR)

    assert [
        ("tests/test_a.py::TestX::test_m[1]", "passed", 0.25, None, None, "tests/test_a.py", 3),
        ("tests/test_a.py::test_b", "failed", None, "AssertionError", "Error: [redacted]", "tests/help.py", 41),
        ("com.example.Size::grows", "error", 1234.5, "java.io.IOException", None, None, None),
        ("alone", "skipped", None, None, None, None, None),
    ] == [
        (r.test_id, r.outcome, r.duration_seconds, r.exception_type, r.message, r.file, r.line) for r in found
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'<!DOCTYPE t [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuite name="&b;"/>', "entities"),
        (b'<!DOCTYPE t [<!ENTITY a SYSTEM "file:///etc/passwd">]><testsuite>&a;</testsuite>', "entities"),
        (b"<testsuite>", "no XML"),
        (b"", "no XML"),
        (b'<?xml version="1.0" encoding="nonsense"?><testsuite/>', "no XML"),
        (b"<html/>", "begins with <html>"),
    ],
)
def test_what_is_no_report_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableReport, match=reason):
        read_report(data, "e", 1, REDACTOR)


@given(st.binary(max_size=200), st.sampled_from([b"", b"<testsuite>", b'<testsuite><testcase name="']))
def test_no_bytes_raise_anything_else(data: bytes, begin: bytes) -> None:
    try:
        read_report(begin + data, "e", 1, REDACTOR)
    except UnreadableReport:
        return


def test_no_report_is_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/report.xml").write_text("<testsuite/>")
    (tmp_path / "folder").symlink_to("real")
    os.mkfifo(tmp_path / "pipe.xml")
    (tmp_path / "link.xml").symlink_to("real/report.xml")

    assert b"<testsuite/>" == read_report_file(tmp_path, "real/report.xml")
    for name in ("folder/report.xml", "link.xml", "missing.xml", "real", "pipe.xml"):
        with pytest.raises(UnreadableReport):
            read_report_file(tmp_path, name)


@pytest.mark.parametrize("path", ["/etc/passwd", "../report.xml", "", "."])
def test_a_report_outside_is_refused(path: str) -> None:
    with pytest.raises(InvalidSettings):
        check_report_path(path)
