"""What a check did to a workspace: seen exactly, and put back."""

import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from executor.host import hashes
from executor.host.git import GitCommand
from executor.host.hashes import Hasher
from executor.host.restoration import restore
from executor.host.snapshot import DEFAULT_LIMITS, Drift, KeepLimits, Snapshot, compare, take_snapshot
from executor.host.tree import WorkspaceTree
from support.repositories import commit_all, git, make_repository
from support.trees import snapshot as nodes_of

FILES = {
    "a.py": "print(1)\n",
    "b.py": "print(2)\n",
    "pkg/c.py": "print(3)\n",
    "pkg/deep/d.py": "print(4)\n",
    ".gitignore": "*.log\nbuild/\n.env\n",
    ".coveragerc": "[run]\n",
}


@pytest.fixture(params=["git", "plain"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A directory with tracked, modified and untracked files, or the same without git."""
    root = tmp_path / "work"
    make_repository(root, FILES)
    (root / "b.py").write_text("print('modified')\n")
    (root / "notes.txt").write_text("untracked\n")
    (root / "link").symlink_to("a.py")
    (root / "empty").mkdir()
    (root / ".executor").mkdir()
    if request.param == "plain":
        shutil.rmtree(root / ".git")
    return root


class Watched:
    """A snapshot with the kept bytes beside it, as the journal holds them."""

    def __init__(
        self, root: Path, changed_paths: tuple[str, ...] = (), limits: KeepLimits = DEFAULT_LIMITS
    ) -> None:
        self.root = root
        self.snapshot = take_snapshot(root, changed_paths, limits=limits)
        # What recovery reads back after a crash has to be as good.
        self.snapshot = Snapshot.decode(self.snapshot.encode())
        own = [path for path in changed_paths if (root / path).is_file()]
        self.kept = {path: (root / path).read_bytes() for path in (*self.snapshot.kept_paths, *own)}
        self.displaced: dict[str, bytes] = {}

    def drift(self) -> Drift:
        return compare(self.snapshot)

    def restore(self, drift: Drift | None = None) -> list[tuple[str, str]]:
        with WorkspaceTree(self.root) as tree:
            return restore(
                self.snapshot,
                drift or self.drift(),
                tree,
                contents=self.kept.get,
                displace=lambda path, fd: self.displaced.update({path: os.read(fd, 1_000_000)}),
            )

    def remove_created(self, drift: Drift) -> None:
        for path in drift.created:
            (self.root / path).unlink()
        for path in drift.created_directories:
            (self.root / path).rmdir()


def rewrite(root: Path) -> None:
    (root / "a.py").write_text("print(9)\n")


def rewrite_keeping_times(root: Path) -> None:
    before = (root / "a.py").stat()
    (root / "a.py").write_text("print(9)\n")
    os.utime(root / "a.py", ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_rename(root: Path) -> None:
    (root / "new").write_text("print(9)\n")
    (root / "new").rename(root / "b.py")


def chmod(root: Path) -> None:
    (root / "a.py").chmod(0o755)


def remove(root: Path) -> None:
    (root / "notes.txt").unlink()


def remove_tree(root: Path) -> None:
    shutil.rmtree(root / "pkg")


def retarget_link(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("b.py")


def file_to_directory(root: Path) -> None:
    (root / "a.py").unlink()
    (root / "a.py").mkdir()
    (root / "a.py" / "inside").write_text("x")


def file_to_link(root: Path) -> None:
    (root / "a.py").rename(root / "elsewhere")
    (root / "a.py").symlink_to("elsewhere")


def link_to_file(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").write_text("print(1)\n")


def directory_to_link(root: Path) -> None:
    (root / "pkg").rename(root / "moved")
    (root / "pkg").symlink_to("moved")


def directory_to_file(root: Path) -> None:
    shutil.rmtree(root / "pkg" / "deep")
    (root / "pkg" / "deep").write_text("x")


def directory_mode(root: Path) -> None:
    (root / "pkg").chmod(0o700)


def remove_empty_directory(root: Path) -> None:
    (root / "empty").rmdir()


def rename_file(root: Path) -> None:
    (root / "a.py").rename(root / "renamed.py")


def move_into_a_directory_of_its_name(root: Path) -> None:
    (root / "b.py").rename(root / "aside")
    (root / "b.py").mkdir()
    (root / "aside").rename(root / "b.py" / "b.py")


def swap(root: Path) -> None:
    (root / "a.py").rename(root / "aside")
    (root / "b.py").rename(root / "a.py")
    (root / "aside").rename(root / "b.py")


def edit_config(root: Path) -> None:
    (root / ".coveragerc").write_text("[report]\n")


def append_to_ignore_file_and_hide(root: Path) -> None:
    with (root / ".gitignore").open("a") as file:
        file.write("*.out\n")
    (root / "result.out").write_text("x")


DAMAGES: list[tuple[Callable[[Path], None], set[tuple[str, str]]]] = [
    (rewrite, {("a.py", "content")}),
    (rewrite_keeping_times, {("a.py", "content")}),
    (replace_by_rename, {("b.py", "content")}),
    (chmod, {("a.py", "mode")}),
    (remove, {("notes.txt", "removed")}),
    (remove_tree, {("pkg/c.py", "removed"), ("pkg/deep/d.py", "removed")}),
    (retarget_link, {("link", "link")}),
    (file_to_directory, {("a.py", "type")}),
    (file_to_link, {("a.py", "type")}),
    (link_to_file, {("link", "type")}),
    (directory_to_link, {("pkg/c.py", "removed"), ("pkg/deep/d.py", "removed")}),
    (directory_to_file, {("pkg/deep/d.py", "removed")}),
    (directory_mode, {("pkg", "mode")}),
    (remove_empty_directory, set()),
    (rename_file, {("a.py", "removed")}),
    (move_into_a_directory_of_its_name, {("b.py", "type")}),
    (swap, {("a.py", "content"), ("b.py", "content")}),
    (edit_config, {(".coveragerc", "content")}),
    (append_to_ignore_file_and_hide, {(".gitignore", "content")}),
]


@pytest.mark.parametrize(("damage", "expected"), DAMAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_every_kind_of_drift_is_seen_and_put_back(
    workspace: Path, damage: Callable[[Path], None], expected: set[tuple[str, str]]
) -> None:
    """Bytes, modes, links, types, removals: named, then as before, byte for byte."""
    before = nodes_of(workspace)
    watched = Watched(workspace)
    damage(workspace)
    drift = watched.drift()

    assert expected == {(change.path, change.what) for change in drift.changes}
    assert drift
    assert [] == watched.restore(drift)
    watched.remove_created(watched.drift())
    assert before == nodes_of(workspace)
    assert Drift() == watched.drift()


def test_what_changes_nothing_is_no_drift(workspace: Path) -> None:
    """The same bytes written again, new times, a rename there and back."""
    watched = Watched(workspace)
    (workspace / "a.py").write_text(FILES["a.py"])
    os.utime(workspace / "b.py", (1, 1))
    (workspace / "notes.txt").rename(workspace / "x")
    (workspace / "x").rename(workspace / "notes.txt")
    (workspace / "pkg" / "copy").write_text(FILES["pkg/c.py"])
    (workspace / "pkg" / "copy").replace(workspace / "pkg" / "c.py")

    assert Drift() == watched.drift()


def test_new_files_are_listed_and_are_no_violation(workspace: Path) -> None:
    """Files, links, and the directories made for them, deepest first; also in directories that were empty."""
    watched = Watched(workspace)
    (workspace / "out" / "sub").mkdir(parents=True)
    (workspace / "out" / "sub" / "r.txt").touch()
    (workspace / "out" / "__pycache__").mkdir()
    (workspace / "out" / "__pycache__" / "m.pyc").touch()
    (workspace / "empty" / "now.txt").touch()
    (workspace / "pkg" / "new-link").symlink_to("/etc/passwd")
    drift = watched.drift()

    assert () == drift.changes
    assert ("empty/now.txt", "out/__pycache__/m.pyc", "out/sub/r.txt", "pkg/new-link") == drift.created
    assert ("out/__pycache__", "out/sub", "out") == drift.created_directories
    watched.remove_created(drift)
    assert Drift() == watched.drift()


def test_caches_and_state_are_outside(workspace: Path) -> None:
    """What test runners and linters leave is nobody's business, without any ignore file; what only sounds
    like it is.
    """
    for path in ("__pycache__/a.pyc", "pkg/__pycache__/c.pyc", ".pytest_cache/v", ".executor/executor.db"):
        (workspace / path).parent.mkdir(exist_ok=True)
        (workspace / path).write_text("before")
    watched = Watched(workspace)
    for path in (
        *("__pycache__/a.pyc", "pkg/__pycache__/c.pyc", ".pytest_cache/v", ".executor/executor.db"),
        *(
            ".mypy_cache/x",
            ".ruff_cache/x",
            ".hypothesis/x",
            ".tox/x",
            ".nox/x",
            ".coverage",
            ".coverage.host.1",
        ),
    ):
        (workspace / path).parent.mkdir(exist_ok=True)
        (workspace / path).write_text("after")

    assert Drift() == watched.drift()
    (workspace / "tox").mkdir()
    (workspace / "tox" / "x").touch()
    (workspace / ".coveragerc").write_text("after")
    drift = watched.drift()
    assert [".coveragerc"] == drift.changed_paths
    assert ("tox/x",) == drift.created


def test_the_cache_of_node_modules_is_outside_and_the_modules_are_not(workspace: Path) -> None:
    """Only the folder that holds what tools computed."""
    (workspace / "node_modules" / ".cache").mkdir(parents=True)
    (workspace / "node_modules" / "m.js").write_text("1")
    watched = Watched(workspace)
    (workspace / "node_modules" / ".cache" / "x").touch()
    (workspace / "node_modules" / "m.js").write_text("2")

    assert ["node_modules/m.js"] == watched.drift().changed_paths


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "work", FILES)


def test_what_git_ignores_is_outside(repository: Path) -> None:
    """Changed, removed and new ignored files are not looked at; tracked ones are, whatever a rule says."""
    for path in ("x.log", "build/out", "logs/only.log"):
        (repository / path).parent.mkdir(exist_ok=True)
        (repository / path).write_text("before")
    (repository / "forced.log").write_text("tracked\n")
    git(repository, "add", "-f", "forced.log")
    watched = Watched(repository)
    (repository / "x.log").unlink()
    (repository / "build" / "out").write_text("after")
    (repository / "build" / "more").touch()
    (repository / "new.log").touch()
    (repository / "logs" / "new.txt").touch()
    (repository / "forced.log").write_text("changed\n")
    drift = watched.drift()

    assert [("forced.log", "content")] == [(change.path, change.what) for change in drift.changes]
    assert ("logs/new.txt",) == drift.created
    assert () == drift.surfaced


def test_a_path_of_the_changeset_is_watched_wherever_it_lies(repository: Path) -> None:
    """Ignored, in a cache, or not there after the change: its creation counts, too."""
    (repository / "build").mkdir()
    (repository / "build" / "made.txt").write_text("applied\n")
    (repository / "__pycache__").mkdir()
    (repository / "__pycache__" / "own").write_text("applied\n")
    before = nodes_of(repository)
    watched = Watched(repository, ("build/made.txt", "__pycache__/own", "deleted.py", "gone/too.py"))
    (repository / "build" / "made.txt").write_text("changed\n")
    (repository / "__pycache__" / "own").unlink()
    (repository / "deleted.py").write_text("again\n")
    drift = watched.drift()

    assert [("__pycache__/own", "removed"), ("build/made.txt", "content"), ("deleted.py", "appeared")] == [
        (change.path, change.what) for change in drift.changes
    ]
    assert () == drift.created
    assert [] == watched.restore(drift)
    assert before == nodes_of(repository)


def test_files_git_can_give_back_are_not_kept(repository: Path) -> None:
    """Clean tracked files come from git, also after the check emptied the index and moved HEAD."""
    (repository / "b.py").write_text("print('modified')\n")
    (repository / "staged.py").write_text("print('staged')\n")
    git(repository, "add", "staged.py")
    (repository / "untracked.py").write_text("print('untracked')\n")
    watched = Watched(repository)

    assert ["b.py", "untracked.py"] == watched.snapshot.kept_paths
    before = nodes_of(repository, without=".git")
    for path in repository.glob("**/*.py"):
        path.unlink()
    commit_all(repository, {"a.py": "print('committed by the check')\n"})
    git(repository, "rm", "-rqf", "--cached", ".")
    assert [] == watched.restore()
    assert before == nodes_of(repository, without=".git")


def test_files_a_checkout_converts_are_kept_or_asked_for_as_a_checkout_gives_them(repository: Path) -> None:
    """Where git's bytes are not the file's, the file is kept; beyond the limits git's conversion is tried,
    and believed only when the hash is the one taken before.
    """
    (repository / ".gitattributes").write_text("*.txt text eol=crlf\n")
    commit_all(repository, {"crlf.txt": "one\ntwo\n"})
    git(repository, "rm", "-q", "--cached", "crlf.txt")
    git(repository, "reset", "-q", "--hard")
    assert (repository / "crlf.txt").read_bytes() == b"one\r\ntwo\r\n"

    assert ["crlf.txt"] == take_snapshot(repository).kept_paths
    watched = Watched(repository, limits=KeepLimits(files=0))
    (repository / "crlf.txt").write_bytes(b"x")
    assert [] == watched.restore()
    assert (repository / "crlf.txt").read_bytes() == b"one\r\ntwo\r\n"


def test_what_was_not_kept_and_git_does_not_have_is_named(workspace: Path) -> None:
    """Nothing false is written in its place, and everything else is put back."""
    watched = Watched(workspace, limits=KeepLimits(files=10, file_bytes=10, total_bytes=1_000))

    assert ("notes.txt" in watched.snapshot.kept_paths) is True
    assert (b"b.py", "it is larger than 10 bytes") in watched.snapshot.unkept
    (workspace / "b.py").write_text("gone")
    (workspace / "notes.txt").write_text("gone")
    assert [("b.py", "its bytes were not kept and git does not have them")] == watched.restore()
    assert (workspace / "b.py").read_text() == "gone"
    assert (workspace / "notes.txt").read_text() == "untracked\n"


def test_a_moved_file_is_moved_back(workspace: Path) -> None:
    """Also when it is too large to be kept: what the check moved away is the only copy."""
    (workspace / "data" / "raw").mkdir(parents=True)
    (workspace / "data" / "raw" / "large.bin").write_bytes(b"x" * 1000)
    watched = Watched(workspace, limits=KeepLimits(file_bytes=100))
    before = nodes_of(workspace)
    (workspace / "data").rename(workspace / "archive")
    (workspace / "archive" / "raw" / "large.bin").chmod(0o600)
    drift = watched.drift()

    assert (("data/raw/large.bin", "archive/raw/large.bin"),) == drift.moved
    assert [] == watched.restore(drift)
    watched.remove_created(watched.drift())
    assert before == nodes_of(workspace)


def test_limits_on_number_and_total_say_which_files_are_beyond(tmp_path: Path) -> None:
    """In the order of names, so that the same files are kept each time."""
    for name in "abcd":
        (tmp_path / name).write_text("12345")

    few = take_snapshot(tmp_path, limits=KeepLimits(files=2))
    small = take_snapshot(tmp_path, limits=KeepLimits(total_bytes=11))
    assert ["a", "b"] == few.kept_paths
    assert [(b"c", "there are more than 2 such files"), (b"d", "there are more than 2 such files")] == list(
        few.unkept
    )
    assert ["a", "b"] == small.kept_paths
    assert b"such files have more than 11 bytes in all" == small.unkept[0][1].encode()


def test_an_edit_after_the_check_is_left_alone(workspace: Path) -> None:
    """A file that is no longer as the drift was found belongs to somebody else."""
    watched = Watched(workspace)
    rewrite(workspace)
    (workspace / "notes.txt").unlink()
    drift = watched.drift()
    (workspace / "a.py").write_text("print('by hand')\n")
    (workspace / "notes.txt").write_text("by hand\n")

    assert [
        ("a.py", "somebody changed it after the check"),
        ("notes.txt", "somebody changed it after the check"),
    ] == watched.restore(drift)
    assert (workspace / "a.py").read_text() == "print('by hand')\n"


def test_what_gives_way_is_handed_over_first(workspace: Path) -> None:
    """A file changed while the check ran may be somebody's work: its bytes are offered before they go."""
    watched = Watched(workspace)
    rewrite(workspace)
    watched.restore()

    assert {"a.py": b"print(9)\n"} == watched.displaced


def test_a_link_in_place_of_a_directory_is_not_followed_when_restoring(
    workspace: Path, tmp_path: Path
) -> None:
    """A check that plants a link to the outside gets nothing written there."""
    outside = tmp_path / "outside"
    outside.mkdir()
    watched = Watched(workspace)
    shutil.rmtree(workspace / "pkg")
    drift = watched.drift()
    (workspace / "pkg").symlink_to(outside)
    problems = dict(watched.restore(drift))

    assert {"pkg", "pkg/c.py", "pkg/deep", "pkg/deep/d.py"} == problems.keys()
    assert [] == list(outside.iterdir())


def test_ignored_files_that_come_into_sight_are_never_taken_for_new(repository: Path) -> None:
    """A check that drops the ignore rules, moves ignored files or adds them to the index makes them visible,
    not new: removing them would destroy what was there before.
    """
    (repository / ".env").write_text("precious")
    (repository / "build").mkdir()
    (repository / "build" / "out").write_text("precious")
    (repository / "x.log").write_text("precious")
    watched = Watched(repository)
    (repository / ".gitignore").unlink()
    git(repository, "add", "-f", "x.log")
    (repository / "build").rename(repository / "dist")
    (repository / ".env").rename(repository / "env.backup")
    (repository / "really-new").touch()
    drift = watched.drift()

    assert ("really-new",) == drift.created
    assert () == drift.created_directories
    assert ("dist", "dist/out", "env.backup") == drift.surfaced


def test_files_older_than_the_snapshot_are_never_taken_for_new(repository: Path) -> None:
    """What is moved out of an ignored directory keeps its change time only as part of a moved directory."""
    (repository / "build" / "lib").mkdir(parents=True)
    (repository / "build" / "lib" / "old").write_text("precious")
    time.sleep(0.15)
    watched = Watched(repository)
    (repository / "build" / "lib").rename(repository / "lib")
    drift = watched.drift()

    assert () == drift.created
    assert ("lib/old",) == drift.surfaced


def test_nested_repositories_and_submodules_are_left_alone(repository: Path) -> None:
    """What lies in them is not watched and not removed, also when the check removes their `.git`."""
    make_repository(repository / "nested", {"n.txt": "n\n"})
    make_repository(repository / "module", {"m.txt": "m\n"})
    git(repository, "add", "module")
    watched = Watched(repository)
    (repository / "nested" / "n.txt").write_text("changed")
    (repository / "module" / "new").touch()

    assert Drift() == watched.drift()
    shutil.rmtree(repository / "nested" / ".git")
    assert Drift() == watched.drift()


def test_a_repository_made_by_a_check_hides_nothing(repository: Path) -> None:
    """`git init` in a watched directory does not take it out of sight."""
    watched = Watched(repository)
    git(repository / "pkg", "init", "-q")
    (repository / "pkg" / "c.py").write_text("changed")
    (repository / "pkg" / "new").touch()
    make_repository(repository / "made", {"x": "x"})
    drift = watched.drift()

    assert ["pkg/c.py"] == drift.changed_paths
    assert ("made/x", "pkg/new") == drift.created


def test_a_repository_made_or_destroyed_at_the_top_does_not_confuse(workspace: Path) -> None:
    """Before and after are compared by the rules that held before."""
    (workspace / "x.log").write_text("before")
    watched = Watched(workspace)
    if (workspace / ".git").exists():
        shutil.rmtree(workspace / ".git")
    else:
        git(workspace, "init", "-q")
    rewrite(workspace)
    (workspace / "new").touch()
    drift = watched.drift()

    assert ["a.py"] == drift.changed_paths
    assert ("new",) == drift.created


def test_a_workspace_within_a_repository_is_judged_by_its_rules(repository: Path) -> None:
    """The rules of the files above hold; a workspace that is itself ignored is watched as a plain directory."""
    (repository / "pkg" / "y.log").touch()
    watched = Watched(repository / "pkg")
    (repository / "pkg" / "z.log").touch()
    (repository / "pkg" / "c.py").write_text("changed")
    (repository / "a.py").write_text("outside of the workspace")

    assert ["c.py"] == watched.drift().changed_paths
    assert () == watched.drift().created
    assert watched.snapshot.in_git
    scratch = repository / "build" / "x" / "scratch"
    scratch.mkdir(parents=True)
    (scratch / "s.txt").write_text("s")
    ignored = Watched(scratch)
    (scratch / "s.txt").write_text("changed")
    assert not ignored.snapshot.in_git
    assert ["s.txt"] == ignored.drift().changed_paths
    assert ignored.snapshot.problem == "the workspace is ignored by a git work tree around it"


def test_special_files_are_watched_and_not_opened(workspace: Path) -> None:
    """A FIFO or a socket does not hold up anything; its removal is seen, and said to be final."""
    os.mkfifo(workspace / "fifo")
    # Not by bind(): it takes no name of more than 107 bytes, and temporary directories may be deep.
    os.mknod(workspace / "sock", stat.S_IFSOCK | 0o600)
    watched = Watched(workspace)
    (workspace / "fifo").unlink()
    (workspace / "sock").unlink()
    drift = watched.drift()

    assert [("fifo", "removed"), ("sock", "removed")] == [(c.path, c.what) for c in drift.changes]
    assert ["it was a FIFO and cannot be made again", "it was a socket and cannot be made again"] == [
        why for _, why in watched.restore(drift)
    ]


def test_names_of_any_bytes_are_watched_and_put_back(workspace: Path) -> None:
    """Line breaks, quotes, spaces at the end, bytes that are no UTF-8."""
    names = [b"new\nline", b'qu"ote\\ ', b"latin-\xe9", "ü".encode()]
    for name in names:
        (workspace / os.fsdecode(name)).write_text("before")
    watched = Watched(workspace)
    for name in names:
        (workspace / os.fsdecode(name)).write_text("after")
    drift = watched.drift()

    assert {name.decode("utf-8", "surrogateescape") for name in names} == set(drift.changed_paths)
    assert [] == watched.restore(drift)
    assert {"before"} == {(workspace / os.fsdecode(name)).read_text() for name in names}


def test_owners_and_all_mode_bits_come_back(workspace: Path) -> None:
    """A file that a rename replaced is again what it was, and not what this process would create."""
    (workspace / "a.py").chmod(0o640)
    if os.getuid() == 0:
        os.chown(workspace / "a.py", 12345, 54321)
    before = (workspace / "a.py").stat()
    watched = Watched(workspace)
    replaced = workspace / "a.py"
    replaced.unlink()
    replaced.write_text("other")
    watched.restore()
    after = replaced.stat()

    assert (before.st_mode, before.st_uid, before.st_gid) == (after.st_mode, after.st_uid, after.st_gid)


def test_bytecode_of_a_restored_file_goes(workspace: Path) -> None:
    """Python would run what the check had left when size and second are the same."""
    watched = Watched(workspace)
    rewrite(workspace)
    (workspace / "__pycache__").mkdir()
    (workspace / "__pycache__" / "a.cpython-311.pyc").touch()
    watched.restore()

    assert [] == list((workspace / "__pycache__").iterdir())


# The cache of hashes.


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a state directory, whose files pass for old enough to be believed by their times."""
    monkeypatch.setattr(hashes, "RACY_NS", -(10**15))
    root = make_repository(tmp_path / "work", FILES)
    (root / "b.py").write_text("print('modified')\n")
    (root / ".executor").mkdir()
    return root


def test_unchanged_files_are_not_read_again(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a warm cache nothing is opened; a file that changed is, and only that."""
    state = cached / ".executor"
    first = take_snapshot(cached, state_dir=state)
    read: list[bytes] = []
    hash_file = Hasher.hashes

    def spying(self: Hasher, path: bytes, size: int) -> tuple[bytes, bytes]:
        read.append(path)
        return hash_file(self, path, size)

    monkeypatch.setattr(Hasher, "hashes", spying)
    second = take_snapshot(cached, state_dir=state)
    assert [] == read
    assert first.entries == second.entries
    (cached / "b.py").write_text("print('mod1fied')\n")
    third = take_snapshot(cached, state_dir=state)
    assert [b"b.py"] == read
    assert third.entries[b"b.py"].sha256 != second.entries[b"b.py"].sha256


def test_a_fresh_file_is_never_believed_by_its_times(workspace: Path) -> None:
    """Within the resolution of file times two contents of one size look the same: such files are read."""
    state = workspace / ".executor"
    target = workspace / "a.py"
    for number in range(50):
        target.write_text(f"{number:05}")
        watched = take_snapshot(workspace, state_dir=state)
        before = target.stat()
        with target.open("r+") as file:
            file.write(f"{number + 1:05}")
        os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))

        assert ["a.py"] == compare(watched).changed_paths


@pytest.mark.parametrize("damage", ["empty", "torn", "flipped", "foreign", "directory", "other root"])
def test_a_damaged_cache_costs_time_and_nothing_else(cached: Path, tmp_path: Path, damage: str) -> None:
    """Whatever the file holds, the hashes are those of the files."""
    state = cached / ".executor"
    right = take_snapshot(cached, state_dir=state).entries
    cache = state / "cache" / "hashes"
    data = bytearray(cache.read_bytes())
    match damage:
        case "empty":
            cache.write_bytes(b"")
        case "torn":
            cache.write_bytes(data[: len(data) // 2])
        case "flipped":
            data[-5] ^= 1
            cache.write_bytes(data)
        case "foreign":
            cache.write_bytes(b"executor-hashes-1\n\0\0\0\0")
        case "directory":
            cache.unlink()
            cache.mkdir()
        case "other root":
            other = tmp_path / "other"
            other.mkdir()
            (other / "a.py").write_text("x")
            take_snapshot(other, state_dir=state)

    assert right == take_snapshot(cached, state_dir=state).entries


def test_a_cache_that_cannot_be_written_is_no_error(workspace: Path) -> None:
    """A state directory on a full or read-only disk makes it slow, not impossible."""
    (workspace / ".executor" / "cache").write_text("a file in the way")

    assert take_snapshot(workspace, state_dir=workspace / ".executor").entries


def test_the_state_directory_is_outside_wherever_it_lies(workspace: Path) -> None:
    """Moved within the workspace by EXECUTOR_STATE_DIR, it is still not watched."""
    state = workspace / "var"
    state.mkdir()
    (state / "executor.db").write_text("before")
    watched = take_snapshot(workspace, state_dir=state)
    (state / "executor.db").write_text("after")
    (state / "new").touch()

    assert Drift() == compare(watched)


def test_what_is_no_snapshot_is_refused() -> None:
    """Recovery meets a damaged file with an error it can name."""
    with pytest.raises(ValueError, match="no snapshot"):
        Snapshot.decode(b"\x93\x01")


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.full)])
def test_many_files_are_all_watched_with_one_answer_of_git_each(
    tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file is seen; git is started twice for a snapshot and never per file."""
    make_repository(tmp_path, {f"d{n % 97}/f{n}.txt": f"{n}\n" for n in range(count)})
    started: list[tuple[str, ...]] = []
    original = GitCommand.__init__

    def counting(self: GitCommand, root: Path, *arguments: str, **options: object) -> None:
        started.append(arguments)
        original(self, root, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(GitCommand, "__init__", counting)
    watched = take_snapshot(tmp_path)
    assert 2 == len(started)
    assert count == len(watched.entries)
    for number in range(0, count, 7):
        (tmp_path / f"d{number % 97}" / f"f{number}.txt").write_text("x\n")
    assert len(range(0, count, 7)) == len(compare(watched).changes)
