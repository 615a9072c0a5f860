"""Makes the workspace the end-to-end tests and the screenshots look at: python workspace.py DIRECTORY

The demo's, and on top of it a change that waits for approval, one that fails, an old one of which only the record is
left, one from outside that is hostile in every text, and a family of many.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from executor import ExecutionStore
from executor.models.execution import ExecutionFilter
from executor.models.times import format_time

EXECUTOR = Path(sys.executable).parent / "executor"
WAITING = """\
diff --git a/Makefile b/Makefile
new file mode 100644
--- /dev/null
+++ b/Makefile
@@ -0,0 +1,5 @@
+test:
+\tpython -m unittest --quiet
+
+release: test
+\tpython -m build
"""
FAILING = """\
diff --git a/test_rounding.py b/test_rounding.py
new file mode 100644
--- /dev/null
+++ b/test_rounding.py
@@ -0,0 +1,6 @@
+import unittest
+
+
+class RoundingTest(unittest.TestCase):
+    def test_halves_go_up(self):
+        self.assertEqual(round(2.5), 3)
"""
SPLIT = {
    "invoices/__init__.py": ["from invoices.models.line import Line"],
    "invoices/models/__init__.py": [],
    "invoices/models/line.py": [
        "class Line:",
        "    def __init__(self, cents):",
        "        self.cents = cents",
    ],
    "invoices/views/print.py": ["def show(line):", '    return f"{line.cents / 100:.2f}"'],
    "docs/guide/invoices.md": ["# Invoices", "", "A line has a price in cents."],
}
OLD = """\
diff --git a/test_euros.py b/test_euros.py
new file mode 100644
--- /dev/null
+++ b/test_euros.py
@@ -0,0 +1,6 @@
+import unittest
+
+
+class EurosTest(unittest.TestCase):
+    def test_cents_go(self):
+        self.assertEqual(round(1190, -2) / 100, 11.9)
"""
TIMES = {
    "executions": ("started_at", "ended_at"),
    "execution_steps": ("started_at", "ended_at"),
    "execution_events": ("timestamp",),
}
TOKENS = (
    ("laptop", "--scope", "read"),
    ("ci", "--scope", "read", "--scope", "run", "--days", "90"),
    ("reviewer", "--scope", "approve", "--scope", "read", "--days", "3"),
)
HOSTILE = "<img src=x onerror=window.ran=1><script>window.ran=1</script> \x1b[31mred\x1b[0m \u202etxt.exe \U0001f4a5"
FAMILY = 60
CHILDREN = 300


def main(directory: Path) -> None:
    subprocess.run(
        [EXECUTOR, "demo", "--no-serve", "--directory", directory], check=True, stdout=subprocess.DEVNULL
    )
    _propose(
        directory,
        WAITING,
        "Add a Makefile with a release target",
        "one command for everybody who releases",
        3,
    )
    _propose(
        directory, _creating(SPLIT), "Give invoices a package of their own", "the ledger grew too long", 0
    )
    _propose(directory, FAILING, "Test that halves are rounded up", "invoices round like this", 1)
    _dropped(directory)
    for name, *options in TOKENS:
        done = subprocess.run(
            [EXECUTOR, "token", "create", name, *options], cwd=directory, check=True, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if name == "laptop":
            gone = done.stdout.decode().partition(".")[0]
            subprocess.run(
                [EXECUTOR, "token", "revoke", gone], cwd=directory, check=True, stderr=subprocess.DEVNULL
            )
    with ExecutionStore(directory) as store:
        _hostile(store)
        _family(store)
        _many_children(store)


def _creating(files: Mapping[str, Sequence[str]]) -> str:
    parts = []
    for path, lines in files.items():
        parts.append(f"diff --git a/{path} b/{path}\nnew file mode 100644\n")
        if lines:
            parts.append(f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{len(lines)} @@\n")
            parts += [f"+{line}\n" for line in lines]
    return "".join(parts)


def _propose(directory: Path, patch: str, title: str, why: str, expected: int) -> None:
    file = directory.parent / "proposed.diff"
    file.write_text(patch)
    done = subprocess.run(
        [EXECUTOR, "run", "--patch", file, "--trigger", "agent", "--title", title, "--why", why, "--verify",
         f"{Path(sys.executable).name} -m unittest --quiet"],
        cwd=directory, stdout=subprocess.DEVNULL, check=False,
        env={**os.environ, "PATH": os.pathsep.join((str(EXECUTOR.parent), os.environ.get("PATH", os.defpath)))},
    )  # fmt: skip
    if done.returncode != expected:
        raise SystemExit(f"{title}: executor run ended with {done.returncode}, not {expected}")


def _dropped(directory: Path) -> None:
    """A failure of long ago that somebody dismissed, and of which `executor gc` has left the record."""
    _propose(directory, OLD, "Round to whole euros", "nobody pays cents in cash", 1)
    with ExecutionStore(directory) as store:
        (old,) = store.list_executions(ExecutionFilter(q="Round to whole euros"), 1)
        store.dismiss(old.execution_id, "cents stay")
        # As if it had been then; nothing else makes a record older than it is.
        with closing(sqlite3.connect(store.db_path, isolation_level=None)) as connection:
            for table, columns in TIMES.items():
                for column in columns:
                    connection.execute(
                        f"UPDATE {table} SET {column} = strftime('%Y-%m-%dT%H:%M:%S', {column}, '-100 days')"
                        f" || substr({column}, 20) WHERE execution_id = ?",
                        (old.execution_id,),
                    )
    subprocess.run(
        [EXECUTOR, "gc", "--keep-days", "90"], cwd=directory, check=True, stdout=subprocess.DEVNULL
    )


def _start(
    store: ExecutionStore,
    execution_id: str,
    started: datetime,
    *,
    title: str,
    actor: str,
    correlation: str,
    paths: Sequence[str] = ("ledger.py",),
    parent: str | None = None,
    trigger: str = "manual",
    run_id: str | None = None,
    branch: str | None = None,
) -> None:
    store.record_execution_start(
        execution_id, f"plan_{execution_id}", f"cs_{execution_id}", f"dec_{execution_id}", "0" * 64, "allow", "low",
        paths, None, correlation, parent, trigger, run_id, title=title, actor=actor, branch=branch,
        started_at=format_time(started),
    )  # fmt: skip


def _hostile(store: ExecutionStore) -> None:
    now = datetime.now(UTC)
    _start(
        store, "hostile", now, title=HOSTILE, actor=HOSTILE, correlation="chain/of 100%?#<b>", paths=[HOSTILE],
        branch=HOSTILE, run_id="a/b%2F?#",
    )  # fmt: skip
    step = store.record_step_start("hostile", 1, "verify")
    store.record_step_end(step, "failed", 0.4, "check_failed", HOSTILE)
    store.record_execution_end(
        "hostile", "failed", 1.5, error_message=f"{HOSTILE} {'x' * 200_000}", error_step="verify",
    )  # fmt: skip


def _family(store: ExecutionStore) -> None:
    begun = datetime.now(UTC) - timedelta(days=1)
    for number in range(FAMILY):
        execution_id = f"nightly_{number:03d}"
        parent = f"nightly_{(number - 1) // 3:03d}" if number else None
        good = number % 5 != 2
        started = begun + timedelta(minutes=number)
        ended = started + timedelta(seconds=40 + number)
        _start(
            store, execution_id, started, title=f"Nightly upgrade, part {number}", actor="ci:nightly",
            correlation="nightly", parent=parent, trigger="child" if number else "scheduled",
        )  # fmt: skip
        step = store.record_step_start(execution_id, 1, "verify")
        store.record_step_end(step, "completed" if good else "failed", 30.0 + number)
        if good:
            store.record_execution_end(
                execution_id, "completed", 40.0 + number, files_changed=1, verification_passed=True,
                ended_at=format_time(ended),
            )  # fmt: skip
        else:
            store.record_execution_end(
                execution_id, "rolled_back", 40.0 + number, files_changed=1, rolled_back=True,
                error_message="pytest -q exited with 1: AssertionError: 3 != 4", error_step="verify",
                ended_at=format_time(ended),
            )  # fmt: skip


def _many_children(store: ExecutionStore) -> None:
    """More than the page of an execution draws: one with many children, of which the first has one, too."""
    begun = datetime.now(UTC) - timedelta(days=2)

    def row(number: int, name: str, parent: str | None) -> dict[str, Any]:
        return {
            "execution_id": name,
            "plan_id": f"plan_{name}",
            "changeset_id": f"cs_{name}",
            "decision_id": f"dec_{name}",
            "checksum": "0" * 64,
            "verdict": "allow",
            "risk_level": "low",
            "status": "completed",
            "affected_paths": ["ledger.py"],
            "started_at": format_time(begun + timedelta(seconds=number)),
            "ended_at": format_time(begun + timedelta(seconds=number + 1)),
            "duration_seconds": 1.0,
            "correlation_id": "sweep",
            "parent_execution_id": parent,
            "trigger_kind": "child" if parent else "manual",
            "title": f"Reformat part {number}" if parent else "Reformat everything",
            "actor": "alex",
        }

    children = [row(number, f"sweep_{number:03d}", "sweep") for number in range(1, CHILDREN + 1)]
    store.record_many([row(0, "sweep", None), *children, row(CHILDREN + 1, "sweep_leaf", "sweep_001")])


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
