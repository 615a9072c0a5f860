"""Whatever a check does to a workspace, it is seen, and it is undone."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from executor.host.restoration import restore
from executor.host.snapshot import Drift, Snapshot, compare, take_snapshot
from executor.host.tree import WorkspaceTree
from support.repositories import commit_all, git
from support.trees import Node
from support.trees import snapshot as nodes_of

NAMES = st.lists(st.sampled_from(["a", "b", "c", "ü", "d.py"]), min_size=1, max_size=3).map("/".join)
CONTENTS = st.sampled_from([b"", b"one", b"two", b"x" * 100])
ACTIONS = st.one_of(
    st.tuples(st.just("write"), NAMES, CONTENTS),
    st.tuples(st.just("replace"), NAMES, CONTENTS),
    st.tuples(st.just("remove"), NAMES),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("link"), NAMES, st.sampled_from(["a", "b/c", "/etc/passwd", "nowhere"])),
    st.tuples(st.just("hardlink"), NAMES, NAMES),
    st.tuples(st.just("directory"), NAMES),
    st.tuples(st.just("mode"), NAMES, st.sampled_from([0o600, 0o755, 0o444, 0o700])),
)


def act(root: Path, action: tuple[object, ...]) -> None:
    """One thing a process might do; what the system refuses does not happen."""
    kind, name, *rest = action
    path = root / str(name)
    with suppress(OSError):
        if kind in ("write", "replace", "link", "directory"):
            path.parent.mkdir(parents=True, exist_ok=True)
        match kind, *rest:
            case "write", bytes(content):
                if not path.is_symlink():
                    path.write_bytes(content)
            case "replace", bytes(content):
                (root / "temporary").write_bytes(content)
                try:
                    (root / "temporary").replace(path)
                finally:
                    (root / "temporary").unlink(missing_ok=True)
            case ("remove",):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            case "rename", str(other):
                path.rename(root / other)
            case "link", str(target):
                path.symlink_to(target)
            case "hardlink", str(other):
                path.hardlink_to(root / other)
            case ("directory",):
                path.mkdir()
            case "mode", int(mode):
                if not path.is_symlink():
                    path.chmod(mode | (0o700 if path.is_dir() else 0))


def undo(root: Path, snapshot: Snapshot, kept: dict[str, bytes]) -> list[tuple[str, str]]:
    """As a rollback does it: what drifted is restored, then what is new is removed."""
    with WorkspaceTree(root) as tree:
        problems = restore(snapshot, compare(snapshot), tree, contents=kept.get)
    after = compare(snapshot)
    for path in after.created:
        (root / path).unlink()
    for path in after.created_directories:
        (root / path).rmdir()
    return problems


def files_and_links(nodes: dict[str, Node]) -> dict[str, Node]:
    return {path: node for path, node in nodes.items() if node.kind != "directory"}


@pytest.mark.parametrize("keeping", ["everything", "nothing but git"])
@given(before=st.lists(ACTIONS, max_size=12), during=st.lists(ACTIONS, max_size=12))
# The inode of a removed file is given to a link; two names of one file are restored one after the other.
@example([("write", "b", b""), ("hardlink", "a", "b")], [("write", "a", b"one")])
@example([("write", "b", b""), ("hardlink", "a", "b")], [("mode", "a", 0o600)])
@example([("write", "a/a", b"")], [("remove", "a"), ("link", "a/b", "a")])
def test_any_sequence_of_actions_is_seen_and_undone(
    keeping: str, before: list[tuple[object, ...]], during: list[tuple[object, ...]]
) -> None:
    """From kept bytes, or from those of the repository: afterwards every path is as before, and only what
    differed was named.
    """
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "work"
        root.mkdir()
        for action in before:
            act(root, action)
        if keeping != "everything":
            git(root, "init", "-q")
            git(root, "config", "core.autocrlf", "false")
            commit_all(root, {"tracked.txt": "t"})
        start = nodes_of(root, without=".git")
        snapshot = take_snapshot(root)
        kept = {path: (root / path).read_bytes() for path in snapshot.kept_paths}
        for action in during:
            act(root, action)
        end = nodes_of(root, without=".git")
        drift = compare(snapshot)
        differing = {path for path, node in files_and_links(start).items() if end.get(path) != node}

        if keeping != "everything":
            assert not kept
        assert differing == {path for path in drift.changed_paths if start[path].kind != "directory"}
        assert set(files_and_links(end)) - set(start) <= set(drift.created)
        assert [] == undo(root, snapshot, kept)
        assert start == nodes_of(root, without=".git")
        assert Drift() == compare(snapshot)


@contextmanager
def as_nobody(root: Path) -> Iterator[None]:
    """Root may read everything; these tests are about who may not."""
    if os.geteuid() != 0:
        yield
        return
    for path in (root, *root.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    for path in root.parents:
        if path.owner() == "root" and not path.stat().st_mode & 0o001:
            path.chmod(path.stat().st_mode | 0o011)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def forbid_directory(root: Path) -> None:
    (root / "pkg").chmod(0)


def forbid_file(root: Path) -> None:
    (root / "a.py").chmod(0)


def forbid_writing(root: Path) -> None:
    (root / "pkg" / "c.py").unlink()
    (root / "pkg").chmod(0o500)


@pytest.mark.parametrize("damage", [forbid_directory, forbid_file, forbid_writing])
def test_permissions_taken_away_are_given_back(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Also to a user whom they stop: directories come first, then what is in them."""
    root = tmp_path / "work"
    (root / "pkg").mkdir(parents=True)
    (root / "a.py").write_text("a")
    (root / "pkg" / "c.py").write_text("c")
    with as_nobody(root):
        before = nodes_of(root)
        snapshot = take_snapshot(root)
        kept = {path: (root / path).read_bytes() for path in snapshot.kept_paths}
        damage(root)

        assert compare(snapshot).changes
        assert [] == undo(root, snapshot, kept)
        assert before == nodes_of(root)


def test_what_cannot_be_read_is_watched_by_its_times(tmp_path: Path) -> None:
    """A file this user may not read is no obstacle; its replacement is seen, and said not to be mended."""
    root = tmp_path / "work"
    root.mkdir()
    (root / "secret").write_text("s")
    (root / "secret").chmod(0)
    (root / "closed").mkdir()
    (root / "closed" / "x").touch()
    (root / "closed").chmod(0)
    with as_nobody(root):
        snapshot = take_snapshot(root)

        assert ((b"secret", "it cannot be read, or is too large"),) == snapshot.unkept
        assert Drift() == compare(snapshot)
        (root / "secret").unlink()
        (root / "secret").write_text("t")
        assert [("secret", "content")] == [(c.path, c.what) for c in compare(snapshot).changes]
        assert [("secret", "its bytes were not kept and git does not have them")] == undo(root, snapshot, {})
        (root / "closed").chmod(0o700)


def test_only_what_is_asked_for_is_touched(tmp_path: Path) -> None:
    """A drift cut down to some of its changes leaves the others to whoever restores them."""
    for name in ("mine", "theirs"):
        (tmp_path / name).write_text(name)
    snapshot = take_snapshot(tmp_path)
    for name in ("mine", "theirs"):
        (tmp_path / name).rename(tmp_path / f"{name}.moved")
    drift = compare(snapshot)
    with WorkspaceTree(tmp_path) as tree:
        part = replace(drift, changes=tuple(c for c in drift.changes if c.path == "mine"))
        problems = restore(snapshot, part, tree, contents=lambda path: None)

    assert [] == problems
    assert ["mine", "theirs.moved"] == sorted(path.name for path in tmp_path.iterdir())


def test_a_system_that_refuses_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    """One directory that cannot be written does not keep the others from being restored."""
    root = tmp_path / "work"
    for name in ("locked", "open"):
        (root / name).mkdir(parents=True)
        (root / name / "f").write_text("before")
    with as_nobody(root):
        snapshot = take_snapshot(root)
        kept = {path: (root / path).read_bytes() for path in snapshot.kept_paths}
        (root / "locked" / "f").write_text("after")
        (root / "open" / "f").write_text("after")
        (root / "locked").chmod(0o500)
        locked = compare(snapshot)
        with WorkspaceTree(root) as tree:
            only_files = Drift(changes=tuple(c for c in locked.changes if c.path != "locked"))
            problems = restore(snapshot, only_files, tree, contents=kept.get)

        assert ["locked/f"] == [path for path, _ in problems]
        assert "Permission denied" in problems[0][1]
        assert ("after", "before") == ((root / "locked" / "f").read_text(), (root / "open" / "f").read_text())
        (root / "locked").chmod(0o700)
