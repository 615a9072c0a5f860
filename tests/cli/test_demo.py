"""The demo is the real thing: it comes out as told because the code makes it so."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

import executor
from support.command import Repository

PACKAGE = Path(executor.__file__).parent


@pytest.fixture
def empty(tmp_path: Path) -> Repository:
    (tmp_path / "here").mkdir()
    return Repository(tmp_path / "here", {"TMPDIR": str(tmp_path / "temporary")})


def test_the_demo_shows_every_kind_of_trigger_success_rollback_and_refusal(empty: Repository) -> None:
    Path(empty.environ["TMPDIR"]).mkdir()

    result = empty.run("demo", "--no-serve")

    assert result.code == 0, result.err
    assert "7 executions, each as told." in result.out
    lines = result.out.splitlines()
    begin = next(number for number, line in enumerate(lines) if "Add tax" in line)
    tree = lines[begin : begin + 4]
    assert tree[0].startswith("↩ rolled back")
    assert tree[1].startswith("├── child ✓ completed")
    assert tree[2].startswith("└── retry ↩ rolled back")
    assert tree[3].startswith("    └── repair ✓ completed")
    assert "✗ denied" in result.out
    assert list(empty.root.iterdir()) == []
    assert list(Path(empty.environ["TMPDIR"]).iterdir()) == []


def test_the_demo_ends_in_the_console(empty: Repository) -> None:
    """The address that is printed begins a session in front of what just happened; Ctrl-C removes everything."""
    temporary = Path(empty.environ["TMPDIR"])
    temporary.mkdir()
    process = empty.start("demo")
    assert process.stdout is not None
    try:
        address = next(line.strip() for line in process.stdout if line.startswith("http://"))
        base = address.partition("/ui/")[0]
        with httpx2.Client(base_url=base) as program:
            begun = program.get(address).status_code
            listed = program.get("/executions").json()["executions"]
            diff = program.get(f"/executions/{listed[0]['execution_id']}/diff").status_code
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert (303, 7, 200) == (begun, len(listed), diff)
    assert list(temporary.iterdir()) == []


def test_a_kept_demo_can_be_asked_about(empty: Repository) -> None:
    kept = empty.root / "ledger"

    assert empty.run("demo", "--no-serve", "--directory", str(kept)).code == 0

    records = empty.run("list", "--json", "--all-workspaces", cwd=kept).json["executions"]
    kinds = [record["trigger_kind"] for record in records]
    assert ["agent", "scheduled", "repair", "retry", "child", "agent", "manual"] == kinds
    assert {"agent:demo-agent"} == {r["actor"] for r in records if r["trigger_kind"] in ("agent", "child")}
    assert "with_tax" in (kept / "ledger.py").read_text()
    assert not (kept / ".git/hooks/pre-commit").exists()
    assert empty.run("demo", "--directory", str(kept)).code == 6


def test_a_fix_that_does_not_fix_is_rolled_back_and_the_demo_says_so(tmp_path: Path) -> None:
    """With the demo's own repair made wrong, its outcome changes: nothing in it is made up."""
    copy = tmp_path / "packages" / "executor"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    repair = copy / "cli/demo_files/changes/tax-repaired.diff"
    repair.write_text(repair.read_text().replace("+ 50) // 100", "+ 49) // 100"))

    done = subprocess.run(
        [sys.executable, "-m", "executor", "demo", "--no-serve"],
        env={**os.environ, "PYTHONPATH": str(copy.parent), "NO_COLOR": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1, done.stderr
    assert "└── repair ↩ rolled back" in done.stdout
    assert "expected completed, came out rolled back" in done.stderr
