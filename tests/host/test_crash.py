"""A process killed at any operation leaves a workspace that the next start puts in order."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from executor.errors import LockHeld, WrongWorkspace
from executor.host.apply import Transaction
from executor.host.journal import Journal, Side, find_journal, find_journals, sweep_journals
from executor.host.rollback import recover_journal, rescue_journal
from executor.host.tree import WorkspaceTree
from support.applying import (
    EXECUTION,
    MADE,
    UNTRACKED,
    WORKSPACE,
    apply_and_check,
    apply_and_commit,
    apply_and_roll_back,
    apply_without_permission,
    back_up_without_permission,
    prepare,
    recover,
    roll_back_what_nobody_may_read,
    run_recovery,
)
from support.faults import CrashServer, Fault, environment, faulty
from support.trees import REPRESENTATIVE, STATE, Node, files_of, snapshot

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def crashes() -> Iterator[CrashServer]:
    server = CrashServer()
    yield server
    server.close()


Roots = Callable[[], Path]


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """Makes as many equal workspaces as asked for."""
    count = 0

    def make() -> Path:
        nonlocal count
        count += 1
        return REPRESENTATIVE.write(tmp_path / str(count))

    return make


def in_order(root: Path) -> bool:
    return find_journals(root / STATE) == [] and list((root / STATE).glob("journal/*")) == []


class TestKilled:
    def test_a_run_killed_at_any_operation_ends_as_before_or_as_after(
        self, crashes: CrashServer, roots: Roots
    ) -> None:
        """For every n until the run survives; the recovery says which of the two it is, and is right."""
        sides: list[Side] = []
        killed = True

        while killed:
            root = roots()
            before = snapshot(root)
            nth = len(sides) + 1
            killed = crashes.run(apply_and_commit, root, REPRESENTATIVE.changeset, kill_at=nth)
            with faulty(Fault()):
                report = recover(root)
            after = snapshot(root)
            side = Side.AFTER if files_of(after) == REPRESENTATIVE.after else Side.BEFORE
            sides.append(side)

            assert side is Side.AFTER or after == before
            assert killed or side is Side.AFTER
            # Without a report nothing had begun, or everything was over.
            assert report is None or (report.side, report.complete) == (side, True)
            assert in_order(root)

        assert sides == sorted(sides, key=lambda side: side is Side.AFTER)
        assert 3 * len(REPRESENTATIVE.changeset.changes) < len(sides)
        assert sides.count(Side.AFTER) > 1

    def test_a_rollback_killed_at_any_operation_is_finished(self, crashes: CrashServer, roots: Roots) -> None:
        killed, nth = True, 0

        while killed:
            nth += 1
            root = roots()
            before = snapshot(root)
            killed = crashes.run(apply_and_roll_back, root, REPRESENTATIVE.changeset, kill_at=nth)
            with faulty(Fault()):
                report = recover(root)

            assert before == snapshot(root)
            assert report is None or (report.side, report.complete) == (Side.BEFORE, True)
            assert in_order(root)

    @pytest.mark.parametrize("nth", [15, 40, pytest.param(60, marks=pytest.mark.full), -1])
    def test_a_recovery_killed_at_any_operation_can_be_recovered_again(
        self, crashes: CrashServer, roots: Roots, nth: int
    ) -> None:
        """After a crash in the staging, in the middle of the renames, and just before the commit mark."""
        if nth < 0:
            nth = self.last_before_commit(crashes, roots)
        killed, at = True, 0

        while killed:
            at += 1
            root = roots()
            before = snapshot(root)
            assert crashes.run(apply_and_commit, root, REPRESENTATIVE.changeset, kill_at=nth)
            killed = crashes.run(run_recovery, root, kill_at=at)
            with faulty(Fault()):
                report = recover(root)

            assert before == snapshot(root)
            assert report is None or (report.side, report.complete) == (Side.BEFORE, True)
            assert in_order(root)

        assert at > 3

    def last_before_commit(self, crashes: CrashServer, roots: Roots) -> int:
        nth = 0
        while True:
            nth += 1
            root = roots()
            crashes.run(apply_and_commit, root, REPRESENTATIVE.changeset, kill_at=nth)
            found = find_journal(root / STATE, EXECUTION)
            if found is None:
                continue
            if (found.directory / "outcome.json").exists():
                return nth - 1

    def test_checks_killed_at_any_operation_leave_nothing_behind(
        self, crashes: CrashServer, roots: Roots
    ) -> None:
        """Files the checks wrote are put back; those they made go once somebody says which they are."""
        killed, nth = True, 0

        while killed:
            nth += 1
            root = roots()
            (root / UNTRACKED).write_bytes(b"mine\n")
            before = snapshot(root)
            killed = crashes.run(apply_and_check, root, REPRESENTATIVE.changeset, kill_at=nth)
            recover_with_listing(root, before)

            assert before == snapshot(root)
            assert in_order(root)


def recover_with_listing(root: Path, before: dict[str, Node]) -> None:
    """A recovery by a caller that knows what stood in the workspace before the checks."""
    state = root / STATE
    with WorkspaceTree(root, state) as tree, faulty(Fault()):
        sweep_journals(state)
        for found in find_journals(state, WORKSPACE):
            with Transaction.reopen(tree, found) as transaction:
                made = [path for path in MADE if path not in before]
                running = transaction.checks_running
                transaction.note_effects(changed=[UNTRACKED] if running else [], created=made)
                assert transaction.rollback().complete


class TestPermissions:
    """In a process of its own, which root's rights are taken from."""

    @pytest.mark.parametrize("closed", ["folder", "folder/deep", "dir"])
    def test_a_directory_that_may_not_be_written_stops_the_apply_without_a_trace(
        self, crashes: CrashServer, roots: Roots, closed: str
    ) -> None:
        root = roots()
        (root / closed).chmod(0o555)
        try:
            crashes.run(apply_without_permission, root, REPRESENTATIVE.changeset, closed, kill_at=0)
        finally:
            (root / closed).chmod(0o755)

    def test_a_state_directory_that_may_not_be_written_stops_the_backup(
        self, crashes: CrashServer, roots: Roots
    ) -> None:
        crashes.run(back_up_without_permission, roots(), REPRESENTATIVE.changeset, kill_at=0)

    def test_what_checks_made_unreadable_is_undone(self, crashes: CrashServer, roots: Roots) -> None:
        crashes.run(roll_back_what_nobody_may_read, roots(), REPRESENTATIVE.changeset, kill_at=0)


class TestRecovery:
    def test_a_second_recovery_gives_the_same_answer(self, roots: Roots, crashes: CrashServer) -> None:
        root = roots()
        assert crashes.run(apply_and_commit, root, REPRESENTATIVE.changeset, kill_at=40)
        (found,) = find_journals(root / STATE)

        with WorkspaceTree(root, root / STATE) as tree:
            first = recover_journal(tree, found)
            (root / "module.py").write_bytes(b"edited since\n")
            second = recover_journal(tree, found)

        assert (Side.BEFORE, True) == (first.side, first.complete)
        assert first == second
        assert b"edited since\n" == (root / "module.py").read_bytes()

    def test_a_file_edited_after_the_crash_is_left_alone_and_named(
        self, roots: Roots, crashes: CrashServer, tmp_path: Path
    ) -> None:
        """Its old bytes can be rescued before the journal goes."""
        root = roots()
        nth = 1
        while not (root / "new/run").exists():
            root = roots()
            assert crashes.run(apply_and_commit, root, REPRESENTATIVE.changeset, kill_at=nth)
            nth += 1
        (root / "new/run").write_bytes(b"edited since\n")
        (root / "script.sh").write_bytes(b"edited too\n")

        (found,) = find_journals(root / STATE)
        with WorkspaceTree(root, root / STATE) as tree:
            report = recover_journal(tree, found)
        assert report.rollback is not None
        ((path, copy),) = rescue_journal(found, report.rollback, tmp_path)

        assert ("script.sh", b"#!/bin/sh\n") == (path, copy.read_bytes())
        assert ["new/run", "script.sh"] == [path for path, _ in report.rollback.foreign]
        assert b"edited since\n" == (root / "new/run").read_bytes()

    def test_edits_since_the_commit_mark_do_not_undo_it(self, roots: Roots) -> None:
        root = roots()
        with WorkspaceTree(root, root / STATE) as tree:
            transaction = prepare(tree, REPRESENTATIVE.changeset)
            transaction.backup()
            transaction.apply()
            transaction.commit()
            die(transaction)
            (root / "module.py").write_bytes(b"edited since\n")
            (found,) = find_journals(root / STATE)

            report = recover_journal(tree, found)

        assert Side.AFTER is report.side
        assert (("module.py", "somebody changed it"),) == report.edited
        assert b"edited since\n" == (root / "module.py").read_bytes()

    def test_the_journal_of_a_living_process_is_not_touched(self, roots: Roots) -> None:
        root = roots()
        with WorkspaceTree(root, root / STATE) as tree, prepare(tree, REPRESENTATIVE.changeset) as living:
            living.backup()
            living.apply()
            (found,) = find_journals(root / STATE)
            sweep_journals(root / STATE)

            with pytest.raises(LockHeld):
                recover_journal(tree, found)
            with pytest.raises(LockHeld):
                Transaction.reopen(tree, found)
            living.commit()

        assert REPRESENTATIVE.after == files_of(snapshot(root))

    def test_a_moved_workspace_is_recovered_where_it_is_now(
        self, roots: Roots, crashes: CrashServer, tmp_path: Path
    ) -> None:
        root = roots()
        before = snapshot(root)
        assert crashes.run(apply_and_commit, root, REPRESENTATIVE.changeset, kill_at=40)
        root = root.rename(tmp_path / "moved")

        report = recover(root)

        assert report is not None
        assert report.complete
        assert before == snapshot(root)

    def test_a_journal_of_another_directory_is_refused(self, roots: Roots, crashes: CrashServer) -> None:
        """Two worktrees may share a state directory; each recovers its own."""
        root, other = roots(), roots()
        assert crashes.run(apply_and_commit, root, REPRESENTATIVE.changeset, kill_at=40)
        half_done, untouched = snapshot(root), snapshot(other)
        (found,) = find_journals(root / STATE)

        with WorkspaceTree(other, root / STATE) as tree, pytest.raises(WrongWorkspace):
            recover_journal(tree, found)

        assert (half_done, untouched) == (snapshot(root), snapshot(other))

    def test_a_journal_without_intent_is_swept_away(self, roots: Roots) -> None:
        """A crash before the intent stands leaves only the journal's own directory."""
        root = roots()
        journal = Journal.create(root / STATE, "exec_early")
        journal.append_before([b"old bytes"])
        sweep_journals(root / STATE)
        assert not in_order(root)
        journal.close()

        sweep_journals(root / STATE)

        assert in_order(root)


def die(transaction: Transaction) -> None:
    """Lets go of the journal as the death of the process does."""
    journal = vars(transaction)["_journal"]
    journal.close()
    vars(transaction)["_journal"] = None


def test_a_fault_reaches_any_program_that_is_started_with_it(roots: Roots) -> None:
    """The same faults, from outside: what the command a user types does when the disk is full or it is killed."""
    root = roots()
    before = snapshot(root)
    program = (
        "import sys; from pathlib import Path; from support.applying import apply_and_commit\n"
        "from support.trees import REPRESENTATIVE\n"
        "apply_and_commit(Path(sys.argv[1]), REPRESENTATIVE.changeset)\n"
    )

    def run(fault: Fault) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-c", program, str(root)]
        variables = {**os.environ, **environment(fault)}
        return subprocess.run(command, env=variables, capture_output=True, check=False)

    assert -signal.SIGKILL == run(Fault(nth=40, error=None)).returncode
    report = recover(root)
    assert report is not None
    assert (Side.BEFORE, True) == (report.side, report.complete)
    full = run(Fault(nth=9, error=errno.ENOSPC, operations=frozenset({"write"})))
    assert b"No space left on device" in full.stderr
    recover(root)
    assert before == snapshot(root)
    assert 0 == run(Fault()).returncode
    assert REPRESENTATIVE.after == files_of(snapshot(root))
