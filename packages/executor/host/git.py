"""What git knows about a workspace, asked without side effects.

Nothing here writes to the repository, runs its hooks, file system monitor or filters, waits for input or
heeds variables that point git at another repository. Git that is missing, refuses or is too slow is an
answer, not an exception.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

STATE_FOLDER: Final = ".executor"
IGNORED_AROUND: Final = "the workspace is ignored by a git work tree around it"
TIMEOUT_SECONDS: Final = 30.0

# These say where configuration is and how far to search; all others would lead to another repository,
# index or identity, as inside a git hook.
_KEPT_VARIABLES: Final = frozenset(
    {
        "GIT_CEILING_DIRECTORIES",
        "GIT_DISCOVERY_ACROSS_FILESYSTEM",
        "GIT_EXEC_PATH",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_CONFIG_NOSYSTEM",
    }
)
_FIXED_VARIABLES: Final = {
    "LC_ALL": "C",
    # Reading must not rewrite the index.
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    # A partial clone must not go to the network for what is missing.
    "GIT_NO_LAZY_FETCH": "1",
}
_OPTIONS: Final = (
    "--no-pager",
    "--literal-pathspecs",
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.quotePath=false"),
    *("-c", "i18n.commitEncoding=UTF-8"),
    *("-c", "i18n.logOutputEncoding=UTF-8"),
)
_SUBMODULE_MODE: Final = 0o160000


@dataclass(frozen=True, slots=True)
class GitFacts:
    """Where a work tree stands.

    `commit` is None before the first commit, `branch` when HEAD is detached. `dirty` is True when anything
    tracked differs from the commit or something untracked and not ignored is there; None when git could not
    say. `problem` says in a sentence why git gives no answer, such as files that belong to another user; then
    only `toplevel` is known.
    """

    toplevel: Path
    commit: str | None = None
    branch: str | None = None
    dirty: bool | None = None
    git_dir: Path | None = None
    common_dir: Path | None = None
    problem: str | None = None

    @property
    def main_worktree(self) -> Path | None:
        """The work tree whose `.git` holds the repository, for a linked one; None for all others."""
        if self.git_dir is None or self.common_dir is None or self.git_dir == self.common_dir:
            return None
        return self.common_dir.parent if self.common_dir.name == ".git" else None


class IndexEntry(NamedTuple):
    """A file as the index has it: mode, the raw id of its content, path relative to the workspace."""

    mode: int
    blob: bytes
    path: bytes


class GitFailed(Exception):
    """Git is not there, is no answer within its time, or ended with an error. `reason` is a sentence."""

    def __init__(self, reason: str, *, no_repository: bool = False) -> None:
        self.reason, self.no_repository = reason, no_repository
        super().__init__(reason)


class GitCommand:
    """A git command that runs while its caller does something else; `output` waits for it."""

    def __init__(
        self,
        root: Path,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        feed: bytes | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._arguments = arguments
        self._feed = feed
        try:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                ["git", *_OPTIONS, *arguments],
                cwd=root,
                env={**git_environment(os.environ if environ is None else environ), **(variables or {})},
                stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError as cause:
            raise GitFailed("git is not installed", no_repository=True) from cause
        except OSError as cause:
            raise GitFailed(
                f"git cannot be started: {cause.strerror or cause}", no_repository=True
            ) from cause

    def output(self, timeout: float = TIMEOUT_SECONDS) -> bytes:
        """What it printed. Raises GitFailed."""
        try:
            output, errors = self._process.communicate(self._feed, timeout=timeout)
        except subprocess.TimeoutExpired as cause:
            self.stop()
            raise GitFailed(f"git {self._arguments[0]} gave no answer within {timeout:g} s") from cause
        except BaseException:
            self.stop()
            raise
        if self._process.returncode != 0:
            raise _failure(self._arguments[0], self._process.returncode, errors.decode("utf-8", "replace"))
        return output

    def stop(self) -> None:
        """Ends it, whatever it is doing, and reaps it. A command that has ended is left alone."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def run_git(
    root: Path,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT_SECONDS,
    feed: bytes | None = None,
    variables: Mapping[str, str] | None = None,
) -> bytes:
    """The output of a git command, which gets `variables` whatever they are. Raises GitFailed."""
    with GitCommand(root, *arguments, environ=environ, feed=feed, variables=variables) as command:
        return command.output(timeout)


def git_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without what would lead git elsewhere."""
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith("GIT_") or name in _KEPT_VARIABLES
    }
    return {**kept, **_FIXED_VARIABLES}


def git_facts(
    root: Path, *, environ: Mapping[str, str] | None = None, timeout: float = TIMEOUT_SECONDS
) -> GitFacts | None:
    """The facts about the work tree `root` lies in; None when there is none, or no git.

    A workspace that git ignores in a work tree around it (a build folder, a scratch folder in a versioned
    home) has no facts of its own: None.
    """
    try:
        with (
            GitCommand(
                root,
                *("rev-parse", "--show-toplevel", "--absolute-git-dir", "--git-common-dir"),
                environ=environ,
            ) as places,
            GitCommand(
                root,
                *("status", "--porcelain=v2", "--branch", "-z"),
                *("--untracked-files=normal", "--ignore-submodules=dirty", "--ignored=matching"),
                environ=environ,
            ) as status,
        ):
            toplevel, git_dir, common_dir = (
                root / os.fsdecode(line) for line in places.output(timeout).rstrip(b"\n").split(b"\n")
            )
            common_dir = common_dir.resolve()
            git_dir = git_dir.resolve()
            try:
                fields = _parse_status(status.output(timeout))
            except GitFailed as failed:
                return GitFacts(toplevel, git_dir=git_dir, common_dir=common_dir, problem=failed.reason)
    except GitFailed as failed:
        found = git_toplevel(root)
        if failed.no_repository or found is None:
            return None
        return GitFacts(found, problem=failed.reason)
    if fields.ignored_above(toplevel, root):
        return None
    return GitFacts(toplevel, fields.commit, fields.branch, fields.dirty, git_dir, common_dir)


class _Status(NamedTuple):
    commit: str | None
    branch: str | None
    dirty: bool
    ignored: frozenset[bytes]

    def ignored_above(self, toplevel: Path, root: Path) -> bool:
        """Whether `root`, or a directory it lies in, is ignored."""
        try:
            inside = os.fsencode(root.resolve().relative_to(toplevel.resolve()))
        except ValueError:
            return False
        parts = inside.split(b"/") if inside != b"." else []
        return any(b"/".join(parts[: count + 1]) + b"/" in self.ignored for count in range(len(parts)))


def _parse_status(output: bytes) -> _Status:
    commit = branch = None
    dirty = False
    ignored: set[bytes] = set()
    records = iter(output.split(b"\0"))
    for record in records:
        match record[:2]:
            case b"# ":
                name, _, value = record[2:].partition(b" ")
                if name == b"branch.oid" and value != b"(initial)":
                    commit = value.decode()
                elif name == b"branch.head" and value != b"(detached)":
                    branch = value.decode("utf-8", "replace")
            case b"2 ":
                # The old name of a renamed file comes as a record of its own.
                next(records, None)
                dirty = True
            case b"1 " | b"u ":
                dirty = True
            case b"? ":
                dirty = dirty or not _of_state(record[2:])
            case b"! ":
                ignored.add(record[2:])
    return _Status(commit, branch, dirty, frozenset(ignored))


def _of_state(path: bytes) -> bool:
    return STATE_FOLDER.encode() in path.split(b"/")


def find_workspace(start: Path) -> Path:
    """The workspace `start` lies in: the nearest directory upward that has a state folder or is the top of
    a git work tree; `start` itself when there is none.
    """
    start = start.resolve()
    for directory in (start, *start.parents):
        if (directory / STATE_FOLDER).is_dir() or _is_toplevel(directory):
            return directory
    return start


def git_toplevel(start: Path) -> Path | None:
    """The top of the git work tree `start` lies in, found without git."""
    start = start.resolve()
    return next((directory for directory in (start, *start.parents) if _is_toplevel(directory)), None)


def _is_toplevel(directory: Path) -> bool:
    git = directory / ".git"
    try:
        if git.is_dir():
            return (git / "HEAD").is_file() or (git / "HEAD").is_symlink()
        return git.is_file() and git.read_bytes()[:8] == b"gitdir: "
    except OSError:
        return False


def list_files(root: Path, *, environ: Mapping[str, str] | None = None) -> list[str]:
    """The files of a work tree below `root`: tracked, or untracked and not ignored; sorted.

    Relative POSIX paths; bytes that are no UTF-8 come as surrogates. Submodules and nested repositories are
    not looked into and not listed; tracked files that are gone are. Raises GitFailed when `root` is in no
    work tree or git gives no answer.
    """
    listing = (
        *("ls-files", "-z", "--stage", "-t"),
        *("--others", "--exclude-standard", f"--exclude=/{STATE_FOLDER}/"),
    )
    found = set()
    for record in run_git(root, *listing, environ=environ).split(b"\0"):
        if record.startswith(b"? "):
            if not record.endswith(b"/"):
                found.add(record[2:])
        elif record:
            entry = _index_entry(record[2:])
            if entry.mode != _SUBMODULE_MODE:
                found.add(entry.path)
    return sorted(path.decode("utf-8", "surrogateescape") for path in found)


def start_index(root: Path, environ: Mapping[str, str] | None = None) -> GitCommand:
    """Starts to list the index below `root`; `parse_index` reads the output."""
    return GitCommand(root, "ls-files", "-z", "--stage", environ=environ)


def parse_index(output: bytes) -> Iterator[IndexEntry]:
    """The files of an index, without submodules. A file in conflict comes once per side."""
    for record in output.split(b"\0"):
        if record:
            entry = _index_entry(record)
            if entry.mode != _SUBMODULE_MODE:
                yield entry


def start_ignored(root: Path, environ: Mapping[str, str] | None = None) -> GitCommand:
    """Starts to list what git ignores below `root`; `parse_ignored` reads the output."""
    return GitCommand(
        root,
        *("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"),
        environ=environ,
    )


def parse_ignored(output: bytes) -> set[bytes] | None:
    """The paths a rule ignores; directories with a slash at the end, and then not what they hold.

    None when `root` itself is ignored by a work tree around it.
    """
    records = sorted(record for record in output.split(b"\0") if record)
    if records == [b"./"]:
        return None
    # A directory in which just happens to be nothing but ignored files comes before these; no rule ignores
    # what else may be put there.
    found = {a for a, b in zip_longest(records, records[1:], fillvalue=b"") if not b.startswith(a)}
    found.discard(b"./")
    return found


def read_blobs(
    root: Path, blobs: Iterable[bytes], *, environ: Mapping[str, str] | None = None
) -> dict[bytes, bytes]:
    """Contents by raw id; what the repository does not hold is left out. Raises GitFailed."""
    wanted = list(dict.fromkeys(blobs))
    if not wanted:
        return {}
    feed = b"".join(blob.hex().encode() + b"\n" for blob in wanted)
    output = run_git(root, "cat-file", "--batch", environ=environ, feed=feed)
    found: dict[bytes, bytes] = {}
    position = 0
    for blob in wanted:
        end = output.index(b"\n", position)
        fields = output[position:end].split(b" ")
        position = end + 1
        if len(fields) == 3 and fields[1] == b"blob":
            size = int(fields[2])
            found[blob] = output[position : position + size]
            position += size + 1
        elif len(fields) == 3:
            # Not a blob: its content follows all the same.
            position += int(fields[2]) + 1
    return found


def read_filtered(root: Path, blob: bytes, path: bytes, *, environ: Mapping[str, str] | None = None) -> bytes:
    """A blob as a checkout would write it at `path`: line ends and filters applied. Raises GitFailed.

    This runs filter programs of the repository's configuration.
    """
    return run_git(root, "cat-file", "--filters", f"--path={os.fsdecode(path)}", blob.hex(), environ=environ)


def _index_entry(record: bytes) -> IndexEntry:
    head, _, path = record.partition(b"\t")
    mode, blob, _stage = head.split(b" ")
    return IndexEntry(int(mode, 8), bytes.fromhex(blob.decode()), path)


def _failure(command: str, code: int, errors: str) -> GitFailed:
    first = next((line for line in errors.splitlines() if line.strip()), "")
    reason = first.removeprefix("fatal: ").strip()
    if "not a git repository" in reason or "must be run in a work tree" in reason:
        return GitFailed(reason, no_repository=True)
    if "dubious ownership" in errors or "safe.directory" in errors:
        return GitFailed(
            f"git refuses: {reason}; if you trust the directory, run "
            "`git config --global --add safe.directory <directory>`"
        )
    if "not superset of prefix" in reason:
        # What ls-files makes of a directory more than one level inside an ignored one.
        return GitFailed(IGNORED_AROUND)
    if code < 0:
        return GitFailed(f"git {command} was ended by signal {-code}")
    return GitFailed(f"git {command} failed: {reason or f'exit code {code}'}")
