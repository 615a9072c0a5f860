"""A change in a scratch copy of the workspace, to be tried there before the workspace is touched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from executor.errors import Interrupted
from executor.host.apply import Transaction
from executor.host.git import STATE_FOLDER
from executor.host.scratch import SCRATCH_ID, ScratchCopy
from executor.host.settings import load_linked_folders
from executor.host.tree import WorkspaceTree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from executor.models.change import Changeset


@contextmanager
def applied_in_scratch(
    tree: WorkspaceTree,
    state: Path,
    execution_id: str,
    changeset: Changeset,
    *,
    environ: Mapping[str, str],
    cancel: threading.Event,
) -> Iterator[tuple[WorkspaceTree, Transaction]]:
    """A scratch copy in which the change is applied, while the block runs; then it is removed.

    Whatever is done to it, the workspace stays as it is. Raises what makes the copy impossible: Interrupted once
    `cancel` is set, WorkspaceUnwritable, InvalidChange, InvalidSettings, and UnsafePath for a file in a folder
    that the copy shares with the workspace.
    """
    scratch = ScratchCopy(tree, state, execution_id, links=load_linked_folders(tree.root), environ=environ)
    try:
        scratch.make(cancel.is_set, also=changeset.paths)
        if cancel.is_set():
            raise Interrupted("stopped while the workspace was copied")
        with WorkspaceTree(scratch.root, scratch.root / STATE_FOLDER) as copy:
            transaction = Transaction.prepare(
                copy,
                scratch.root / STATE_FOLDER,
                execution_id,
                changeset,
                workspace_id=f"{SCRATCH_ID}{execution_id}",
            )
            try:
                transaction.backup()
                transaction.apply()
                yield copy, transaction
            finally:
                transaction.detach()
    finally:
        scratch.remove()
