"""A git commit of exactly what an execution changed.

It is made from HEAD and the files the execution touched, in an index of its own: whatever else is staged or
edited stays out of it and stays as it is. No hooks run and nothing is signed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from executor.errors import CommitRefused, InvalidSettings, UnsafePath
from executor.host import files
from executor.host.git import GitFailed, git_facts, run_git
from executor.models.text import clean_text

if TYPE_CHECKING:
    from executor.host.tree import WorkspaceTree
    from executor.models.change import Changeset
    from executor.models.execution import ExecutionRecord

EXECUTION_TRAILER: Final = "Executor-Execution"
CORRELATION_TRAILER: Final = "Executor-Correlation"

# What stands in the git directory while git is in the middle of something.
_UNDER_WAY: Final = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "BISECT_LOG": "a bisection",
}
_IDENTITY: Final = tuple(
    f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL", "DATE")
)
_MOST_SHOWN: Final = 5
_TITLE_WIDTH: Final = 200

# Mode and id of the content, as a tree of git has them.
_Entry = bytes


class CommitPlan:
    """A commit that is to be made once an execution has completed.

    Made before the execution, when all that could stand in the way can still be said without having changed
    anything. Raises InvalidSettings: no git work tree, nobody to name as author, or git is in the middle of a
    merge, a rebase or the like.
    """

    def __init__(self, tree: WorkspaceTree, environ: Mapping[str, str]) -> None:
        self._tree, self._environ = tree, environ
        self._identity = {name: environ[name] for name in _IDENTITY if name in environ}
        self._entries: dict[str, _Entry | None] = {}
        facts = git_facts(tree.root, environ=environ)
        if facts is None or facts.git_dir is None:
            reason = "there is none here" if facts is None else facts.problem
            raise InvalidSettings(f"--commit needs a git work tree: {reason}")
        for name, what in _UNDER_WAY.items():
            if os.path.lexists(facts.git_dir / name):
                raise InvalidSettings(f"--commit has to wait: {what} is under way here; finish or abort it")
        try:
            self._prefix = self._git("rev-parse", "--show-prefix").rstrip(b"\n")
            for who in ("AUTHOR", "COMMITTER"):
                self._git("var", f"GIT_{who}_IDENT")
        except GitFailed as cause:
            raise InvalidSettings(
                "--commit needs somebody to name: git config user.name and user.email"
            ) from cause

    def check(self, changeset: Changeset) -> None:
        """Refuses a change whose commit would hold more than the change. Raises CommitRefused.

        That is so when a file it touches is not as HEAD has it: edited, staged, or not known to git.
        """
        try:
            edited = self._edited()
            self._entries = self._entries_of(changeset)
        except GitFailed as cause:
            raise CommitRefused(cause.reason) from cause
        unclean = []
        for change in changeset.changes:
            known = self._entries[change.path] is not None
            if self._name(change.path) in edited or known != (change.old_sha256 is not None):
                unclean.append(change.path)
        if unclean:
            more = f" and {len(unclean) - _MOST_SHOWN} more" if len(unclean) > _MOST_SHOWN else ""
            raise CommitRefused(
                f"{', '.join(unclean[:_MOST_SHOWN])}{more} has changes of its own that are not committed; "
                "commit or undo these first, or leave --commit out"
            )

    def make(self, record: ExecutionRecord, changeset: Changeset, why: str | None, index: Path) -> str:
        """The id of the commit, to which HEAD now leads. Raises CommitRefused: there is none then.

        HEAD may have moved since `check`, as long as it has the touched files as they were then. `index` is a
        file that is written and removed.
        """
        try:
            head = self._head()
            if self._entries_of(changeset) != self._entries:
                raise CommitRefused("a commit of somebody else has changed the same files meanwhile")
            self._fill(index, head, changeset)
            self._refuse_edited(changeset)
            tree = self._git("write-tree", index=index).strip().decode()
            parents = ("-p", head) if head else ()
            message = commit_message(record, why).encode("utf-8", "replace")
            commit = self._git("commit-tree", tree, *parents, feed=message).strip().decode()
            self._git(
                *("update-ref", "-m", f"executor: {record.execution_id}", "HEAD", commit),
                head or "0" * len(commit),
            )
        except GitFailed as cause:
            raise CommitRefused(cause.reason) from cause
        finally:
            for path in (index, index.with_name(f"{index.name}.lock")):
                with suppress(OSError):
                    files.remove_file(path)
        # The commit is there. An index that is locked shows its files as changed until it is refreshed.
        with suppress(GitFailed):
            self._update(changeset, None)
        return commit

    def _fill(self, index: Path, head: str | None, changeset: Changeset) -> None:
        self._git(*(("read-tree", head) if head else ("read-tree", "--empty")), index=index)
        self._update(changeset, index)

    def _update(self, changeset: Changeset, index: Path | None) -> None:
        names = b"".join(change.path.encode() + b"\0" for change in changeset.changes)
        self._git("update-index", "-z", "--add", "--replace", "--remove", "--stdin", index=index, feed=names)

    def _refuse_edited(self, changeset: Changeset) -> None:
        """What git has read is what the execution wrote. Raises CommitRefused."""
        for change in changeset.changes:
            try:
                found = self._tree.fingerprint(change.path)
            except UnsafePath as cause:
                raise CommitRefused(f"{change.path} has been replaced since: {cause.reason}") from cause
            if (found.sha256 if found else None) != change.new_sha256:
                raise CommitRefused(f"{change.path} has been edited since")

    def _edited(self) -> set[bytes]:
        """Tracked files that are not as HEAD has them, in the index or beside it."""
        listing = ("status", "--porcelain", "-z", "--no-renames", "--untracked-files=no")
        output = self._git(*listing, "--ignore-submodules=all")
        return {line[3:] for line in output.split(b"\0") if line}

    def _entries_of(self, changeset: Changeset) -> dict[str, _Entry | None]:
        """The touched files as HEAD has them; None for those it has not."""
        head = self._head()
        output = self._git("ls-tree", "-r", "-z", "--full-tree", head) if head else b""
        entries = {}
        for line in output.split(b"\0"):
            entry, _, name = line.partition(b"\t")
            entries[name] = entry
        return {change.path: entries.get(self._name(change.path)) for change in changeset.changes}

    def _head(self) -> str | None:
        """None before the first commit."""
        try:
            return self._git("rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip().decode()
        except GitFailed:
            return None

    def _name(self, path: str) -> bytes:
        return self._prefix + path.encode()

    def _git(self, *arguments: str, index: Path | None = None, feed: bytes | None = None) -> bytes:
        variables = self._identity if index is None else {**self._identity, "GIT_INDEX_FILE": str(index)}
        return run_git(self._tree.root, *arguments, environ=self._environ, feed=feed, variables=variables)


def commit_message(record: ExecutionRecord, why: str | None) -> str:
    """The title, the reason, and whose commit it is."""
    title = " ".join(clean_text(record.title or "").split())[:_TITLE_WIDTH] or record.execution_id
    paragraphs = [title]
    if why and why.strip():
        paragraphs.append(clean_text(why).strip())
    paragraphs.append(
        f"{EXECUTION_TRAILER}: {record.execution_id}\n{CORRELATION_TRAILER}: {record.correlation_id}"
    )
    return "\n\n".join(paragraphs) + "\n"


def find_commit(root: Path, text: str, environ: Mapping[str, str]) -> str | None:
    """The full id of the commit that a revision names in the repository of `root`; None when it names none."""
    try:
        found = run_git(
            root,
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            f"{text}^{{commit}}",
            environ=environ,
        )
    except GitFailed:
        return None
    return found.strip().decode()


class MadeOf(NamedTuple):
    """What a commit says about itself: the execution in its trailer, and the files it changes."""

    execution_id: str
    paths: set[str]


def execution_of(root: Path, commit: str, environ: Mapping[str, str]) -> MadeOf | None:
    """None for a commit that names no execution. Paths are those below `root`, relative to it."""
    shown = f"--format=%(trailers:key={EXECUTION_TRAILER},valueonly)"
    try:
        output = run_git(root, "log", "-1", "--no-show-signature", shown, commit, "--", environ=environ)
        names = output.decode("utf-8", "replace").split()
        if not names:
            return None
        listing = ("diff-tree", "-r", "-z", "--root", "--no-commit-id", "--name-only", "--relative", commit)
        changed = run_git(root, *listing, "--", environ=environ)
    except GitFailed:
        return None
    return MadeOf(
        names[0], {path.decode("utf-8", "surrogateescape") for path in changed.split(b"\0") if path}
    )
