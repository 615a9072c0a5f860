"""What a workspace holds before a check, and what the check has done to it.

Watched is every file that is there before, and every path of the changeset, with type, permissions, bytes
or link text. Outside are: what git ignores, `.git`, `.executor`, repositories within the workspace, other
file systems mounted in it, and the caches test runners and linters leave (`CACHE_DIRECTORIES`). A path of
the changeset is watched wherever it lies.

Every watched file is hashed before the check; a cache of hashes (`hashes.py`) makes that cheap.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec

from executor.host.git import (
    IGNORED_AROUND,
    STATE_FOLDER,
    GitCommand,
    GitFailed,
    parse_ignored,
    parse_index,
    start_ignored,
    start_index,
)
from executor.host.hashes import Entry, Hasher, load_hashes, same_state, save_hashes

CACHE_DIRECTORIES: Final = frozenset(
    name.encode()
    for name in (
        *("__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".tox", ".nox"),
        *(".pytype", ".pyre", ".import_linter_cache", ".benchmarks", ".ipynb_checkpoints"),
        *(".nyc_output", ".parcel-cache", ".turbo"),
    )
)
CACHE_FILES: Final = frozenset((b".coverage", b".eslintcache", b".dmypy.json", b".testmondata"))
_CACHE_FILE_PREFIX: Final = b".coverage."
_CACHES_INSIDE: Final = frozenset(((b"node_modules", b".cache"),))
_OUTSIDE: Final = frozenset((b".git", STATE_FOLDER.encode()))

# The kernel's clock for file times ticks in steps of a few milliseconds and lags behind by as much.
_CLOCK_STEP_NS: Final = 100_000_000


class KeepLimits(NamedTuple):
    """How much of what git does not have is kept so that it can be put back."""

    files: int = 10_000
    file_bytes: int = 10_000_000
    total_bytes: int = 50_000_000


DEFAULT_LIMITS: Final = KeepLimits()


class DirectoryEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    mode: int
    uid: int
    gid: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace before a check. Paths are bytes, relative to `root`; `encode` makes it last.

    `taken_ns` is the time by the clock that people set, `booted_ns` by the one that only ever goes on.
    `keep` are the files whose bytes git could not give back: store them before the check runs. Paths of the
    changeset are not among them; their bytes are in the changeset. `unkept` are files beyond the limits, and
    why. `problem` says why git was not asked for what it ignores.
    """

    root: str
    taken_ns: int
    in_git: bool
    entries: dict[bytes, Entry]
    directories: dict[bytes, DirectoryEntry]
    ignored: dict[bytes, tuple[int, int]]
    opaque: dict[bytes, tuple[int, int]]
    keep: tuple[bytes, ...]
    unkept: tuple[tuple[bytes, str], ...]
    state: tuple[int, int] = (0, 0)
    problem: str | None = None
    booted_ns: int = 0

    @property
    def kept_paths(self) -> list[str]:
        return [path_text(path) for path in self.keep]

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Snapshot:
        """Raises ValueError for what `encode` did not write."""
        try:
            return msgspec.msgpack.decode(data, type=cls)
        except msgspec.MsgspecError as cause:
            raise ValueError(f"this is no snapshot: {cause}") from cause


class FoundState(NamedTuple):
    """What identifies the very state of a path, cheaper to compare than its bytes."""

    mode: int
    size: int
    ino: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Drifted:
    """A watched path that is no longer as before. `found` is what stands there now; None for nothing.

    `what` is `content`, `mode`, `type`, `link`, `removed`, or `appeared` for a path of the changeset at
    which nothing stood.
    """

    path: str
    what: str
    found: FoundState | None


@dataclass(frozen=True, slots=True)
class Drift:
    """What has happened to a workspace since a snapshot.

    `changes` are watched paths: the check broke the rule. `created` is new: files and links;
    `created_directories` are new, deepest first. `removed_directories` are gone or replaced, topmost first.
    `moved` says which of the changed are found among the created now, as (old path, new path).
    `surfaced` was there before, out of sight, and came into sight when the check moved it or changed what
    git ignores: never to be removed.
    """

    changes: tuple[Drifted, ...] = ()
    created: tuple[str, ...] = ()
    created_directories: tuple[str, ...] = ()
    removed_directories: tuple[str, ...] = ()
    moved: tuple[tuple[str, str], ...] = ()
    surfaced: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes or self.created or self.created_directories or self.removed_directories)

    @property
    def changed_paths(self) -> list[str]:
        return [change.path for change in self.changes]

    @property
    def created_paths(self) -> list[str]:
        """Files first, then directories, deepest first: the order in which they can be removed."""
        return [*self.created, *self.created_directories]

    def to_dict(self, limit: int = 100) -> dict[str, Any]:
        """For an event: counts, and the first paths of each kind."""
        return {
            "changed": [{"path": change.path, "what": change.what} for change in self.changes[:limit]],
            "changed_count": len(self.changes),
            "created": list(self.created[:limit]),
            "created_count": len(self.created),
            "surfaced": list(self.surfaced[:limit]),
        }


def take_snapshot(
    root: Path,
    changed_paths: Iterable[str] = (),
    *,
    state_dir: Path | None = None,
    limits: KeepLimits = DEFAULT_LIMITS,
    environ: Mapping[str, str] | None = None,
) -> Snapshot:
    """Remembers the workspace as it stands. `changed_paths` are those of the changeset, applied already.

    The cache of hashes lies in `state_dir`; without one every file is read. Raises OSError when `root`
    cannot be read.
    """
    root = root.resolve(strict=True)
    taken_ns, booted_ns = time.time_ns(), _since_boot_ns()
    state = _identity_of(state_dir)
    known = load_hashes(state_dir, root)
    with _Sight.of(root, environ) as sight:
        seen = _look_around(root, sight.ignored, state=state)
        indexed, blobs = sight.index()
    own = {path_bytes(path) for path in changed_paths}
    stats = dict(seen.files)
    for path in own | (indexed.keys() - stats.keys()):
        status = None if path in stats else _lstat(root, path)
        if status is not None and not stat.S_ISDIR(status.st_mode) and (path in own or not _is_cache(path)):
            stats[path] = status
    # An empty index leaves open how the repository names contents, and then it does not matter.
    names = "sha256" if any(len(blob) == 32 for blob in blobs) else "sha1"
    with Hasher(root, known, taken_ns, blobs=names if sight.in_git else None) as hasher:
        entries = {path: hasher.entry(path, status, indexed.get(path, b"")) for path, status in stats.items()}
    for path in own - entries.keys() - seen.directories.keys():
        entries[path] = Entry(0)
    if state_dir is not None and hasher.computed:
        save_hashes(state_dir, root, entries)
    keep, unkept = _choose(entries, own, blobs, limits)
    return Snapshot(
        root=str(root),
        taken_ns=taken_ns,
        in_git=sight.in_git,
        entries=entries,
        directories={
            path: DirectoryEntry(status.st_mode, status.st_uid, status.st_gid)
            for path, status in seen.directories.items()
        },
        ignored={path: _identity(_lstat(root, path.rstrip(b"/"))) for path in sight.ignored},
        opaque={path: _identity(_lstat(root, path)) for path in seen.opaque},
        keep=keep,
        unkept=unkept,
        state=state,
        problem=sight.problem,
        booted_ns=booted_ns,
    )


def compare(snapshot: Snapshot, *, environ: Mapping[str, str] | None = None) -> Drift:
    """What is different now. Writes nothing; a second call gives the same answer.

    Raises OSError when the root itself cannot be read any more.
    """
    root = Path(snapshot.root)
    hidden = set(snapshot.ignored)
    if snapshot.in_git:
        with _Sight.of(root, environ) as sight:
            hidden |= sight.ignored
    seen = _look_around(
        root, hidden, state=snapshot.state, known=snapshot.directories, opaque=snapshot.opaque.keys()
    )
    return _Comparison(snapshot, root, seen).drift()


class _Seen(NamedTuple):
    files: dict[bytes, os.stat_result]
    directories: dict[bytes, os.stat_result]
    opaque: set[bytes]


def _look_around(
    root: Path,
    ignored: Iterable[bytes],
    *,
    state: tuple[int, int],
    known: Mapping[bytes, DirectoryEntry] | None = None,
    opaque: Iterable[bytes] = (),
) -> _Seen:
    """Everything in sight below `root`.

    `known` are the directories of an earlier look. In a directory that is new since, nothing is a cache: it
    goes as a whole. What was `opaque` then stays so, and nothing becomes so.
    """
    hidden = frozenset(ignored)
    closed = set(opaque)
    base = os.fsencode(root)
    device = root.stat().st_dev
    found_files: dict[bytes, os.stat_result] = {}
    directories: dict[bytes, os.stat_result] = {}
    pending = [(b"", False)]
    while pending:
        above, is_new = pending.pop()
        try:
            with os.scandir(base + b"/" + above) as listing:
                entries = list(listing)
        except OSError:
            if not above:
                raise
            # Not readable, or gone while we look: what is in it cannot be watched.
            closed.add(above)
            continue
        if above and known is None and any(entry.name == b".git" for entry in entries):
            closed.add(above)
            continue
        prefix = above + b"/" if above else b""
        for entry in entries:
            name = entry.name
            path = prefix + name
            if entry.is_dir(follow_symlinks=False):
                if name in _OUTSIDE or path + b"/" in hidden or path in closed:
                    continue
                if not is_new and _is_cache_directory(name, above):
                    continue
                status = _status_or_none(entry)
                if status is None or status.st_dev != device or _identity(status) == state:
                    closed.add(path)
                    continue
                directories[path] = status
                pending.append((path, is_new or (known is not None and path not in known)))
            elif path not in hidden and name != b".git" and (is_new or not _is_cache_file(name)):
                status = _status_or_none(entry)
                if status is not None:
                    found_files[path] = status
    return _Seen(found_files, directories, closed)


class _Sight:
    """What git ignores in a workspace, and what its index holds. Without git nothing is ignored."""

    def __init__(self) -> None:
        self.ignored: set[bytes] = set()
        self.in_git = False
        self.problem: str | None = None
        self._index: GitCommand | None = None

    @classmethod
    def of(cls, root: Path, environ: Mapping[str, str] | None) -> _Sight:
        sight = cls()
        try:
            sight._index = start_index(root, environ)
            with start_ignored(root, environ) as listing:
                ignored = parse_ignored(listing.output())
            if ignored is None:
                sight.problem = IGNORED_AROUND
            else:
                sight.ignored, sight.in_git = ignored, True
        except GitFailed as failed:
            sight.problem = None if failed.no_repository else failed.reason
        return sight

    def index(self) -> tuple[dict[bytes, bytes], set[bytes]]:
        """The id of each path, and all ids: content that git can give back."""
        if not self.in_git or self._index is None:
            return {}, set()
        try:
            entries = list(parse_index(self._index.output()))
        except GitFailed as failed:
            self.problem = failed.reason
            return {}, set()
        return {entry.path: entry.blob for entry in entries}, {entry.blob for entry in entries}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._index is not None:
            self._index.stop()


class _Comparison:
    """The differences between a snapshot and what is there now."""

    def __init__(self, snapshot: Snapshot, root: Path, seen: _Seen) -> None:
        self._snapshot = snapshot
        self._root = root
        self._seen = seen
        self._hasher = Hasher(root, {}, snapshot.taken_ns)
        self._inodes = {entry.ino: path for path, entry in snapshot.entries.items() if entry.is_file}

    def drift(self) -> Drift:
        try:
            return self._drift()
        finally:
            self._hasher.close()

    def _drift(self) -> Drift:
        snapshot = self._snapshot
        changes: list[Drifted] = []
        removed = {
            path
            for path in snapshot.directories
            if path not in self._seen.directories and not self._is_directory(path)
        }
        for path, entry in snapshot.entries.items():
            status = self._status(path, removed)
            what = self._difference(path, entry, status)
            if what is not None:
                changes.append(
                    Drifted(path_text(path), what, None if status is None else found_state(status))
                )
        for path, directory in snapshot.directories.items():
            now = self._seen.directories.get(path)
            if now is not None and stat.S_IMODE(now.st_mode) != stat.S_IMODE(directory.mode):
                changes.append(Drifted(path_text(path), "mode", found_state(now)))
        created, made, surfaced = self._new_paths()
        gone = {change.path for change in changes if change.what != "mode"}
        return Drift(
            changes=tuple(sorted(changes, key=lambda change: change.path)),
            moved=tuple(sorted((old, new) for old, new in self._moves(created) if old in gone)),
            created=tuple(sorted(map(path_text, created))),
            created_directories=tuple(sorted(map(path_text, made), key=_deepest_first)),
            removed_directories=tuple(
                sorted(map(path_text, removed), key=lambda path: (path.count("/"), path))
            ),
            surfaced=tuple(sorted(map(path_text, surfaced))),
        )

    def _is_directory(self, path: bytes) -> bool:
        """For what is out of sight now, such as a directory that cannot be read any more."""
        status = _lstat(self._root, path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def _status(self, path: bytes, removed: set[bytes]) -> os.stat_result | None:
        status = self._seen.files.get(path)
        if status is not None:
            return status
        above = path.rpartition(b"/")[0]
        if above in removed:
            return None
        return _lstat(self._root, path)

    def _difference(self, path: bytes, entry: Entry, status: os.stat_result | None) -> str | None:
        if status is None:
            return "removed" if entry.mode else None
        if not entry.mode:
            return "appeared"
        if stat.S_IFMT(status.st_mode) != stat.S_IFMT(entry.mode):
            return "type"
        if entry.is_link:
            return None if self._hasher.link(path) == entry.link else "link"
        if not entry.is_file:
            return None
        if not same_state(entry, status) or (entry.racy and entry.sha256):
            if status.st_size != entry.size or not entry.sha256:
                return "content"
            if self._hasher.hashes(path, status.st_size)[0] != entry.sha256:
                return "content"
        return None if stat.S_IMODE(status.st_mode) == entry.permissions else "mode"

    def _new_paths(self) -> tuple[set[bytes], set[bytes], set[bytes]]:
        """New files, new directories, and what had only been out of sight."""
        snapshot, seen = self._snapshot, self._seen
        hidden = {place for place in (*snapshot.ignored.values(), *snapshot.opaque.values()) if place[1]}
        oldest = _in_todays_time(snapshot) - _CLOCK_STEP_NS
        created: set[bytes] = set()
        made: set[bytes] = set()
        surfaced: set[bytes] = set()
        for path, status in sorted(seen.directories.items()):
            if path not in snapshot.directories:
                came_up = path.rpartition(b"/")[0] in surfaced or _identity(status) in hidden
                (surfaced if came_up else made).add(path)
        for path, status in seen.files.items():
            if path not in snapshot.entries:
                came_up = path.rpartition(b"/")[0] in surfaced or _identity(status) in hidden
                # A directory that is moved leaves the times of what is in it alone.
                is_old = status.st_ctime_ns < oldest and status.st_ino not in self._inodes
                (surfaced if came_up or is_old else created).add(path)
        return created, made, surfaced

    def _moves(self, created: Iterable[bytes]) -> Iterator[tuple[str, str]]:
        """Watched files that stand at a new path now, by what they are and not by what they hold."""
        for path in created:
            status = self._seen.files[path]
            old = self._inodes.get(status.st_ino)
            # The number may have been given to something new.
            if old is not None and stat.S_ISREG(status.st_mode):
                yield path_text(old), path_text(path)


def _choose(
    entries: Mapping[bytes, Entry], own: set[bytes], blobs: set[bytes], limits: KeepLimits
) -> tuple[tuple[bytes, ...], tuple[tuple[bytes, str], ...]]:
    """The files to keep, and those beyond the limits: modified ones before those git does not know."""
    wanted = [
        path
        for path, entry in entries.items()
        if entry.is_file and path not in own and entry.blob not in blobs
    ]
    wanted.sort(key=lambda path: (not entries[path].indexed, path))
    keep: list[bytes] = []
    unkept: list[tuple[bytes, str]] = []
    total = 0
    for path in wanted:
        entry = entries[path]
        if not entry.sha256:
            unkept.append((path, "it cannot be read, or is too large"))
        elif entry.size > limits.file_bytes:
            unkept.append((path, f"it is larger than {limits.file_bytes:,} bytes"))
        elif len(keep) >= limits.files:
            unkept.append((path, f"there are more than {limits.files:,} such files"))
        elif total + entry.size > limits.total_bytes:
            unkept.append((path, f"such files have more than {limits.total_bytes:,} bytes in all"))
        else:
            keep.append(path)
            total += entry.size
    return tuple(keep), tuple(unkept)


def _since_boot_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _in_todays_time(snapshot: Snapshot) -> int:
    """When the snapshot was taken. Where the clock was set back since, by the clock as it goes now: what was
    made after that has times before the snapshot's own.
    """
    elapsed = _since_boot_ns() - snapshot.booted_ns
    if not snapshot.booted_ns or elapsed < 0:
        # The machine was started again meanwhile.
        return snapshot.taken_ns
    return min(snapshot.taken_ns, time.time_ns() - elapsed)


def _status_or_none(entry: os.DirEntry[bytes]) -> os.stat_result | None:
    """None for what is gone by now, or lies so deep that no path leads to it."""
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:
        return None


def found_state(status: os.stat_result) -> FoundState:
    return FoundState(status.st_mode, status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


def _lstat(root: Path, path: bytes) -> os.stat_result | None:
    """What stands at `path`; None when nothing does, or a link or file stands in for a directory above."""
    at = os.fsencode(root)
    parts = path.split(b"/")
    try:
        for part in parts[:-1]:
            at += b"/" + part
            if not stat.S_ISDIR(os.lstat(at).st_mode):
                return None
        return os.lstat(at + b"/" + parts[-1])
    except OSError:
        return None


def _identity(status: os.stat_result | None) -> tuple[int, int]:
    return (status.st_dev, status.st_ino) if status is not None else (0, 0)


def _identity_of(directory: Path | None) -> tuple[int, int]:
    if directory is None:
        return (0, 0)
    try:
        return _identity(directory.stat())
    except OSError:
        return (0, 0)


def _is_cache_directory(name: bytes, above: bytes) -> bool:
    return name in CACHE_DIRECTORIES or (above.rpartition(b"/")[2], name) in _CACHES_INSIDE


def _is_cache_file(name: bytes) -> bool:
    return name in CACHE_FILES or name.startswith(_CACHE_FILE_PREFIX)


def _is_cache(path: bytes) -> bool:
    """Whether a path is, or lies in, something that is outside."""
    parts = path.split(b"/")
    if _is_cache_file(parts[-1]) or not _OUTSIDE.isdisjoint(parts):
        return True
    return any(
        _is_cache_directory(name, above) for above, name in zip([b"", *parts], parts[:-1], strict=False)
    )


def _deepest_first(path: str) -> tuple[int, str]:
    return -path.count("/"), path


def path_bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def path_text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
