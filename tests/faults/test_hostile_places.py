"""Hostile workspaces and hostile decisions: refused with a type, or applied exactly; never a byte outside."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from executor.changes.patch import read_patch
from executor.errors import ApprovalVoid, ExecutorError, InvalidState
from executor.governance.gate import WriteGate
from executor.governance.policy import BUILT_IN, Policy
from executor.host.apply import Transaction
from executor.host.executor import HostExecutor
from executor.host.tree import WorkspaceTree
from executor.models.change import Changeset
from executor.models.decision import GovernanceDecision
from executor.models.execution import ExecutionRecord, Verdict
from executor.models.plan import ChangePlan, Check
from executor.planner.planner import plan_change
from support.phases import Mode
from support.trees import File, Node, snapshot, write_tree

pytestmark = pytest.mark.faults

X = b"x = 1\n"


@dataclass(frozen=True)
class Place:
    """What stands in the workspace, or in the way to it, at `path`. `make` gets the workspace and its neighbour."""

    path: str
    make: Callable[[Path, Path], object]
    outcome: str = "refused"


def link(path: str, target: str) -> Callable[[Path, Path], object]:
    return lambda root, outside: (root / path).symlink_to(target.replace("OUTSIDE", str(outside)))


def node(path: str, kind: int, device: int = 0) -> Callable[[Path, Path], object]:
    return lambda root, outside: os.mknod(root / path, kind | 0o666, device)


def loop(root: Path, outside: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")


PLACES = {
    "parent-link-outside": Place("p/x.py", link("p", "OUTSIDE")),
    "parent-link-relative": Place("p/x.py", link("p", "../outside")),
    "parent-link-inside": Place("p/x.py", link("p", "real")),
    "parent-link-to-itself": Place("p/plain.py", link("p", ".")),
    "parent-link-deep": Place("real/deep/p/x.py", link("real/deep/p", "../../../outside")),
    "parent-link-first": Place("p/folder/x.py", link("p", "OUTSIDE")),
    "parent-link-dangling": Place("p/x.py", link("p", "OUTSIDE/missing")),
    "parent-link-state": Place("p/policy.yaml", link("p", ".executor")),
    "parent-link-git": Place("p/hooks/x.py", link("p", ".git")),
    "git-is-a-link": Place(".git/x.py", link(".git", "OUTSIDE")),
    "target-link-outside": Place("t.py", link("t.py", "OUTSIDE/x.py")),
    "target-link-inside": Place("t.py", link("t.py", "plain.py")),
    "target-link-dangling": Place("t.py", link("t.py", "OUTSIDE/new.py")),
    "target-link-proc": Place("t.py", link("t.py", "/proc/self/environ")),
    "target-link-loop": Place("a/x.py", loop),
    "target-fifo": Place("t.py", node("t.py", stat.S_IFIFO)),
    "target-socket": Place("t.py", node("t.py", stat.S_IFSOCK)),
    "parent-fifo": Place("p/x.py", node("p", stat.S_IFIFO)),
    "parent-file": Place("f.py/x.py", lambda root, outside: (root / "f.py").write_bytes(X)),
    "target-directory": Place("real", lambda root, outside: None),
    "hard-link": Place(
        "t.py", lambda root, outside: (root / "t.py").hardlink_to(outside / "x.py"), "applied"
    ),
}
if os.geteuid() == 0:
    PLACES |= {
        "target-null": Place("t.py", node("t.py", stat.S_IFCHR, os.makedev(1, 3))),
        "target-disk": Place("t.py", node("t.py", stat.S_IFBLK, os.makedev(7, 99))),
        "parent-device": Place("p/x.py", node("p", stat.S_IFCHR, os.makedev(1, 5))),
    }

PATCHES = {
    "create": "--- /dev/null\n+++ b/{0}\n@@ -0,0 +1 @@\n+x = 2\n",
    "update": "--- a/{0}\n+++ b/{0}\n@@ -1 +1 @@\n-x = 1\n+x = 2\n",
    "delete": "--- a/{0}\n+++ /dev/null\n@@ -1 +0,0 @@\n-x = 1\n",
    "mode": "diff --git a/{0} b/{0}\nold mode 100644\nnew mode 100755\n",
    "rename-from": "diff --git a/{0} b/got.py\nsimilarity index 100%\nrename from {0}\nrename to got.py\n",
    "copy-from": "diff --git a/{0} b/got.py\nsimilarity index 100%\ncopy from {0}\ncopy to got.py\n",
    "rename-onto": "diff --git a/plain.py b/{0}\nsimilarity index 100%\nrename from plain.py\nrename to {0}\n",
    "copy-onto": "diff --git a/plain.py b/{0}\nsimilarity index 100%\ncopy from plain.py\ncopy to {0}\n",
}
# A harmless change before and after: neither may be there when the one between is refused.
AROUND = "diff --git a/{0}.py b/{0}.py\nnew file mode 100644\n--- /dev/null\n+++ b/{0}.py\n@@ -0,0 +1 @@\n+{0} = 1\n"


# What is there once a hard link is changed; the other name of the file keeps its bytes.
APPLIED: dict[str, dict[str, bytes | None]] = {
    "update": {"t.py": b"x = 2\n"},
    "delete": {"t.py": None},
    "mode": {"t.py": X},
    "rename-from": {"t.py": None, "got.py": X},
    "copy-from": {"t.py": X, "got.py": X},
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "outside", {"x.py": File(X), "folder/x.py": File(X)})


def workspace(tmp_path: Path, place: Place, outside: Path, number: int) -> Path:
    root = tmp_path / str(number) / "workspace"
    write_tree(root, {"plain.py": File(X), "real/x.py": File(X), "real/deep/y.py": File(X)})
    (root / ".executor").mkdir()
    place.make(root, outside)
    return root


def seen(folder: Path) -> dict[str, Node]:
    return {
        path: item for path, item in snapshot(folder, without="").items() if not path.startswith(".executor/")
    }


@pytest.mark.parametrize("name", PLACES)
def test_a_place_that_is_no_file_of_the_workspace_is_refused_for_every_kind_of_change(
    tmp_path: Path, outside: Path, mode: Mode, name: str
) -> None:
    mode(f"{len(PATCHES)} kinds of change at: {name}")
    place, before_outside = PLACES[name], seen(outside)
    for number, (kind, text) in enumerate(PATCHES.items()):
        root = workspace(tmp_path, place, outside, number)
        before = seen(root)
        patch = AROUND.format("first") + text.format(place.path) + AROUND.format("second")
        state = root.with_name("state")
        state.mkdir()
        refused = None
        try:
            with WorkspaceTree(root, root / ".executor") as tree:
                changeset = Changeset.of(read_patch(patch.encode(), tree))
                with Transaction.prepare(tree, state, "exec_x", changeset, workspace_id="ws") as transaction:
                    transaction.backup()
                    transaction.apply()
                    transaction.commit()
        except ExecutorError as error:
            refused = error

        assert before_outside == seen(outside), kind
        if place.outcome == "refused" or kind in ("create", "rename-onto", "copy-onto"):
            assert refused is not None, kind
            assert before == seen(root), kind
        else:
            assert refused is None, (kind, refused)
            after = seen(root)
            assert {"first.py", "second.py"} <= after.keys()
            expected = APPLIED[kind]
            for path, content in expected.items():
                found = root / path
                assert (found.read_bytes() if found.exists() else None) == content, (kind, path)


# Decisions.


PATCH = b"--- a/plain.py\n+++ b/plain.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
ASKED = b"--- /dev/null\n+++ b/Makefile\n@@ -0,0 +1 @@\n+all:\n"
DENIED = b"--- /dev/null\n+++ b/.env\n@@ -0,0 +1 @@\n+AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIK7MDENGbPxRfiCYzzzzzzzzKEY\n"

Documents = tuple[ChangePlan, Changeset, GovernanceDecision]


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def root(tmp_path: Path, outside: Path) -> Path:
    return write_tree(tmp_path / "workspace", {"plain.py": File(X), "other.py": File(X)})


@pytest.fixture
def host(root: Path, clock: Clock) -> Iterator[HostExecutor]:
    with HostExecutor(root, environ={}, clock=clock) as opened:
        yield opened


def decided(host: HostExecutor, clock: Clock, patch: bytes = PATCH) -> Documents:
    changeset = Changeset.of(read_patch(patch, host.tree))
    check = Check(name="true", argv=("true",))
    plan = plan_change(changeset, workspace_id=host.store.workspace_id, now=clock(), verification=[check])
    return plan, changeset, host.gate.evaluate(plan, changeset, now=clock())


def approved(host: HostExecutor, clock: Clock) -> ExecutionRecord:
    record = host.execute(*decided(host, clock, ASKED))
    assert record.awaiting_approval
    host.approve(record.execution_id, approver="somebody else")
    return record


def forge(name: str, documents: Documents, other: Documents) -> Documents:
    plan, changeset, decision = documents
    replace = msgspec.structs.replace
    match name:
        case "workspace":
            return plan, changeset, replace(decision, workspace_id="ws_another")
        case "plan":
            return other[0], changeset, decision
        case "changeset":
            return plan, other[1], decision
        case "changeset under the same id":
            return plan, replace(other[1], changeset_id=changeset.changeset_id), decision
        case "checksum":
            forged = replace(other[1], changeset_id=changeset.changeset_id, checksum=changeset.checksum)
            return plan, forged, decision
        case "decision about another":
            return plan, changeset, other[2]
        case "policy":
            return plan, changeset, replace(decision, policy_hash="0" * 64)
        case "content":
            (change,) = changeset.changes
            return plan, replace(changeset, changes=(replace(change, content=b"evil\n"),)), decision
        case "path":
            (change,) = changeset.changes
            return plan, replace(changeset, changes=(replace(change, path="../outside/x.py"),)), decision
        case "old hash":
            (change,) = changeset.changes
            return plan, replace(changeset, changes=(replace(change, old_sha256="0" * 64),)), decision
    raise AssertionError(name)


FORGED = (
    *("workspace", "plan", "changeset", "changeset under the same id", "checksum", "decision about another"),
    *("policy", "content", "path", "old hash"),
)


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_or_foreign_decision_changes_nothing(
    host: HostExecutor, clock: Clock, root: Path, outside: Path, mode: Mode, name: str
) -> None:
    mode(f"a decision with another {name}")
    before, beside = seen(root), seen(outside)
    other = decided(host, clock, PATCH.replace(b"plain", b"other").replace(b"x = 2", b"x = 3"))
    plan, changeset, decision = forge(name, decided(host, clock), other)

    code = None
    try:
        record = host.execute(plan, changeset, decision)
        assert record.status == "failed"
        code = record.error_code
    except ExecutorError as error:
        code = error.code

    assert code in ("decision_mismatch", "invalid_change", "unsafe_path", "invalid_input", "base_changed"), (
        code
    )
    assert (before, beside) == (seen(root), seen(outside))


@pytest.mark.parametrize("patch", [ASKED, DENIED], ids=["need_approval", "deny"])
def test_a_verdict_somebody_loosened_is_refused(
    host: HostExecutor, clock: Clock, root: Path, mode: Mode, patch: bytes
) -> None:
    """Also where rules and reasons were taken out of it."""
    mode("a decision whose verdict was made to allow")
    before = seen(root)
    plan, changeset, decision = decided(host, clock, patch)
    assert decision.verdict is not Verdict.ALLOW

    record = host.execute(plan, changeset, msgspec.structs.replace(decision, verdict=Verdict.ALLOW, rules=()))

    assert ("failed", "decision_mismatch") == (record.status, record.error_code)
    assert before == seen(root)


def test_a_decision_of_a_laxer_policy_is_refused(
    host: HostExecutor, clock: Clock, root: Path, mode: Mode
) -> None:
    mode("a decision taken under another policy")
    before = seen(root)
    plan, changeset, _ = decided(host, clock, ASKED)
    lax = WriteGate(Policy(name=BUILT_IN.name))
    decision = lax.evaluate(plan, changeset, now=clock())

    record = host.execute(plan, changeset, decision)

    assert ("failed", "decision_mismatch") == (record.status, record.error_code)
    assert before == seen(root)


def test_a_decision_of_another_workspace_is_refused(
    host: HostExecutor, clock: Clock, root: Path, tmp_path: Path, mode: Mode
) -> None:
    """With the same files, the same change and the same policy."""
    mode("plan, changeset and decision of another workspace")
    twin = write_tree(tmp_path / "twin", {"plain.py": File(X), "other.py": File(X)})
    with HostExecutor(twin, environ={}, clock=clock) as other:
        documents = decided(other, clock)
    before = seen(root)

    record = host.execute(*documents)

    assert ("failed", "decision_mismatch") == (record.status, record.error_code)
    assert before == seen(root)


def test_a_decision_that_is_used_again_does_not_run_again(
    host: HostExecutor, clock: Clock, root: Path, mode: Mode
) -> None:
    mode("the same decision twice")
    documents = decided(host, clock)
    assert host.execute(*documents).status == "completed"
    (root / "plain.py").write_bytes(b"x = 2\ny = 1\n")
    before = seen(root)

    code = None
    with suppress(ExecutorError):
        code = host.execute(*documents).error_code

    assert code in (None, "base_changed")
    assert before == seen(root)


def test_an_approval_that_has_run_out_lets_nothing_run(
    host: HostExecutor, clock: Clock, root: Path, mode: Mode
) -> None:
    """Also when the clock is set back afterwards: the execution has ended."""
    mode("an approval 25 hours later, and then in time again")
    record = approved(host, clock)
    before = seen(root)
    clock.now += timedelta(hours=25)

    late = host.resume(record.execution_id)
    clock.now -= timedelta(hours=25)

    assert ("cancelled", "approval_expired") == (late.status, late.error_code)
    with pytest.raises(InvalidState):
        host.resume(record.execution_id)
    assert before == seen(root)


def test_an_approval_is_good_for_one_run(host: HostExecutor, clock: Clock, root: Path, mode: Mode) -> None:
    mode("the same approval twice, and for another execution")
    record = approved(host, clock)
    assert host.resume(record.execution_id).status == "completed"
    (root / "Makefile").unlink()
    before = seen(root)

    with pytest.raises(InvalidState):
        host.resume(record.execution_id)
    with pytest.raises((InvalidState, ApprovalVoid)):
        host.approve(record.execution_id, approver="somebody else")
    again = host.execute(*decided(host, clock, ASKED))

    assert again.awaiting_approval
    assert before == seen(root)


@pytest.mark.parametrize("what", ["files", "policy"])
def test_an_approval_of_what_is_no_longer_so_is_void(
    host: HostExecutor, clock: Clock, root: Path, mode: Mode, what: str
) -> None:
    mode(f"an approval, and then other {what}")
    record = approved(host, clock)
    if what == "files":
        (root / "Makefile").write_bytes(b"mine:\n")
    else:
        (root / ".executor/policy.yaml").write_text("version: 1\nlimits:\n  files: 7\n")
    before = seen(root)

    ended = host.resume(record.execution_id)

    assert ended.status in ("failed", "cancelled")
    assert ended.error_code in ("base_changed", "approval_void", "decision_mismatch", "invalid_policy")
    assert before == seen(root)
