"""What the planner wants to know about a workspace, looked up."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from executor.errors import InvalidChange, UnsafePath, WorkspaceUnwritable
from executor.host.git import GitFailed, list_files, run_git
from executor.host.tree import WorkspaceTree
from executor.models.change import Changeset
from executor.planner.verification import (
    PROGRAMS,
    WorkspaceFacts,
    configurations_of,
    programs_of,
    test_modules,
)

# Outside git, directories that hold what others wrote, and where to stop looking.
_NOT_OURS: Final = frozenset(
    {".git", ".executor", "node_modules", ".venv", "venv", "target", "__pycache__", ".tox"}
)
_FILES_MAX: Final = 50_000
# Each costs a search through all files.
_SEARCHED_MAX: Final = 10


def gather_facts(tree: WorkspaceTree, changeset: Changeset, environ: Mapping[str, str]) -> WorkspaceFacts:
    """Facts about the workspace as it stands, as far as they matter to `changeset`. Never raises for a file
    that cannot be read: what is not known is not verified."""
    try:
        files, in_git = frozenset(list_files(tree.root, environ=environ)), True
    except GitFailed:
        files, in_git = frozenset(_walk(tree.root)), False
    paths = changeset.paths
    return WorkspaceFacts(
        files=files,
        texts={
            path: text for path in configurations_of(paths) & files if (text := _text(tree, path)) is not None
        },
        programs=_programs(tree.root, changeset, environ),
        named_elsewhere=_named_elsewhere(tree.root, test_modules(changeset), environ) if in_git else None,
    )


def _walk(root: Path) -> Iterator[str]:
    count = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _NOT_OURS)
        inside = Path(folder).relative_to(root)
        for name in names:
            count += 1
            if count > _FILES_MAX:
                return
            yield (inside / name).as_posix()


def _text(tree: WorkspaceTree, path: str) -> str | None:
    try:
        found = tree.read(path)
    except (UnsafePath, InvalidChange, WorkspaceUnwritable):
        return None
    return None if found is None else found.content.decode("utf-8", "replace")


def _programs(root: Path, changeset: Changeset, environ: Mapping[str, str]) -> frozenset[str]:
    path = environ.get("PATH", os.defpath)
    found = {name for name in PROGRAMS if shutil.which(name, path=path) is not None}
    own = {name for name in programs_of(changeset.paths) if os.access(root / name, os.X_OK)}
    return frozenset(found | own)


def _named_elsewhere(root: Path, modules: list[str], environ: Mapping[str, str]) -> frozenset[str] | None:
    """Those of the modules whose name stands in another Python file; None when that cannot be told."""
    if not modules or len(modules) > _SEARCHED_MAX:
        return None
    named = set()
    for module in modules:
        stem = Path(module).stem
        search = ("-l", "-z", "-w", "-F", "--untracked", "-e", stem)
        try:
            found = run_git(root, "grep", *search, environ=environ)
        except GitFailed as failure:
            # Without a word, this code says that nothing was found.
            if not failure.reason.endswith("exit code 1"):
                return None
            found = b""
        names = {name.decode("utf-8", "surrogateescape") for name in found.split(b"\0") if name}
        others = {name for name in names if name.endswith(".py")} - {module}
        if others:
            named.add(module)
    return frozenset(named)
