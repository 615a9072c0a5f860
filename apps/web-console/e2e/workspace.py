"""Makes the workspace the end-to-end tests and the screenshots look at: python workspace.py DIRECTORY

The demo's, and on top of it a change that waits for approval, one from outside that is hostile in every text,
and a family of many attempts.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from executor import ExecutionStore
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
HOSTILE = "<img src=x onerror=window.ran=1><script>window.ran=1</script> \x1b[31mred\x1b[0m \u202etxt.exe \U0001f4a5"
FAMILY = 60


def main(directory: Path) -> None:
    subprocess.run(
        [EXECUTOR, "demo", "--no-serve", "--directory", directory], check=True, stdout=subprocess.DEVNULL
    )
    waiting = directory.parent / "waiting.diff"
    waiting.write_text(WAITING)
    proposed = subprocess.run(
        [EXECUTOR, "run", "--patch", waiting, "--trigger", "agent", "--title", "Add a Makefile with a release target",
         "--why", "one command for everybody who releases", "--verify", "python -m unittest --quiet"],
        cwd=directory, stdout=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    if proposed.returncode != 3:
        raise SystemExit(
            f"the change was to wait for approval; executor run ended with {proposed.returncode}"
        )
    with ExecutionStore(directory) as store:
        _hostile(store)
        _family(store)


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


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
