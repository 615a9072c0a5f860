"""The pages about events and commands say what there is."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from executor.cli import COMMANDS
from executor.governance.policy_file import default_policy_text
from executor.models.execution import EventType
from support.command import BROKEN_PATCH, GOOD_PATCH, Repository
from support.terminal import Terminal

DOCS = Path(__file__).resolve().parents[2] / "docs"
SHARED = {"event", "execution_id", "correlation_id", "seq", "timestamp"}


def documented() -> dict[str, set[str]]:
    rows = re.findall(r"^\| `(\w+)` \|.*?\| (.*) \|$", (DOCS / "events.md").read_text(), re.MULTILINE)
    return {event: set(re.findall(r"`(\w+)`", fields)) for event, fields in rows}


@pytest.fixture
def written(tmp_path: Path) -> list[dict[str, Any]]:
    """The events of executions that went every way an execution can go."""
    repository = Repository.calculator(tmp_path / "repository")
    makefile = "--- /dev/null\n+++ b/Makefile\n@@ -0,0 +1 @@\n+all:\n"
    repository.apply(makefile, "--why", "waits for a person", verify="false")
    Terminal(repository).run("approve", "@last", "--reason", "read it")
    repository.run("retry", "@last")
    repository.apply(makefile)
    repository.run("deny", "@last", "--reason", "not now")
    repository.apply(
        BROKEN_PATCH,
        "--title",
        "t",
        "--run-id",
        "r",
        verify="sh -c 'touch made; echo x >> test_calculator.py'",
    )
    repository.run("dismiss", "@last", "--reason", "known")
    repository.run("dismiss", "@last", "--undo", "--reason", "not known")
    repository.run("retry", "@last")
    repository.apply(BROKEN_PATCH, verify="python -m pytest -q")
    repository.write(
        ".executor/config.toml",
        '[health.a]\nprocess = "no-such-program"\ncritical = false\n[health.b]\ntcp = "127.0.0.1:1"\n',
    )
    repository.apply(GOOD_PATCH, verify="true")
    repository.write(".executor/config.toml", "")
    started = tmp_path / "started"
    patch = tmp_path / "p.diff"
    patch.write_text(GOOD_PATCH)
    process = repository.start("run", "--patch", str(patch), "--verify", f"sh -c 'touch {started}; sleep 60'")
    while not started.exists() and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    repository.run("gc", "--keep-count", "3", "--keep-days", "0")
    records = repository.run("list", "--json").json["executions"]
    return [
        event
        for record in records
        for event in repository.run("events", record["execution_id"], "--json").json["events"]
    ]


def test_every_event_and_every_field_is_documented(written: list[dict[str, Any]]) -> None:
    known = documented()

    assert {event["event"] for event in written} == set(known)
    for event in written:
        assert set(event) - SHARED - {"truncated"} <= known[event["event"]], event


def test_every_type_of_the_closed_list_is_named() -> None:
    page = (DOCS / "events.md").read_text()

    assert [event.value for event in EventType if f"`{event.value}`" not in page] == []


def test_the_page_about_the_policy_shows_the_default_file() -> None:
    assert f"```yaml\n{default_policy_text()}```\n" in (DOCS / "policy.md").read_text()


def test_the_cases_shown_on_the_page_come_out_as_they_say(tmp_path: Path) -> None:
    (shown,) = re.findall(
        r"^```yaml\n(cases:\n.*?)^```", (DOCS / "policy.md").read_text(), re.MULTILINE | re.DOTALL
    )
    (tmp_path / "cases.yaml").write_text(shown)

    result = Repository(tmp_path).run("policy", "test", "cases.yaml")
    assert result.code == 0, result.out


def test_every_rule_of_the_gate_is_on_the_page_about_the_policy(tmp_path: Path) -> None:
    repository = Repository.calculator(tmp_path / "repository")
    plan = repository.run("plan", "--patch", "-", "--json", stdin=GOOD_PATCH).json

    page = (DOCS / "policy.md").read_text()
    assert [r["rule"] for r in plan["decision"]["rules"] if f"| `{r['rule']}` |" not in page] == []


def test_every_command_has_a_section_with_an_example() -> None:
    page = (DOCS / "commands.md").read_text()

    for name in COMMANDS:
        section = page.split(f"## executor {name}\n", 1)[1].split("\n## ", 1)[0]
        assert "Example" in section, name
