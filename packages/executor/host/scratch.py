"""The scratch copy: a workspace once more, in which a command may do what it likes.

It lies in the state directory, so that its files cost as little as possible and recovery finds it. For the top
of a git work tree it is a repository of its own: same HEAD and index, the objects borrowed. What git ignores
is not copied, but for folders that are linked. Nothing is written to the workspace or its repository.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from executor.changes.base import BaseEntry
from executor.changes.changelist import ChangeList, Claim, Place, is_executable
from executor.changes.limits import DEFAULT_LIMITS
from executor.changes.paths import canonical_path
from executor.errors import BaseChanged, InvalidChange, UnsafePath
from executor.host import files
from executor.host.git import (
    STATE_FOLDER,
    GitFailed,
    git_facts,
    list_files,
    parse_ignored,
    run_git,
    start_ignored,
)
from executor.host.presence import safe_name
from executor.host.snapshot import CACHE_DIRECTORIES, CACHE_FILES
from executor.host.tree import WorkspaceTree
from executor.storage.location import WORKSPACE_ID_FILE

if TYPE_CHECKING:
    from executor.host.git import GitFacts
    from executor.models.change import FileChange

logger = logging.getLogger(__name__)

FOLDER: Final = "scratch"
# What executions inside a scratch copy have for a workspace: no workspace's own list shows them.
SCRATCH_ID: Final = "scratch:"
LINKED: Final = ("node_modules", ".venv", "venv", "vendor", ".tox")

_GIT: Final = ".git"
_SETTINGS_FILES: Final = ("policy.yaml", "config.toml")
# What makes a commit or a checkout come out as in the repository itself. Remotes, hooks and filters stay out.
_SETTINGS: Final = frozenset(
    (
        *("user.name", "user.email", "core.autocrlf", "core.eol", "core.filemode", "core.ignorecase"),
        *("core.precomposeunicode", "core.symlinks", "core.excludesfile", "core.attributesfile"),
        *("core.sparsecheckout", "core.sparsecheckoutcone", "extensions.objectformat"),
    )
)
_LONGEST_SHOWN: Final = 60
_INFORMATION: Final = ("exclude", "attributes", "sparse-checkout", "grafts")


class _Look(NamedTuple):
    """What tells that nobody has touched a file since: neither a write nor a rename leaves all of it."""

    device: int
    inode: int
    mode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def at(cls, path: Path | str) -> _Look | None:
        try:
            return cls.of(os.lstat(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    @classmethod
    def of(cls, found: os.stat_result) -> _Look:
        return cls._make(_looked_at(found))


_looked_at: Final = attrgetter("st_dev", "st_ino", "st_mode", "st_size", "st_mtime_ns", "st_ctime_ns")


class _Copied(NamedTuple):
    """A file when it was copied: as it stood in the workspace, and as it stands in the copy."""

    original: _Look
    copy: _Look


class ScratchCopy:
    """A copy of the workspace behind `tree`. `make` it, let a command change it, ask for `changes`, `remove` it.

    `links` are names of folders that git ignores and that the copy shares with the workspace by a link.
    """

    def __init__(
        self,
        tree: WorkspaceTree,
        state: Path,
        execution_id: str,
        *,
        links: Sequence[str] = LINKED,
        environ: Mapping[str, str],
    ) -> None:
        self._tree = tree
        self._state = state.resolve()
        self._links = frozenset(links)
        self._environ = environ
        self._execution_id = execution_id
        self.folder: Final = self._state / FOLDER / safe_name(execution_id)
        # The name is the workspace's: programs show it, and some build it into what they write.
        self.root: Final = self.folder / (tree.root.name or "workspace")
        self._facts: GitFacts | None = None
        self._copied: dict[str, _Copied] = {}
        self._linked: set[str] = set()
        self._settings_before: dict[str, bytes | None] = {}

    def make(self, stop: Callable[[], bool] = lambda: False, *, also: Sequence[str] = ()) -> None:
        """Copies files that are tracked, or neither tracked nor ignored, and those of `also`, as they are now.

        Raises WorkspaceUnwritable, and InvalidChange when git cannot say what belongs to the workspace.
        Returns early once `stop` says so.
        """
        facts = git_facts(self._tree.root, environ=self._environ)
        if facts is not None and facts.toplevel.resolve() == self._tree.root:
            if facts.problem is not None:
                raise InvalidChange(f"the workspace cannot be copied: {facts.problem}")
            self._facts = facts
        with files.reporting("copy the workspace to", str(self.root)):
            files.make_directories(self.root)
            self._make_state()
            try:
                paths = dict.fromkeys((*self._paths(), *also))
                for above, group in groupby(paths, lambda path: path.rpartition("/")[0]):
                    if stop():
                        return
                    self._copy(above, group)
                if self._facts is not None:
                    self._link_ignored()
                    self._make_repository(self._facts)
            except GitFailed as cause:
                raise InvalidChange(f"the workspace cannot be copied: {cause.reason}") from cause

    def remove(self) -> None:
        remove_scratch(self._state, self._execution_id)

    def changes(self) -> tuple[FileChange, ...]:
        """What is different in the copy, as a canonical list; nothing when all is as it was copied.

        Raises UnsafePath for a changed link, a file that is no regular one, a nested repository, a path that is
        not allowed, and where policy or settings were changed; BaseChanged when the workspace's own file is no
        longer what was copied; InvalidChange for a limit.
        """
        self._refuse_settings()
        found = dict(self._found())
        changed: list[str] = []
        for path, copied in self._copied.items():
            now = found.pop(path, None)
            if now != copied.copy:
                self._refuse_kinds(path, copied.copy, now)
                changed.append(path)
        created = self._without_ignored(found)
        for path in created:
            self._refuse_kinds(path, None, found[path])
        if not changed and not created:
            return ()
        return self._list(changed, created)

    def _list(self, changed: Sequence[str], created: Sequence[str]) -> tuple[FileChange, ...]:
        base = _Base(self._tree, self._copied)
        with WorkspaceTree(self.root, self.root / STATE_FOLDER) as scratch:
            entries = {canonical_path(path): scratch.read(path) for path in (*changed, *created)}
            claims = [
                Claim(path=path, place=Place(), writes=entry is not None, fresh=path not in self._copied)
                for path, entry in entries.items()
            ]
            listed = ChangeList(claims, base, DEFAULT_LIMITS)
            different = False
            for claim in claims:
                entry = entries[claim.path]
                old = None if claim.fresh else listed.old(claim)
                if entry is not None and (claim.fresh or old is not None):
                    listed.write(claim, entry.content, old, executable=is_executable(entry.mode))
                    different = different or old is None or _differs(old, entry)
                elif entry is None and old is not None:
                    listed.delete(claim, old)
                    different = True
                listed.check_conflicts()
        if base.edited:
            raise BaseChanged([(path, "was changed while the command ran") for path in base.edited])
        return listed.finish() if different else ()

    # Copying.

    def _paths(self) -> list[str]:
        if self._facts is not None:
            return [path for path in list_files(self._tree.root, environ=self._environ) if not _ours(path)]
        return [path for path, _ in self._walk(self._tree.root, skip=self._state)]

    def _copy(self, above: str, paths: Iterable[str]) -> None:
        """Copies what stands in one directory: links as links, and nothing but files besides."""
        # A tracked file may stand behind a link by now: git lists it, but it is not there.
        if above and _behind_link(self._tree.root, above):
            return
        try:
            source = files.open_root(self._tree.root / above)
        except (FileNotFoundError, NotADirectoryError):
            return
        with files.closing(source):
            files.make_directories(self.root / above, 0o777)
            with files.closing(files.open_root(self.root / above)) as target:
                for path in paths:
                    copied = _copied(path.rpartition("/")[2], source, target)
                    if copied is not None:
                        self._copied[path] = copied

    def _make_state(self) -> None:
        """The copy's own state directory: its id says what it is, policy and settings are the workspace's."""
        state = self.root / STATE_FOLDER
        files.make_directories(state)
        files.write_file(state / ".gitignore", b"*\n")
        files.write_file(state / WORKSPACE_ID_FILE, f"{SCRATCH_ID}{self._execution_id}\n".encode())
        for name in _SETTINGS_FILES:
            _copy(self._tree.root / STATE_FOLDER / name, state / name)
        self._settings_before = self._settings_now()

    def _settings_now(self) -> dict[str, bytes | None]:
        """What policy and settings of the copy hold; None for one that is missing or no regular file."""
        places = {name: self.root / STATE_FOLDER / name for name in _SETTINGS_FILES}
        return {
            name: file.read_bytes() if file.is_file() and not file.is_symlink() else None
            for name, file in places.items()
        }

    def _refuse_settings(self) -> None:
        """What decides about changes is not changed by one: to drop it without a word would be to lie."""
        for name, now in self._settings_now().items():
            if now != self._settings_before[name]:
                raise UnsafePath(
                    f"{STATE_FOLDER}/{name}",
                    "the command changed what decides about changes; edit it by hand",
                )

    def _link_ignored(self) -> None:
        ignored = parse_ignored(start_ignored(self._tree.root, self._environ).output()) or set()
        for raw in sorted(ignored):
            path = os.fsdecode(raw).rstrip("/")
            target = self.root / path
            if Path(path).name not in self._links or _ours(path) or target.exists():
                continue
            files.make_directories(target.parent, 0o777)
            with files.closing(files.open_root(target.parent)) as above:
                files.make_link(os.fsencode(self._tree.root / path), target.name, dir_fd=above)
            self._linked.add(path)

    def _make_repository(self, facts: GitFacts) -> None:
        assert facts.git_dir is not None, "git named no problem"
        assert facts.common_dir is not None, "git named no problem"
        git = self.root / _GIT
        for name in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
            files.make_directories(git / name, 0o777)
        files.write_file(git / "objects/info/alternates", os.fsencode(facts.common_dir / "objects") + b"\n")
        files.write_file(git / "config", _encoded(self._settings()))
        # The work tree's own wins over what all share.
        for name in _INFORMATION:
            for place in (facts.common_dir, facts.git_dir):
                _copy(place / "info" / name, git / "info" / name)
        exclude = git / "info/exclude"
        known = exclude.read_bytes() if exclude.exists() else b""
        linked = "".join(f"\n/{_escaped(path)}\n" for path in sorted(self._linked))
        files.write_file(exclude, known + _encoded(linked))
        _copy(facts.common_dir / "shallow", git / "shallow")
        head = facts.commit if facts.branch is None else f"ref: refs/heads/{facts.branch}"
        files.write_file(git / "HEAD", f"{head}\n".encode())
        if facts.branch is not None and facts.commit is not None:
            branch = git / "refs/heads" / facts.branch
            files.make_directories(branch.parent, 0o777)
            files.write_file(branch, f"{facts.commit}\n".encode())
        for index in (facts.git_dir / "index", *facts.git_dir.glob("sharedindex.*")):
            _copy(index, git / index.name)

    def _settings(self) -> str:
        listed = run_git(self._tree.root, "config", "--local", "--list", "-z", environ=self._environ)
        found = {"core.bare": "false", "gc.auto": "0"}
        for record in listed.split(b"\0"):
            name, _, value = record.decode("utf-8", "surrogateescape").partition("\n")
            if name in _SETTINGS:
                found[name] = value
        # The index was written for other inodes: sizes and times, which are the same here, have to do.
        found |= {"core.checkstat": "minimal", "core.trustctime": "false"}
        found["core.repositoryformatversion"] = "1" if "extensions.objectformat" in found else "0"
        lines = []
        for name, value in found.items():
            section, _, key = name.partition(".")
            escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            lines.append(f'[{section}]\n\t{key} = "{escaped}"\n')
        return "".join(lines)

    # Looking.

    def _found(self) -> Iterator[tuple[str, _Look]]:
        for path, look in self._walk(self.root):
            if path not in self._linked:
                yield path, look

    def _walk(self, root: Path, skip: Path | None = None) -> Iterator[tuple[str, _Look]]:
        """Every entry that is no directory, without the repository and the state directory at the top."""
        pending = [""]
        while pending:
            at = pending.pop()
            try:
                with os.scandir(f"{root}/{at}") as listing:
                    entries = list(listing)
            except OSError as cause:
                raise _unreadable(at, cause) from cause
            for entry in entries:
                path = f"{at}/{entry.name}" if at else entry.name
                if not at and entry.name in (_GIT, STATE_FOLDER):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if skip is not None and Path(entry.path) == skip:
                        continue
                    if os.fsencode(entry.name) not in CACHE_DIRECTORIES or self._holds_copied(path):
                        pending.append(path)
                elif os.fsencode(entry.name) not in CACHE_FILES or path in self._copied:
                    try:
                        look = _Look.of(entry.stat(follow_symlinks=False))
                    except FileNotFoundError:
                        continue
                    except OSError as cause:
                        raise _unreadable(path, cause) from cause
                    yield path, look

    def _holds_copied(self, folder: str) -> bool:
        return any(path.startswith(f"{folder}/") for path in self._copied)

    def _without_ignored(self, found: Mapping[str, _Look]) -> list[str]:
        """New files that are part of the change. What git ignores, by the copy's own rules, is none."""
        if self._facts is None or not found:
            return sorted(found)
        # The user's index and rules, not the copy's: the command may have done anything to its repository.
        asked = (f"--git-dir={self._facts.git_dir}", f"--work-tree={self.root}")
        listing = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
        try:
            ignored = parse_ignored(run_git(self.root, *asked, *listing, environ=self._environ)) or set()
        except GitFailed as cause:
            raise InvalidChange(f"git cannot say what is ignored: {cause.reason}") from cause
        single = {os.fsdecode(path) for path in ignored if not path.endswith(b"/")}
        folders = tuple(os.fsdecode(path) for path in ignored if path.endswith(b"/"))
        return sorted(path for path in found if path not in single and not path.startswith(folders))

    def _refuse_kinds(self, path: str, before: _Look | None, now: _Look | None) -> None:
        for look in (before, now):
            if look is not None and stat.S_ISLNK(look.mode):
                raise UnsafePath(path, "the command made, changed or removed a symbolic link")
            if look is not None and not stat.S_ISREG(look.mode):
                raise UnsafePath(path, "the command made something that is no regular file")


class _Base:
    """The workspace as it was copied. Files that were edited since are noted."""

    def __init__(self, tree: WorkspaceTree, copied: Mapping[str, _Copied]) -> None:
        self._tree, self._copied = tree, copied
        self.edited: list[str] = []

    def read(self, path: str) -> BaseEntry | None:
        copied = self._copied.get(path)
        if copied is None:
            return self._tree.read(path)
        if copied.original != _Look.at(self._tree.root / path):
            self.edited.append(path)
        return self._tree.read(path)


def remove_scratch(state: Path, execution_id: str) -> None:
    """Removes the scratch copy of an execution, if it has one. What a link leads to stays."""
    folder = state / FOLDER / safe_name(execution_id)
    if not folder.exists():
        return
    if not files.remove_tree(folder):
        logger.warning("the scratch copy %s cannot be removed", folder)
    with suppress(OSError), files.closing(files.open_root(state)) as above:
        files.remove_directory(FOLDER, dir_fd=above)


def _copied(name: str, source: int, target: int) -> _Copied | None:
    """Copies what stands at `name` from one open directory to another; None where there is nothing to copy."""
    found = files.status_or_none(name, dir_fd=source)
    if found is None:
        return None
    if stat.S_ISLNK(found.st_mode):
        files.make_link(files.read_link(name, dir_fd=source), name, dir_fd=target)
        return _Copied(_Look.of(found), _Look.of(files.status(name, dir_fd=target)))
    if not stat.S_ISREG(found.st_mode):
        return None
    copy = files.copy_file(name, found, name, dir_fd=source, new_dir_fd=target)
    return _Copied(_Look.of(found), _Look.of(copy))


def _copy(source: Path, target: Path) -> None:
    """Copies a file of git or of ours, if there is one, over what stands there."""
    with suppress(FileNotFoundError):
        source = source.resolve(strict=True)
        files.remove_file(target)
        with (
            files.closing(files.open_root(source.parent)) as above,
            files.closing(files.open_root(target.parent)) as folder,
        ):
            found = files.status(source.name, dir_fd=above)
            files.copy_file(source.name, found, target.name, dir_fd=above, new_dir_fd=folder)


def _unreadable(path: str, cause: OSError) -> UnsafePath:
    """What a command made that nobody can list: without rights, or deeper than a path can be long."""
    shown = path if len(path) <= _LONGEST_SHOWN else f"{path[:_LONGEST_SHOWN]}…"
    return UnsafePath(shown or ".", f"it cannot be read: {cause.strerror or cause}")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _differs(old: BaseEntry, new: BaseEntry) -> bool:
    return old.content != new.content or is_executable(old.mode) != is_executable(new.mode)


def _behind_link(root: Path, folder: str) -> bool:
    at = root
    for component in folder.split("/"):
        at = at / component
        if at.is_symlink():
            return True
    return False


def _ours(path: str) -> bool:
    return path == STATE_FOLDER or path.startswith(f"{STATE_FOLDER}/")


def _escaped(path: str) -> str:
    return "".join(f"\\{c}" if c in "\\*?[]! #" else c for c in path)
