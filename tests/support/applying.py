"""Whole runs of a transaction, importable by the processes that are killed in them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from executor.host.apply import Transaction
from executor.host.journal import discard_journal, find_journals, sweep_journals
from executor.host.rollback import RecoveryReport, recover_journal
from executor.host.tree import WorkspaceTree
from executor.models.change import Changeset
from support.trees import STATE, Node

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
