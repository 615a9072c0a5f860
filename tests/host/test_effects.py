"""What checks do to a workspace is undone together with the change they checked."""

from __future__ import annotations

import os
from pathlib import Path

from executor.host.effects import CheckEffects
from executor.host.tree import WorkspaceTree
from support.applying import prepare
from support.trees import REPRESENTATIVE, STATE, snapshot


def test_a_second_rollback_makes_nothing_the_first_removed(tmp_path: Path) -> None:
    """It comes when the first one could not be recorded: the directories of the change are gone by then."""
    root = REPRESENTATIVE.write(tmp_path / "work")
    before = snapshot(root)
    with WorkspaceTree(root, root / STATE) as tree, prepare(tree, REPRESENTATIVE.changeset) as transaction:
        transaction.backup()
        transaction.apply()
        effects = CheckEffects.watch(transaction, tree, root / STATE, os.environ)

        for _ in range(2):
            report, others = effects.roll_back()

            assert report.complete
            assert [] == others
            assert before == snapshot(root)
