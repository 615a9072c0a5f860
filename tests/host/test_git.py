"""What git is asked, and that asking leaves no trace."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from executor.host.git import (
    GitFailed,
    find_workspace,
    git_facts,
    list_files,
    parse_ignored,
    read_blobs,
    start_ignored,
)
from support.repositories import commit_all, git, make_repository


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(
        tmp_path / "work", {"a.txt": "one\n", "dir/b.txt": "two\n", ".gitignore": "*.log\nbuild/\n"}
    )


def test_facts_of_a_clean_work_tree(repository: Path) -> None:
    """Commit, branch and top; asked from a directory within."""
    facts = git_facts(repository / "dir")

    assert facts is not None
    assert git(repository, "rev-parse", "HEAD") == facts.commit
    assert ("main", False, repository, None) == (facts.branch, facts.dirty, facts.toplevel, facts.problem)
    assert facts.main_worktree is None


@pytest.mark.parametrize("how", ["unstaged", "staged", "removed", "renamed", "untracked", "conflict"])
def test_a_work_tree_that_is_not_its_commit_is_dirty(repository: Path, how: str) -> None:
    """Every way to differ counts; ignored files and the state directory do not."""
    (repository / "x.log").touch()
    (repository / ".executor").mkdir()
    (repository / ".executor" / "policy.yaml").touch()
    before = git_facts(repository)
    match how:
        case "unstaged" | "staged":
            (repository / "a.txt").write_text("changed\n")
            if how == "staged":
                git(repository, "add", "a.txt")
        case "removed":
            (repository / "a.txt").unlink()
        case "renamed":
            git(repository, "mv", "a.txt", "c.txt")
        case "untracked":
            (repository / "new.txt").touch()
        case "conflict":
            git(repository, "checkout", "-qb", "other")
            commit_all(repository, {"a.txt": "theirs\n"})
            git(repository, "checkout", "-q", "main")
            commit_all(repository, {"a.txt": "ours\n"})
            subprocess.run(["git", "merge", "-q", "other"], cwd=repository, capture_output=True, check=False)
    after = git_facts(repository)

    assert before is not None
    assert after is not None
    assert (False, True) == (before.dirty, after.dirty)


def test_a_repository_without_commit_has_a_branch_and_no_commit(tmp_path: Path) -> None:
    """An unborn branch is named."""
    git(tmp_path, "init", "-q", "-b", "trunk")
    facts = git_facts(tmp_path)

    assert facts is not None
    assert (None, "trunk", False) == (facts.commit, facts.branch, facts.dirty)


def test_a_detached_head_has_a_commit_and_no_branch(repository: Path) -> None:
    """As during a bisection or in CI."""
    git(repository, "checkout", "-q", "--detach")
    facts = git_facts(repository)

    assert facts is not None
    assert (git(repository, "rev-parse", "HEAD"), None) == (facts.commit, facts.branch)


def test_a_linked_work_tree_names_the_main_one(repository: Path, tmp_path: Path) -> None:
    """Its own top and branch, the repository of the other."""
    git(repository, "worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))
    facts = git_facts(tmp_path / "linked")

    assert facts is not None
    assert (tmp_path / "linked", "side", repository) == (facts.toplevel, facts.branch, facts.main_worktree)


def test_no_facts_without_work_tree(repository: Path, tmp_path: Path) -> None:
    """A plain directory, a bare repository, a `.git` directory, and a machine without git."""
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    (tmp_path / "plain").mkdir()

    assert git_facts(tmp_path / "plain") is None
    assert git_facts(tmp_path / "bare.git") is None
    assert git_facts(repository / ".git") is None


def test_no_facts_without_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without git is no error."""
    monkeypatch.setenv("PATH", "/nowhere")

    assert git_facts(repository) is None
    with pytest.raises(GitFailed, match="not installed"):
        list_files(repository)


def test_a_directory_ignored_by_the_repository_around_it_has_no_facts(repository: Path) -> None:
    """The commit of a versioned home says nothing about a scratch folder in it."""
    (repository / "build" / "scratch").mkdir(parents=True)

    assert git_facts(repository / "build" / "scratch") is None


def test_variables_that_lead_elsewhere_are_not_heeded(repository: Path, tmp_path: Path) -> None:
    """As in a hook of another repository, where git sets them."""
    other = make_repository(tmp_path / "other", {"z.txt": "z\n"})
    environ = {
        **os.environ,
        "GIT_DIR": str(other / ".git"),
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": str(other / ".git" / "index"),
        "GIT_OBJECT_DIRECTORY": "/nowhere",
    }
    facts = git_facts(repository, environ=environ)

    assert facts is not None
    assert git(repository, "rev-parse", "HEAD") == facts.commit
    assert [".gitignore", "a.txt", "dir/b.txt"] == list_files(repository, environ=environ)


def test_asking_runs_nothing_of_the_repository_and_writes_nothing(repository: Path) -> None:
    """No hook, no file system monitor, no refreshed index."""
    trap = repository / ".git" / "trap"
    trap.write_text('#!/bin/sh\ntouch "$(dirname "$0")/sprung"\n')
    trap.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(trap))
    for hook in ("post-index-change", "post-checkout", "fsmonitor-watchman"):
        (repository / ".git" / "hooks").mkdir(exist_ok=True)
        (repository / ".git" / "hooks" / hook).symlink_to(trap)
    os.utime(repository / "a.txt", (1, 1))
    before = {path: path.stat().st_mtime_ns for path in (repository / ".git").rglob("*")}
    git_facts(repository)
    list_files(repository)

    assert not (repository / ".git" / "sprung").exists()
    assert before == {path: path.stat().st_mtime_ns for path in (repository / ".git").rglob("*")}


def test_files_of_another_user_are_a_problem_with_a_remedy(repository: Path, tmp_path: Path) -> None:
    """Git refuses to look; the facts say so and what helps, instead of that there is no repository."""
    # The switch git tests this with is a variable that would be dropped, so a program sets it.
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {shutil.which("git")} "$@"\n')
    program.chmod(0o755)
    environ = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    facts = git_facts(repository, environ=environ)

    assert facts is not None
    assert facts.toplevel == repository
    assert (None, None, None) == (facts.commit, facts.branch, facts.dirty)
    assert "safe.directory" in (facts.problem or "")


def test_a_git_that_hangs_is_given_up(repository: Path, tmp_path: Path) -> None:
    """The question has a time limit, and its answer is a problem."""
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    environ = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    facts = git_facts(repository, environ=environ, timeout=0.2)

    assert facts is not None
    assert facts.problem == "git rev-parse gave no answer within 0.2 s"


def test_the_workspace_is_the_nearest_state_directory_or_work_tree(repository: Path, tmp_path: Path) -> None:
    """Upward from where the command is called; where there is neither, that place."""
    inner = repository / "dir" / "inner" / "deep"
    inner.mkdir(parents=True)
    (tmp_path / "plain" / "sub").mkdir(parents=True)

    assert repository == find_workspace(inner)
    (repository / "dir" / ".executor").mkdir()
    assert repository / "dir" == find_workspace(inner)
    assert tmp_path / "plain" / "sub" == find_workspace(tmp_path / "plain" / "sub")
    (repository / "dir" / "inner" / ".git").mkdir()
    assert repository / "dir" == find_workspace(inner), "an empty .git is no repository"


def test_listed_are_tracked_files_and_those_that_are_not_ignored(repository: Path) -> None:
    """Names of any bytes; what lies in a nested repository or a submodule is not listed."""
    names = [b"new.txt", b"with\nnewline", b'quo"te \t', b"latin-\xe9", "ü".encode()]
    for name in names:
        (repository / os.fsdecode(name)).touch()
    (repository / "x.log").touch()
    (repository / "build").mkdir()
    (repository / "build" / "out").touch()
    (repository / ".executor").mkdir()
    (repository / ".executor" / "executor.db").touch()
    make_repository(repository / "nested", {"inside.txt": "x\n"})
    make_repository(repository / "module", {"inside.txt": "x\n"})
    git(repository, "add", "module")
    git(repository, "add", "-f", "x.log")
    (repository / "a.txt").unlink()

    expected = [b".gitignore", b"a.txt", b"dir/b.txt", b"x.log", b".gitmodules", *names]
    assert sorted(
        n.decode("utf-8", "surrogateescape") for n in expected if n != b".gitmodules"
    ) == list_files(repository)


def test_ignored_directories_are_those_a_rule_ignores(repository: Path) -> None:
    """A directory that merely holds nothing but ignored files is not ignored: a new file in it would show."""
    for path in (
        "build/deep/out",
        "logs/only/x.log",
        "mixed/x.log",
        "mixed/y.txt",
        "self/.gitignore",
        "self/z",
    ):
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text("*\n" if path.endswith(".gitignore") else "")
    with start_ignored(repository) as listing:
        ignored = parse_ignored(listing.output())

    assert {b"build/", b"logs/only/x.log", b"mixed/x.log", b"self/.gitignore", b"self/z"} == ignored
    with start_ignored(repository / "build") as listing:
        assert parse_ignored(listing.output()) is None
    with (
        start_ignored(repository / "build" / "deep") as listing,
        pytest.raises(GitFailed, match="ignored by a git work tree around it"),
    ):
        listing.output()
    with start_ignored(repository / "logs") as listing:
        assert {b"only/x.log"} == parse_ignored(listing.output())


def test_contents_come_back_by_their_ids(repository: Path) -> None:
    """In one question; an id the repository does not know, or that is no file, gives nothing."""
    (repository / "bin").write_bytes(b"\0\n" * 1000)
    commit_all(repository, {})
    ids = {
        name: bytes.fromhex(git(repository, "rev-parse", f"HEAD:{name}")) for name in ("a.txt", "bin", "dir")
    }
    found = read_blobs(repository, [*ids.values(), bytes(20), ids["a.txt"]])

    assert {ids["a.txt"]: b"one\n", ids["bin"]: b"\0\n" * 1000} == found
