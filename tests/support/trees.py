"""Directory trees as values: written, read back, compared, made up at random."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from hypothesis import strategies as st

from executor.models.change import Changeset, FileChange, Operation, sha256

STATE: Final = ".executor"


class Node(NamedTuple):
    """One entry of a tree: its kind, all mode bits, and its bytes (a link's: its target)."""

    kind: str
    mode: int
    content: bytes


class File(NamedTuple):
    content: bytes
    mode: int = 0o644


Files = Mapping[str, File]


def write_tree(root: Path, files: Files) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for path, file in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode)
    return root


def snapshot(root: Path, *, without: str = STATE) -> dict[str, Node]:
    """Everything below `root` except the state directory."""
    nodes: dict[str, Node] = {}
    for folder, directories, names in os.walk(root):
        above = Path(folder)
        if above == root and without in directories:
            directories.remove(without)
        for name in (*directories, *names):
            path = above / name
            nodes[path.relative_to(root).as_posix()] = _node(path)
    return nodes


def _node(path: Path) -> Node:
    status = path.lstat()
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return Node("link", 0, os.fsencode(path.readlink()))
    if stat.S_ISDIR(status.st_mode):
        return Node("directory", mode, b"")
    if stat.S_ISREG(status.st_mode):
        return Node("file", mode, path.read_bytes())
    return Node("other", mode, b"")


def files_of(nodes: Mapping[str, Node]) -> dict[str, File]:
    return {path: File(node.content, node.mode) for path, node in nodes.items() if node.kind == "file"}


def changeset_between(before: Files, after: Files) -> Changeset:
    """What leads from one set of files to another."""
    changes = [change for path in {*before, *after} if (change := _change(path, before, after)) is not None]
    return Changeset.of(changes)


def _change(path: str, before: Files, after: Files) -> FileChange | None:
    old, new = before.get(path), after.get(path)
    if old == new:
        return None
    if new is None:
        assert old is not None
        return FileChange(
            operation=Operation.DELETE, path=path, old_sha256=sha256(old.content), old_mode=old.mode
        )
    return FileChange(
        operation=Operation.CREATE if old is None else Operation.UPDATE,
        path=path,
        old_sha256=sha256(old.content) if old else None,
        old_mode=old.mode if old else None,
        new_sha256=sha256(new.content),
        new_mode=new.mode,
        content=new.content,
    )


@dataclass(frozen=True)
class TreeChange:
    """A tree and what it becomes. `empty` are directories without files, which stay."""

    before: dict[str, File]
    after: dict[str, File]
    empty: tuple[str, ...] = ()

    def write(self, root: Path) -> Path:
        write_tree(root, self.before)
        for path in self.empty:
            (root / path).mkdir(parents=True, exist_ok=True)
        (root / STATE).mkdir()
        return root

    @property
    def changeset(self) -> Changeset:
        return changeset_between(self.before, self.after)

    @property
    def directories_after(self) -> set[str]:
        """Those of files that are there or were not touched, and the empty ones."""
        changed = {c.path for c in self.changeset.changes if c.operation is Operation.DELETE}
        kept = {path for path in self.before if path not in changed}
        directories = {above for path in (*self.after, *kept) for above in _ancestors(path)}
        return directories | {above for path in self.empty for above in (path, *_ancestors(path))}


def _ancestors(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


_SEGMENTS: Final = st.sampled_from(["a", "b", "c", "é.txt", "m.py", "-n o"])
_MODES: Final = st.sampled_from([0o644, 0o755, 0o600, 0o664, 0o444])
_CONTENTS: Final = st.sampled_from([b"", b"x = 1\n", b"x = 2\n", b"\xff\x00\r\n", b"long" * 5000])


def _without_nesting(files: dict[str, File]) -> dict[str, File]:
    """Drops what lies below a file: a path cannot be both."""
    return {path: file for path, file in files.items() if not any(a in files for a in _ancestors(path))}


def file_sets() -> st.SearchStrategy[dict[str, File]]:
    paths = st.lists(_SEGMENTS, min_size=1, max_size=4).map("/".join)
    return st.dictionaries(paths, st.builds(File, _CONTENTS, _MODES), max_size=6).map(_without_nesting)


def tree_changes() -> st.SearchStrategy[TreeChange]:
    """Any tree and any other, files becoming directories and back included."""

    def mixed(before: dict[str, File], after: dict[str, File], kept: list[bool]) -> TreeChange:
        keep = [path for path, flag in zip(sorted(before), kept, strict=False) if flag]
        merged = _without_nesting({**after, **{path: before[path] for path in keep}})
        return TreeChange(before, merged, ("empty", "empty/er"))

    return st.builds(mixed, file_sets(), file_sets(), st.lists(st.booleans(), max_size=6))


REPRESENTATIVE: Final = TreeChange(
    before={
        "kept.txt": File(b"not touched\n"),
        "script.sh": File(b"#!/bin/sh\n", 0o755),
        "module.py": File(b"x = 1\n"),
        "mode.txt": File(b"mode\n", 0o600),
        "folder/deep/only.txt": File(b"the only one here\n", 0o640),
        "folder/other.txt": File(b"stays\n"),
        "swap": File(b"a file that becomes a directory\n"),
        "dir/inner.txt": File(b"a directory that becomes a file\n"),
        "read only.txt": File(b"nobody writes\n", 0o444),
    },
    after={
        "kept.txt": File(b"not touched\n"),
        "script.sh": File(b"#!/bin/sh\nexit 1\n", 0o755),
        "module.py": File(b"x = 2\n"),
        "mode.txt": File(b"mode\n", 0o755),
        "folder/other.txt": File(b"stays\n"),
        "swap/inside.txt": File(b"inside\n"),
        "dir": File(b"a file now\n"),
        "read only.txt": File(b"nobody writes\nexcept by rename\n", 0o444),
        "new/nested/file.py": File(b"y = 1\n"),
        "new/run": File(b"#!/bin/sh\n", 0o755),
    },
    empty=("empty",),
)
"""One change of every kind: create, update, delete, mode, nested and emptied directories, swaps."""
