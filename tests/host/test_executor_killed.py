"""Killed after any event, an execution is found whole or undone, and the record says which."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from executor.host.executor import HostExecutor
from executor.models.execution import TERMINAL_STATUSES
from support.command import Repository
from support.recovered import CASES

pytestmark = pytest.mark.faults

# Runs a patch through the library; dies as soon as the observer has seen the n-th event.
CHILD = """
import os, signal, sys
from pathlib import Path
from executor.runtime import Proposal, open_runtime

root, patch, verify, fatal = sys.argv[1:]
seen = 0

def watch(event):
    global seen
    seen += 1
    if seen == int(fatal):
        os.kill(os.getpid(), signal.SIGKILL)

runtime = open_runtime(Path(root), environ=os.environ)
proposal = runtime.propose(
    Path(patch).read_bytes(), kind="patch", origin=runtime.origin(), verify=[verify]
)
assert isinstance(proposal, Proposal)
runtime.execute(proposal, observer=watch)
runtime.close()
"""


@pytest.mark.parametrize(("patch", "check"), CASES.values(), ids=CASES)
def test_a_process_killed_after_any_event_leaves_before_or_after(
    tmp_path: Path, patch: str, check: str
) -> None:
    patch_file = tmp_path / "p.diff"
    patch_file.write_text(patch)
    fatal = 0
    outcomes = set()
    while True:
        fatal += 1
        repository = Repository.calculator(tmp_path / f"repository{fatal}")
        repository.write("README.md", "Read me\n")
        repository.write("tool.sh", "#!/bin/sh\n")
        repository.write("notes.txt", "mine\n")
        before = repository.state()
        child = subprocess.run(
            [sys.executable, "-c", CHILD, str(repository.root), str(patch_file), check, str(fatal)],
            env=repository.environ,
            capture_output=True,
            text=True,
        )
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL, child.stderr

        with HostExecutor(repository.root) as host:
            recovered = host.recover()
            records = host.store.list_executions().items
            events = host.store.list_events(records[0].execution_id)
            assert host.recover() == []

        assert len(recovered) == len(records) == 1
        record = records[0]
        assert record.status in TERMINAL_STATUSES
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        after = repository.state()
        if record.status == "completed":
            assert "b + a" in (repository.root / "calculator.py").read_text()
            assert {"new/deep.py", "tool.sh"} <= set(after)
            assert "README.md" not in after
        else:
            assert after == before, f"killed after event {fatal}: {record}"
        outcomes.add(record.status)
        lines = Path(record.artifact_path or "") / "events.jsonl"
        assert [json.loads(line)["seq"] for line in lines.read_text().splitlines()] == list(
            range(1, len(events) + 1)
        )
        assert list((repository.root / ".executor/running").iterdir()) == []
        assert list((repository.root / ".executor/journal").glob("*")) == []
        patch_again = repository.apply("--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+n = 1\n", verify="true")
        assert patch_again.code == 0, patch_again.err

    assert fatal > 10
    assert outcomes >= {"failed", "rolled_back"}
