"""The hostile corpus on a real disk: what is refused leaves no byte anywhere, and the corpus tells good from naive."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from changes.hostile_changesets import CASES as CHANGESETS
from changes.hostile_patches import BASE, Hostile
from changes.hostile_patches import CASES as PATCHES
from executor.changes.document import read_changeset
from executor.changes.patch import read_patch
from executor.errors import ExecutorError
from executor.host.apply import Transaction
from executor.host.tree import WorkspaceTree
from executor.models.change import Changeset, FileChange
from support.phases import Mode
from support.trees import File, Node, snapshot, write_tree

pytestmark = pytest.mark.faults


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory with a workspace two levels down, and files beside it that nobody may touch."""
    write_tree(tmp_path / "outside", {"x": File(b"canary\n"), "between/a": File(b"canary\n")})
    write_tree(tmp_path / "outside/between/work", {path: File(content) for path, content in BASE.items()})
    return tmp_path / "outside"


def apply(tree: WorkspaceTree, state: Path, changes: tuple[FileChange, ...]) -> None:
    changeset = Changeset.of(changes)
    with Transaction.prepare(tree, state, "exec_hostile", changeset, workspace_id="ws") as transaction:
        transaction.backup()
        transaction.apply()


def whole(outside: Path) -> dict[str, Node]:
    return snapshot(outside, without="")


def test_what_is_refused_changes_no_byte_inside_and_none_outside(
    outside: Path, tmp_path: Path, mode: Mode
) -> None:
    """Read, prepared and applied as by a run; whatever the reader lets pass, the transaction refuses."""
    mode(f"{len(PATCHES)} hostile diffs and {len(CHANGESETS)} hostile changesets on a real disk")
    before = whole(outside)
    root, state = outside / "between/work", tmp_path / "state"
    state.mkdir()

    for cases, read in ((PATCHES, read_patch), (CHANGESETS, read_changeset)):
        for case in cases:
            with WorkspaceTree(root, root / ".executor") as tree, pytest.raises(ExecutorError):
                apply(tree, state, read(case.patch, tree))
            assert whole(outside) == before, case.id


def naive(case: Hostile, root: Path, outside: Path) -> bool:
    """Applies as one would who trusts the input; True when it wrote anything, or would have far outside."""
    wrote = False
    for path, content in _wanted(case.patch):
        if "\0" in path:
            continue
        target = os.path.realpath(os.path.join(root, path))  # noqa: PTH118  # as the naive do it
        if not target.startswith(f"{outside}/"):
            wrote = True
            continue
        with suppress(OSError, ValueError):
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            Path(target).write_bytes(content)
            wrote = True
    return wrote


def _wanted(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Path and new content as far as they can be guessed."""
    try:
        changes = json.loads(data)["changes"]
        yield from (
            (str(change["path"]), str(change.get("content", "")).encode("utf-8", "replace"))
            for change in changes
        )
        return
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError):
        pass
    for found in re.finditer(rb'^(?:\+\+\+|rename to|copy to) "?(?:b/)?([^\n\t"]+)', data, re.MULTILINE):
        if found[1] != b"/dev/null" and b"\0" not in found[1]:
            yield os.fsdecode(found[1]), b"".join(re.findall(rb"^\+(?!\+\+)(.*\n?)", data, re.MULTILINE))


def test_a_naive_applier_fails_at_least_sixty_of_them(outside: Path, mode: Mode) -> None:
    """Every case has to be refused without a byte; who trusts the input writes in most of them."""
    failed = [case.id for case in (*PATCHES, *CHANGESETS) if naive(case, outside / "between/work", outside)]

    mode(f"a naive applier: it fails {len(failed)} of {len(PATCHES) + len(CHANGESETS)}")
    assert len(failed) >= 60
