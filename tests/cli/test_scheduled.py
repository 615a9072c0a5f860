"""The examples of `docs/scheduled.md` do what the page says."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from support.command import GOOD_PATCH, Repository

PAGE = (Path(__file__).parents[2] / "docs/scheduled.md").read_text("utf-8")


def block(language: str, number: int = 0) -> str:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found[number]


def of_cron() -> str:
    """What cron gives the shell: the sixth field on, each escaped percent sign plain."""
    command = block("cron").strip().split(maxsplit=5)[5]
    assert not re.search(r"(?<!\\)%", command)
    return command.replace("\\%", "%")


def of_systemd() -> str:
    unit = configparser.RawConfigParser()
    unit.read_string(block("ini"))
    service = unit["Service"]
    return f"cd {service['WorkingDirectory']} && {service['ExecStart'].removeprefix('/usr/local/bin/')}"


def of_ci() -> str:
    steps = yaml.safe_load(block("yaml"))["jobs"]["update"]["steps"]
    return f"cd /srv/project && {steps[-1]['run']}"


@pytest.mark.parametrize("example", [of_cron, of_systemd, of_ci])
def test_an_example_records_a_scheduled_execution(tmp_path: Path, example: Callable[[], str]) -> None:
    repository = Repository.calculator(tmp_path / "project")
    repository.write("../updates/nightly.diff", GOOD_PATCH)
    command = example().replace("/srv/", f"{tmp_path}/").replace("executor run", '"$PYTHON" -m executor run')

    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env={**repository.environ, "PYTHON": sys.executable, "INVOCATION_ID": "0123"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert 0 == done.returncode, done.stderr
    (record,) = repository.run("list", "--trigger", "scheduled", "--json").json["executions"]
    assert ("completed", True) == (record["status"], record["run_id"].startswith("nightly/"))


def test_the_timer_says_when() -> None:
    timer = configparser.RawConfigParser()
    timer.read_string(block("ini", 1))

    assert "*-*-* 03:15:00" == timer["Timer"]["OnCalendar"]
