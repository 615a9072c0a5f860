"""Diffs that real git makes of random trees, read and applied in memory."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from executor.changes.patch import read_patch
from executor.errors import BaseChanged, InvalidChange
from executor.models.change import Operation
from support.patches import File, MemoryTree

Tree = dict[str, File]

NAMES = ("a", "b.txt", "sub/c", "sub/d e", "sub/deep/é", 'quo"te', "a b a b", "dash -", "b/b.txt", "größe.c")
LINES = (
    b"x\n",
    b"y\n",
    b"\n",
    b"}\n",
    b"crlf\r\n",
    b"latin \xe9\n",
    b"-- \n",
    b"--- a/x\n",
    b"@@ -1 +1 @@\n",
)
BINARIES = (b"\0", b"\0\1\2" * 200, bytes(range(256)) * 9)


def contents() -> st.SearchStrategy[bytes]:
    unique = st.integers(0, 10_000).map(lambda n: b"line %d\n" % n)
    lines = st.lists(st.sampled_from(LINES) | unique, max_size=40)
    text = st.builds(
        lambda lines, tail: b"".join(lines) + tail, lines, st.sampled_from([b"", b"", b"no end"])
    )
    return text | st.sampled_from(BINARIES)


@st.composite
def edits(draw: st.DrawFn, content: bytes) -> bytes:
    """A content with some of its lines replaced, removed or doubled."""
    lines = content.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines)))
        lines[at : at + draw(st.integers(0, 2))] = draw(st.lists(st.sampled_from(LINES), max_size=2))
    return b"".join(lines)


def fits(path: str, tree: Tree) -> bool:
    return not any(other.startswith(path + "/") or path.startswith(other + "/") for other in tree)


@st.composite
def tree_pairs(draw: st.DrawFn) -> tuple[Tree, Tree]:
    mode = st.sampled_from([0o644, 0o644, 0o755])
    old: Tree = {}
    for path in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=6)):
        if fits(path, old):
            old[path] = (draw(contents()), draw(mode))
    new = dict(old)
    for _ in range(draw(st.integers(1, 5))):
        path = draw(st.sampled_from(NAMES))
        kind = draw(st.sampled_from(["write", "edit", "delete", "rename", "copy", "chmod"]))
        if kind == "write" and (path in new or fits(path, new)):
            new[path] = (draw(contents()), draw(mode))
        elif not new:
            continue
        else:
            source = draw(st.sampled_from(sorted(new)))
            content, bits = new[source]
            if kind == "edit":
                new[source] = (draw(edits(content)), bits)
            elif kind == "delete":
                del new[source]
            elif kind == "chmod":
                new[source] = (content, bits ^ 0o111)
            elif path not in new:
                rest = {k: v for k, v in new.items() if kind == "copy" or k != source}
                if fits(path, rest):
                    changed = draw(st.booleans())
                    new = {**rest, path: (draw(edits(content)) if changed else content, bits)}
    return old, new


OPTIONS = st.lists(
    st.sampled_from(
        [
            "-M",
            "-C",
            "--find-copies-harder",
            "--no-renames",
            "--full-index",
            "--no-prefix",
            "--src-prefix=old/ --dst-prefix=new/",
            "-U0",
            "-U1",
            "-U8",
            "--patience",
            "--irreversible-delete",
            "--inter-hunk-context=5",
            "--stat",
            "-M20%",
        ]
    ),
    unique=True,
    max_size=4,
)


class Repository:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.git("init", "--quiet")

    def git(self, *arguments: str, **environment: str) -> bytes:
        command = ["git", *arguments]
        done = subprocess.run(
            command, cwd=self.root, capture_output=True, check=True, env={**os.environ, **environment}
        )
        return done.stdout

    def store(self, tree: Tree) -> str:
        """The tree as git keeps it, by its id."""
        for entry in self.root.iterdir():
            if entry.is_dir() and entry.name != ".git":
                shutil.rmtree(entry)
            elif entry.name != ".git":
                entry.unlink()
        for path, (content, mode) in tree.items():
            file = self.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            file.chmod(mode)
        self.git("add", "--all", "--force")
        return self.git("write-tree").decode().strip()

    def commit(self, tree: Tree, *parents: str) -> str:
        arguments = [word for parent in parents for word in ("-p", parent)]
        message = "Change things\n\nLike this:\n--- not a diff\n diff --git in text\n"
        return self.git("commit-tree", self.store(tree), *arguments, "-m", message).decode().strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("repository"))


REAL_GIT = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@REAL_GIT
@given(pair=tree_pairs(), options=OPTIONS)
def test_a_diff_of_git_gives_the_tree_git_made(
    repository: Repository, pair: tuple[Tree, Tree], options: list[str]
) -> None:
    """Whatever changes between two trees and however git is asked to show it: old tree plus changes is the
    new tree, contents and modes.
    """
    old, new = pair
    assume(old != new)
    words = " ".join(options).split()
    patch = repository.git("diff", "--binary", *words, repository.store(old), repository.store(new))

    assert new == MemoryTree(old).after(read_patch(patch, MemoryTree(old)))


@REAL_GIT
@given(pair=tree_pairs())
def test_a_mail_of_format_patch_gives_the_tree_of_the_commit(
    repository: Repository, pair: tuple[Tree, Tree]
) -> None:
    """Mail headers, the message, the summary and the signature are no part of the change."""
    old, new = pair
    assume(old != new)
    base = repository.commit(old)
    tip = repository.commit(new, base)
    mail = repository.git("format-patch", "--stdout", "-M", "-C", f"{base}..{tip}")

    assert new == MemoryTree(old).after(read_patch(mail, MemoryTree(old)))


def test_a_series_of_mails_may_touch_different_files(repository: Repository) -> None:
    first = repository.commit({"a": (b"1\n", 0o644)})
    second = repository.commit({"a": (b"2\n", 0o644)}, first)
    third = repository.commit({"a": (b"2\n", 0o644), "b": (b"3", 0o755)}, second)
    mails = repository.git("format-patch", "--stdout", f"{first}..{third}")

    changes = read_patch(mails, MemoryTree({"a": b"1\n"}))

    assert [("a", Operation.UPDATE), ("b", Operation.CREATE)] == [(c.path, c.operation) for c in changes]


def test_a_series_that_touches_a_file_twice_is_refused(repository: Repository) -> None:
    first = repository.commit({"a": (b"1\n", 0o644)})
    second = repository.commit({"a": (b"2\n", 0o644)}, first)
    third = repository.commit({"a": (b"3\n", 0o644)}, second)
    mails = repository.git("format-patch", "--stdout", f"{first}..{third}")

    with pytest.raises(InvalidChange, match="'a' is changed twice"):
        read_patch(mails, MemoryTree({"a": b"1\n"}))


def test_a_swap_of_two_files_is_resolved_against_the_old_tree(repository: Repository) -> None:
    """git shows a swap as two renames when it may break files up (-B)."""
    one = b"".join(b"one %d\n" % n for n in range(400))
    two = b"".join(b"two %d\n" % n for n in range(400))
    old: Tree = {"a": (one, 0o644), "b": (two, 0o644)}
    new: Tree = {"a": (two, 0o644), "b": (one, 0o644)}
    patch = repository.git("diff", "-B", "-M", repository.store(old), repository.store(new))

    changes = read_patch(patch, MemoryTree(old))

    assert b"rename from a" in patch
    assert new == MemoryTree(old).after(changes)
    assert [("a", "b"), ("b", "a")] == [(c.path, c.source_path) for c in changes]


@REAL_GIT
@given(
    lines=st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n"]), min_size=1, max_size=30),
    edit=st.data(),
    drift=st.data(),
)
def test_a_hunk_goes_where_git_apply_puts_it(
    repository: Repository, lines: list[bytes], edit: st.DataObject, drift: st.DataObject
) -> None:
    """One hunk, on a file that has become another since: the same result, or refused by both."""
    at = edit.draw(st.integers(0, len(lines)))
    new = [*lines[:at], b"new\n", *lines[at + edit.draw(st.integers(0, 2)) :]]
    patch = repository.git(
        "diff",
        f"-U{edit.draw(st.sampled_from([1, 2, 3]))}",
        repository.store({"f": (b"".join(lines), 0o644)}),
        repository.store({"f": (b"".join(new), 0o644)}),
    )
    now = list(lines)
    for _ in range(drift.draw(st.integers(0, 2))):
        spot = drift.draw(st.integers(0, len(now)))
        now[spot : spot + drift.draw(st.integers(0, 1))] = drift.draw(
            st.lists(st.sampled_from([b"a\n", b"b\n", b"z\n"]), max_size=4)
        )
    repository.store({"f": (b"".join(now), 0o644)})
    (repository.root / "patch").write_bytes(patch)
    applied = subprocess.run(["git", "apply", "patch"], cwd=repository.root, capture_output=True)
    expected = (repository.root / "f").read_bytes() if applied.returncode == 0 else None

    found: bytes | None
    try:
        (change,) = read_patch(patch, MemoryTree({"f": b"".join(now)}))
        found = change.content
    except BaseChanged:
        found = None

    assert expected == found
