"""Removes compiled Python that would outlive its source.

Python takes a `.pyc` for current when the source has the same size and the same time in whole seconds. Two
attempts of one length within a second would run the code of the first.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Set
from contextlib import suppress
from typing import Final

from executor.host import files
from executor.host.tree import NO_FILE, WorkspaceTree

CACHE: Final = "__pycache__"


def remove_bytecode(tree: WorkspaceTree, paths: Iterable[str]) -> list[str]:
    """Removes the bytecode of each Python file among `paths`; returns what was removed.

    Raises WorkspaceUnwritable when one has to stay, for the next run would believe it.
    """
    stems: dict[str, set[str]] = {}
    for path in paths:
        above, _, name = path.rpartition("/")
        if name.endswith(".py"):
            stems.setdefault(above, set()).add(name.removesuffix(".py"))
    return [path for above, names in stems.items() for path in _remove(tree, above, names)]


def remove_cache(tree: WorkspaceTree, directory: str) -> None:
    """Removes the bytecode cache of a directory with all the bytecode in it, as far as that goes."""
    cache = _inside(directory, CACHE)
    with files.reporting("remove", cache):
        with suppress(*NO_FILE), tree.directory(cache) as fd:
            for name in files.names(fd):
                if name.endswith(".pyc"):
                    files.unlink(name, dir_fd=fd)
        remove_empty_cache(tree, directory)


def remove_empty_cache(tree: WorkspaceTree, directory: str) -> None:
    """Removes the bytecode cache of a directory when nothing is in it."""
    if tree.names(_inside(directory, CACHE)):
        return
    with suppress(*NO_FILE), tree.directory(directory) as fd:
        found = files.status_or_none(CACHE, dir_fd=fd)
        if found is not None and stat.S_ISDIR(found.st_mode):
            files.remove_directory(CACHE, dir_fd=fd)


def is_bytecode_of(name: str, stems: Set[str]) -> bool:
    """Whether a file of a cache is compiled from a `<stem>.py`, by whatever interpreter or test runner."""
    if not name.endswith(".pyc"):
        return False
    return any(name[:at] in stems for at, character in enumerate(name) if character == ".")


def _remove(tree: WorkspaceTree, above: str, stems: set[str]) -> list[str]:
    cache = _inside(above, CACHE)
    removed: list[str] = []
    with files.reporting("remove bytecode from", cache), suppress(*NO_FILE), tree.directory(cache) as fd:
        for name in files.names(fd):
            if is_bytecode_of(name, stems):
                files.unlink(name, dir_fd=fd)
                removed.append(f"{cache}/{name}")
    return removed


def _inside(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name
