"""Whole runs of a transaction, importable by the processes that are killed in them."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

import pytest

from executor.errors import WorkspaceUnwritable
from executor.host.apply import Transaction
from executor.host.journal import discard_journal, find_journals, sweep_journals
from executor.host.rollback import RecoveryReport, recover_journal
from executor.host.tree import WorkspaceTree
from executor.models.change import Changeset
from support.faults import drop_privileges
from support.trees import STATE, Node, snapshot

WORKSPACE: Final = "ws_test"
EXECUTION: Final = "exec_test"

# What the checks of `apply_and_check` do: change a file that was not in git, and make new ones.
UNTRACKED: Final = "notes.txt"
MADE: Final = ("made", "made/by-check.txt")


def prepare(tree: WorkspaceTree, changeset: Changeset, state_dir: Path | None = None) -> Transaction:
    state = state_dir or tree.root / STATE
    return Transaction.prepare(tree, state, EXECUTION, changeset, workspace_id=WORKSPACE)


def apply_and_commit(root: Path, changeset: Changeset) -> None:
    with WorkspaceTree(root) as tree, prepare(tree, changeset) as transaction:
        transaction.backup()
        transaction.apply()
        transaction.commit()


def apply_and_roll_back(root: Path, changeset: Changeset) -> None:
    with WorkspaceTree(root) as tree, prepare(tree, changeset) as transaction:
        transaction.backup()
        transaction.apply()
        assert transaction.rollback().complete


def apply_and_check(root: Path, changeset: Changeset) -> None:
    """With checks that write into the workspace, in the order of a run that fails."""
    with WorkspaceTree(root) as tree, prepare(tree, changeset) as transaction:
        transaction.backup()
        transaction.apply()
        transaction.keep([UNTRACKED])
        (root / UNTRACKED).write_bytes(b"overwritten by a check\n")
        transaction.note_effects(changed=[UNTRACKED])
        (root / MADE[0]).mkdir()
        (root / MADE[1]).write_bytes(b"made by a check\n")
        transaction.note_effects(created=MADE)
        assert transaction.rollback().complete


def recover(root: Path) -> RecoveryReport | None:
    """What every start does; None when nothing was left behind."""
    state = root / STATE
    with WorkspaceTree(root, state) as tree:
        sweep_journals(state)
        for found in find_journals(state, WORKSPACE):
            report = recover_journal(tree, found)
            if report.complete:
                discard_journal(found)
            return report
    return None


def run_recovery(root: Path) -> None:
    recover(root)


def without_temporaries(nodes: dict[str, Node]) -> bool:
    return not any(path.rpartition("/")[2].startswith(".executor-") for path in nodes)


def apply_without_permission(root: Path, changeset: Changeset, closed: str) -> None:
    """The directory `closed` may not be written: the apply says so, and the rollback leaves no trace."""
    drop_privileges()
    before = snapshot(root)
    with WorkspaceTree(root) as tree, prepare(tree, changeset) as transaction:
        transaction.backup()
        with pytest.raises(WorkspaceUnwritable) as caught:
            transaction.apply()
        assert caught.value.errno == errno.EACCES
        assert caught.value.path.startswith(closed)
        assert transaction.rollback().complete
    assert before == snapshot(root)
    assert find_journals(root / STATE) == []


def back_up_without_permission(root: Path, changeset: Changeset) -> None:
    """The state directory may not be written: nothing begins."""
    (root / STATE).chmod(0o500)
    drop_privileges()
    before = snapshot(root)
    with WorkspaceTree(root) as tree, prepare(tree, changeset) as transaction:
        with pytest.raises(WorkspaceUnwritable, match=STATE):
            transaction.backup()
        assert transaction.rollback().complete
    assert before == snapshot(root)


def roll_back_what_nobody_may_read(root: Path, changeset: Changeset) -> None:
    """A check takes away the right to read from a kept file and from one it makes."""
    drop_privileges()
    (root / UNTRACKED).write_bytes(b"mine\n")
    before = snapshot(root)
    with WorkspaceTree(root) as tree, prepare(tree, changeset) as transaction:
        transaction.backup()
        transaction.apply()
        transaction.keep([UNTRACKED])
        (root / UNTRACKED).chmod(0)
        (root / "made").write_bytes(b"made\n")
        (root / "made").chmod(0)
        transaction.note_effects(changed=[UNTRACKED], created=["made"])
        assert transaction.rollback().complete
    assert before == snapshot(root)
