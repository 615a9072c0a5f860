"""What has to be true of a workspace once Executor has run again after a fault."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from executor.models.execution import TERMINAL_STATUSES, ExecutionRecord
from executor.runtime import Proposal, Runtime, open_runtime
from support.command import BROKEN_PATCH, GOOD_PATCH, VERIFY, Repository

Tree = Mapping[str, tuple[int, str]]

# A change of every kind at once, beside that of the calculator.
REST = """\
--- /dev/null
+++ b/new/deep.py
@@ -0,0 +1 @@
+x = 1
diff --git a/README.md b/README.md
deleted file mode 100644
--- a/README.md
+++ /dev/null
@@ -1 +0,0 @@
-Read me
diff --git a/tool.sh b/tool.sh
old mode 100644
new mode 100755
"""
PASSING = (GOOD_PATCH + REST, VERIFY)
# Its check makes a file and spoils another.
FAILING = (BROKEN_PATCH + REST, "sh -c 'touch junk; echo spoiled >> notes.txt; exit 1'")
CASES = {"passes": PASSING, "fails": FAILING}

_ANOTHER = b"--- /dev/null\n+++ b/another.py\n@@ -0,0 +1 @@\n+another = 1\n"


class Template:
    """A repository to be copied for every fault, and its tree before and after the change."""

    def __init__(self, folder: Path, case: str) -> None:
        self.patch, self.verify = CASES[case]
        self.folder = folder
        self.patch_file = folder / "change.diff"
        self.patch_file.write_text(self.patch)
        self._source = Repository.calculator(folder / "template")
        self._source.write("README.md", "Read me\n")
        self._source.write("tool.sh", "#!/bin/sh\n")
        self._source.write("notes.txt", "mine\n")
        self.before = self._source.state()
        done = self.copy("done")
        result = done.apply(PASSING[0], verify=PASSING[1])
        assert result.code == 0, result.err
        self.after = done.state()

    def copy(self, name: str) -> Repository:
        root = self.folder / name
        shutil.copytree(self._source.root, root, symlinks=True)
        return Repository(root)

    def assert_in_order(self, repository: Repository) -> str:
        return assert_in_order(repository, self.before, self.after)


def assert_in_order(repository: Repository, before: Tree, after: Tree) -> str:
    """Recovers and checks everything; returns the status of the one execution, or "" when none began.

    The tree is that of before or of after, and the record says which of the two; no lock, mark or journal is
    left; the next change is applied at once.
    """
    recovered = repository.run("recover")
    state = repository.root / ".executor"
    assert recovered.code in ((0, 6) if not state.exists() else (0,)), recovered.err
    tree = repository.state()
    for folder in ("running", "journal"):
        left = list(state.glob(f"{folder}/*"))
        assert left == [], recovered
    runtime = open_runtime(repository.root, environ=repository.environ)
    try:
        found = runtime.store.list_executions().items
        assert len(found) <= 1
        status = str(found[0].status) if found else ""
        for record in found:
            assert record.status in TERMINAL_STATUSES
            _check_events(runtime, record)
        expected = after if status == "completed" else before
        assert tree == expected, f"{status}: {sorted(set(tree.items()) ^ set(expected.items()))}"
        _apply_another(runtime)
    finally:
        runtime.close()
    assert list(state.glob("lock-*")) == []
    return status


def _apply_another(runtime: Runtime) -> None:
    proposal = runtime.propose(_ANOTHER, kind="patch", origin=runtime.origin(), verify=["true"])
    assert isinstance(proposal, Proposal)
    assert runtime.execute(proposal).status == "completed"


def _check_events(runtime: Runtime, record: ExecutionRecord) -> None:
    """The rows are whole and end once. Each line of the file is one of them; one cut short stands alone."""
    rows = runtime.store.list_events(record.execution_id)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert [row.event for row in rows].count("execution_end") == 1
    file = Path(record.artifact_path or "") / "events.jsonl"
    written = [_seq(line) for line in file.read_bytes().splitlines()] if file.exists() else []
    whole = [seq for seq in written if seq]
    assert whole == sorted(set(whole))
    assert set(whole) <= {row.seq for row in rows}
    for document in Path(record.artifact_path or "").glob("*.json"):
        json.loads(document.read_bytes())


def _seq(line: bytes) -> int:
    try:
        return int(json.loads(line)["seq"])
    except ValueError:
        return 0
