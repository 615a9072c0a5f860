"""What checks do to a workspace, and how that is undone together with the change they checked.

Two keepers share the work. The journal holds the files of others that git could not give back, and undoes
those, the change and whatever the checks made, durably. The snapshot knows every other file by its hash and
has git give back the bytes.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from executor.errors import UnsafePath, WorkspaceUnwritable
from executor.host import files
from executor.host.apply import Transaction
from executor.host.artifacts import RESCUED, ArtifactFolder
from executor.host.restoration import restore
from executor.host.rollback import RollbackReport
from executor.host.snapshot import Drift, Snapshot, compare, take_snapshot
from executor.host.tree import NO_FILE, WorkspaceTree

logger = logging.getLogger(__name__)

_SNAPSHOT: Final = "snapshot"

Problems = list[tuple[str, str]]


class CheckEffects:
    """Follows the checks of one transaction, from the snapshot before the first of them."""

    def __init__(
        self,
        transaction: Transaction,
        tree: WorkspaceTree,
        snapshot: Snapshot,
        state: Path,
        environ: Mapping[str, str],
    ) -> None:
        self._transaction, self._tree, self._snapshot = transaction, tree, snapshot
        self._rescued = ArtifactFolder(state, transaction.execution_id).path / RESCUED
        self._environ = environ

    @classmethod
    def watch(
        cls, transaction: Transaction, tree: WorkspaceTree, state: Path, environ: Mapping[str, str]
    ) -> CheckEffects:
        """Remembers the workspace as it stands, durably. Raises WorkspaceUnwritable."""
        with files.reporting("read", str(tree.root)):
            snapshot = take_snapshot(tree.root, transaction.paths, state_dir=state, environ=environ)
        transaction.attach(_SNAPSHOT, snapshot.encode())
        for path, why in transaction.keep(snapshot.kept_paths):
            logger.info("%s cannot be kept: %s", path, why)
        return cls(transaction, tree, snapshot, state, environ)

    @classmethod
    def of_journal(
        cls, transaction: Transaction, tree: WorkspaceTree, state: Path, environ: Mapping[str, str]
    ) -> CheckEffects | None:
        """Those of a process that died; None when no check had begun."""
        data = transaction.attachment(_SNAPSHOT)
        return None if data is None else cls(transaction, tree, Snapshot.decode(data), state, environ)

    def look(self) -> Drift:
        """What the checks have done so far. Raises WorkspaceUnwritable when the root cannot be read."""
        with files.reporting("read", str(self._tree.root)):
            return compare(self._snapshot, environ=self._environ)

    def note(self) -> None:
        """Tells the journal what stands there now is the checks' doing, before others come to edit."""
        drift = self.look()
        self._transaction.note_effects(changed=drift.changed_paths, created=self._made(drift))

    def roll_back(self) -> tuple[RollbackReport, Problems]:
        """Undoes checks and change. Returns the journal's report, and what else is not as before.

        Ends with a look at every file: a path counts as put back only when its hash says so.
        """
        problems = dict(self._give_back())
        self.note()
        report = self._transaction.rollback()
        problems |= self._sweep()
        own = set(self._transaction.paths)
        for change in self.look().changes:
            if change.path not in own:
                problems.setdefault(change.path, f"{change.what} differs from before the checks")
        known = {path for path, _ in report.problems}
        return report, [(path, why) for path, why in sorted(problems.items()) if path not in known]

    def _give_back(self) -> Problems:
        """Restores what neither the journal keeps nor the change touches."""
        handled = {*self._transaction.paths, *self._snapshot.kept_paths}
        drift = self.look()
        # What the change itself made is not missed: a rollback that was cut short has removed it already.
        made = self._transaction.directories_created
        rest = replace(
            drift,
            changes=tuple(c for c in drift.changes if c.path not in handled),
            removed_directories=tuple(d for d in drift.removed_directories if d not in made),
        )
        if not rest.changes and not rest.removed_directories:
            return []
        return restore(
            self._snapshot,
            rest,
            self._tree,
            contents=_nothing_kept,
            displace=self._displace,
            environ=self._environ,
        )

    def _displace(self, path: str, fd: int) -> None:
        """Copies what gives way to the artifacts: nothing tells a check's bytes from a person's."""
        with files.reporting("write", str(self._rescued)):
            files.make_directories(self._rescued)
            name = f"{secrets.token_hex(4)}-{quote(path, safe='')[-100:]}"
            with (
                files.closing(files.open_root(self._rescued)) as folder,
                files.closing(files.create_file(name, dir_fd=folder)) as copy,
            ):
                for chunk in files.read_chunks(fd):
                    files.write_all(copy, chunk)
                files.sync(copy)

    def _made(self, drift: Drift) -> list[str]:
        """What is new, without the directories the change had removed: its rollback makes them again."""
        back = self._transaction.directories_emptied.intersection(drift.created_directories)
        return [path for path in drift.created_paths if path not in back]

    def _sweep(self) -> Problems:
        """Removes what checks made out of sight and the rollback of an ignore rule brought into sight."""
        problems: Problems = []
        drift = self.look()
        own = set(self._transaction.paths)
        for path in self._made(drift):
            if path in own:
                continue
            try:
                with (
                    files.reporting("remove", path),
                    suppress(*NO_FILE),
                    self._tree.parent(path) as (above, name),
                ):
                    remove = files.remove_directory if path in drift.created_directories else files.unlink
                    remove(name, dir_fd=above)
            except (UnsafePath, WorkspaceUnwritable) as cause:
                problems.append((path, str(cause)))
        return problems


def _nothing_kept(path: str) -> bytes | None:
    return None
