"""Results of tests, from the check to `show`: pytest by itself, others by `--junit`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from support.command import BROKEN_PATCH, GOOD_PATCH, Repository

PYTEST = f"{sys.executable} -m pytest -q"
# Writes a report as other test programs do, and fails with what it reports.
WRITER = """\
import pathlib, sys
verdict = '<failure message="wanted 5" type="SumError"/>' if "-" in pathlib.Path("calculator.py").read_text() else ""
pathlib.Path("out").mkdir(exist_ok=True)
case = f'<testcase classname="Sum" name="adds">{verdict}</testcase>'
pathlib.Path("out/report.xml").write_text(f"<testsuite>{case}</testsuite>")
sys.exit(bool(verdict))
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.calculator(tmp_path / "repository")


def events(repository: Repository, name: str) -> list[dict[str, Any]]:
    found = repository.run("events", "@last", "--json").json["events"]
    return [event for event in found if event["event"] == name]


def test_pytest_tells_which_tests_fail_without_being_asked(repository: Repository) -> None:
    before = repository.state()

    assert 1 == repository.apply(BROKEN_PATCH, verify=PYTEST).code

    assert before == repository.state()
    (test,) = repository.run("show", "@last", "--json").json["tests"]
    name = "test_calculator.py::CalculatorTest::test_add"
    expected = (name, "failed", "AssertionError", "AssertionError: -1 != 5", "test_calculator.py", 8)
    fields = ("exception_type", "message", "file", "line")
    assert expected == (test["test_id"], test["outcome"], *(test[field] for field in fields))
    (failed,) = events(repository, "test_failed")
    assert expected == (failed["id"], "failed", *(failed[field] for field in fields))
    assert {"failed": 1} == events(repository, "command_output")[0]["tests"]
    shown = repository.run("show", "@last").out
    assert shown.index(f"✗ {name}") < shown.index("gate:")
    logged = repository.run("logs", "@last")
    assert logged.out.startswith(f"✗ {name}")
    assert [name] == [t["test_id"] for t in repository.run("logs", "@last", "--json").json["failing_tests"]]
    assert "steps/04-verify.junit.xml" in repository.run("show", "@last", "--json").json["artifacts"]


def test_a_report_is_kept_without_secrets(repository: Repository) -> None:
    repository.write(
        "test_calculator.py", 'import os\ndef test_it():\n    assert os.environ["API_TOKEN"] == ""\n'
    )

    result = repository.run(
        *("run", "--patch", "-", "--verify", PYTEST, "--env", "API_TOKEN"),
        stdin=GOOD_PATCH,
        environ={"API_TOKEN": "hunter2hunter2"},
    )

    assert 1 == result.code, result.err
    (test,) = repository.run("show", "@last", "--json").json["tests"]
    assert "failed" == test["outcome"]
    for file in (repository.root / ".executor").rglob("*"):
        if file.is_file():
            assert b"hunter2hunter2" not in file.read_bytes(), file


def test_a_report_named_with_junit_is_read_after_the_check(repository: Repository) -> None:
    repository.write("write_report.py", WRITER)
    before = repository.state()
    options = ("--junit", "out/report.xml")

    result = repository.apply(BROKEN_PATCH, *options, verify=f"{sys.executable} write_report.py")

    assert 1 == result.code, result.err
    assert before == repository.state()
    (failed,) = events(repository, "test_failed")
    assert ("Sum::adds", "SumError", "wanted 5") == (
        failed["id"],
        failed["exception_type"],
        failed["message"],
    )

    result = repository.apply(GOOD_PATCH, *options, verify=f"{sys.executable} write_report.py")
    assert 0 == result.code, result.err
    assert {"passed": 1} == events(repository, "command_output")[0]["tests"]


def test_a_report_that_is_not_the_checks_own_is_none(repository: Repository) -> None:
    """One from before says nothing about this check; nor does one that is missing or no XML."""
    repository.write("old.xml", '<testsuite><testcase name="old"><failure/></testcase></testsuite>')
    reports = ("--junit", "old.xml", "--junit", "missing.xml", "--junit", "none.xml")

    result = repository.apply(GOOD_PATCH, *reports, verify="sh -c 'echo nonsense > none.xml'")

    assert 0 == result.code, result.err
    assert [] == repository.run("show", "@last", "--json").json["tests"]
    error = events(repository, "command_output")[0]["report_error"]
    assert "old.xml is from before the check" in error
    assert "missing.xml was not written" in error
    assert "it is no XML" in error
    assert "missing.xml was not written" in repository.run("show", "@last").out


def test_a_report_outside_the_workspace_is_refused(repository: Repository) -> None:
    result = repository.apply(GOOD_PATCH, "--junit", "../report.xml")

    assert 2 == result.code
    assert "inside the workspace" in result.err
