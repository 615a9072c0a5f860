"""Real file systems that are full, read-only or mounted in the way; in a mount namespace where one is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.mounts import run_mounted
from support.phases import Mode

pytestmark = pytest.mark.faults

FULL = """
import errno, sys
from pathlib import Path
from executor.errors import WorkspaceUnwritable
from executor.host.journal import find_journals
from executor.host.tree import WorkspaceTree
from support.applying import prepare
from support.trees import File, STATE, changeset_between, files_of, snapshot, write_tree

root = write_tree(Path(sys.argv[1]) / "workspace", {f"{n}.bin": File(b"%d" % n * 20_000) for n in range(9)})
(root / STATE).mkdir()
state = Path(sys.argv[2])
before = snapshot(root)
old = files_of(before)
new = {path: File(file.content * 9) for path, file in old.items()}
with WorkspaceTree(root, state) as tree, prepare(tree, changeset_between(old, new), state) as transaction:
    try:
        transaction.backup()
        transaction.apply()
    except WorkspaceUnwritable as error:
        assert error.errno == errno.ENOSPC, error
    else:
        raise AssertionError("there was room")
    assert transaction.rollback().complete
assert before == snapshot(root)
assert find_journals(state) == []
"""


@pytest.mark.parametrize("state", ["elsewhere", "workspace/.executor"])
def test_a_full_disk_leaves_the_workspace_as_it_was(tmp_path: Path, mode: Mode, state: str) -> None:
    """With the journal on the same disk, and with the journal on another."""
    (tmp_path / "small").mkdir()
    (tmp_path / "elsewhere").mkdir()
    where = tmp_path / "elsewhere" if state == "elsewhere" else tmp_path / "small" / state

    run_mounted(mode, 'mount -t tmpfs -o size=600k none "$1"', FULL, tmp_path / "small", where)


READ_ONLY = """
import errno, sys
from pathlib import Path
from executor.errors import WorkspaceUnwritable
from executor.host.tree import WorkspaceTree
from support.applying import prepare
from support.trees import REPRESENTATIVE, snapshot

root, state = Path(sys.argv[1]), Path(sys.argv[2])
before = snapshot(root)
with WorkspaceTree(root, state) as tree, prepare(tree, REPRESENTATIVE.changeset, state) as transaction:
    transaction.backup()
    try:
        transaction.apply()
    except WorkspaceUnwritable as error:
        assert error.errno == errno.EROFS, error
    else:
        raise AssertionError("it was applied")
    assert transaction.rollback().complete
assert before == snapshot(root)
"""


def test_a_read_only_workspace_is_named_as_the_reason(tmp_path: Path, mode: Mode) -> None:
    root, state = tmp_path / "workspace", tmp_path / "state"
    state.mkdir()
    make = "from support.trees import REPRESENTATIVE; import sys; from pathlib import Path\n"
    make += "REPRESENTATIVE.write(Path(sys.argv[1]))"
    run_mounted(mode, "", make, root)

    run_mounted(mode, 'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"', READ_ONLY, root, state)


MOUNTED = """
import sys
from pathlib import Path
from executor.errors import UnsafePath
from executor.host.tree import WorkspaceTree

with WorkspaceTree(Path(sys.argv[1])) as tree:
    for path in ("same/file", "other/file", "one-file"):
        try:
            tree.read(path)
        except UnsafePath as error:
            assert "mounted" in error.reason, error
        else:
            raise AssertionError(path)
    assert tree.read("beside") is not None
"""


def test_what_is_mounted_inside_is_not_entered_though_it_is_the_same_file_system(
    tmp_path: Path, mode: Mode
) -> None:
    """A bound directory and a bound file have the device of the workspace; a rename there would fail half-way."""
    for name in ("same", "other", "source"):
        (tmp_path / "work space" / name).mkdir(parents=True)
    for name in ("one-file", "beside", "source/file"):
        (tmp_path / "work space" / name).write_bytes(b"x")
    mounts = 'cd "$1"; mount --bind source same; mount --bind source/file one-file; mount -t tmpfs none other'

    run_mounted(mode, mounts, MOUNTED, tmp_path / "work space")
