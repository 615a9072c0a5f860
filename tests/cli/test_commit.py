"""`--commit`: a git commit of exactly what an execution changed, found again by its id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.command import GOOD_PATCH, VERIFY, Repository
from support.terminal import Terminal

EVERYTHING = """\
diff --git a/gone.txt b/gone.txt
deleted file mode 100644
--- a/gone.txt
+++ /dev/null
@@ -1 +0,0 @@
-here
diff --git a/made/run b/made/run
new file mode 100755
--- /dev/null
+++ b/made/run
@@ -0,0 +1 @@
+made
diff --git a/calculator.py b/calculator.py
--- a/calculator.py
+++ b/calculator.py
@@ -1,2 +1,2 @@
 def add(a, b):
-    return a + b
+    return b + a
"""
MAKEFILE = "--- /dev/null\n+++ b/Makefile\n@@ -0,0 +1 @@\n+all:\n"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository.calculator(tmp_path / "repository")
    repository.write("gone.txt", "here\n")
    repository.write("other.txt", "other\n")
    repository.write(".gitignore", "__pycache__/\n.pytest_cache/\n")
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", "More")
    return repository


def head(repository: Repository) -> str:
    return repository.git("rev-parse", "HEAD").strip()


def commits(repository: Repository, which: str = "@last") -> list[str]:
    links = repository.run("show", which, "--json").json["links"]
    return [link["target_id"] for link in links if link["kind"] == "commit"]


def found(repository: Repository, commit: str) -> list[str]:
    listed = repository.run("list", "--commit", commit, "--json").json["executions"]
    return [record["execution_id"] for record in listed]


def test_exactly_the_change_is_committed(repository: Repository) -> None:
    """Whatever else is edited, staged or new stays out of the commit, and as it was. Hooks do not run."""
    before = head(repository)
    repository.write(".git/hooks/pre-commit", "#!/bin/sh\nexit 1\n").chmod(0o755)
    repository.write("other.txt", "staged\n")
    repository.git("add", "other.txt")
    repository.write("other.txt", "edited\n")
    repository.write("mine.txt", "untracked\n")
    status = repository.git("status", "--porcelain")

    result = repository.apply(
        EVERYTHING, "--commit", "--title", "Turn it\nround", "--why", "Kim asked\nfor it"
    )

    assert 0 == result.code, result.err
    commit = head(repository)
    record = repository.run("show", "@last", "--json").json["execution"]
    trailers = (
        f"Executor-Execution: {record['execution_id']}\nExecutor-Correlation: {record['correlation_id']}"
    )
    assert [before, f"Turn it round\n\nKim asked\nfor it\n\n{trailers}"] == [
        repository.git("rev-parse", "HEAD^").strip(),
        repository.git("log", "-1", "--format=%B").strip(),
    ]
    assert ["M\tcalculator.py", "D\tgone.txt", "A\tmade/run"] == (
        repository.git("diff-tree", "-r", "--name-status", "--no-commit-id", "HEAD").splitlines()
    )
    assert "100755" in repository.git("ls-tree", "HEAD", "made/run")
    assert status == repository.git("status", "--porcelain")
    assert "staged" in repository.git("show", ":other.txt")
    assert [commit] == commits(repository)
    assert f"commit {commit[:12]}" in result.out
    assert not list((repository.root / ".executor").rglob("*.index*"))


def test_an_execution_is_found_by_its_commit(repository: Repository) -> None:
    first = repository.apply(GOOD_PATCH, "--commit", "--json").json
    commit = head(repository)
    assert 0 == repository.run("revert", "@last", "--commit").code
    told = repository.run("list", "--commit", "!" + commit[:7], "--json").json["executions"]
    unknown = repository.run("list", "--commit", "0" * 40)

    execution = first["execution"]["execution_id"]
    assert commit == first["commit"]
    assert [[execution]] * 4 == [found(repository, name) for name in (commit, commit[:7], "HEAD~1", "HEAD^")]
    assert 'Revert "Update calculator.py"' == repository.git("log", "-1", "--format=%s").strip()
    assert [record["execution_id"] for record in told] == found(repository, "HEAD")
    assert (0, "") == (unknown.code, unknown.out)
    assert 2 == repository.run("list", "--commit", "no such thing").code
    assert [] == found(repository, "HEAD~2")


def test_a_commit_whose_record_was_cut_off_is_found_by_what_it_says(repository: Repository) -> None:
    """Killed between the commit and its link. Who copies the words of a commit is not believed."""
    assert 0 == repository.apply(GOOD_PATCH).code
    record = repository.run("show", "@last", "--json").json["execution"]
    message = f"Fix\n\nExecutor-Execution: {record['execution_id']}\n"
    repository.git("commit", "--quiet", "--all", "--message", message)
    repository.write("other.txt", "mine\n")
    repository.git("commit", "--quiet", "--all", "--message", message)

    assert [] == found(repository, "HEAD")
    assert [record["execution_id"]] == found(repository, "HEAD^")
    assert [repository.git("rev-parse", "HEAD^").strip()] == commits(repository)


@pytest.mark.parametrize("how", ["edited", "staged", "untracked", "ignored"])
def test_a_file_with_changes_of_its_own_is_refused_first(repository: Repository, how: str) -> None:
    path = {"untracked": "new.txt", "ignored": "__pycache__/x.txt"}.get(how, "other.txt")
    repository.write(path, "mine\n")
    if how == "staged":
        repository.git("add", path)
    before, commit = repository.state(), head(repository)
    patch = f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-mine\n+yours\n"

    refused = [
        repository.apply(patch, "--commit"),
        repository.run(
            "run",
            "--commit",
            "--verify",
            VERIFY,
            "--",
            "sh",
            "-c",
            f"mkdir -p __pycache__; echo yours > {path}",
        ),
    ]

    assert 7 == refused[0].code
    assert f"no commit: {path} has changes of its own" in refused[0].err
    assert (before, commit) == (repository.state(), head(repository))
    if how != "ignored":
        assert 7 == refused[1].code
        record = repository.run("show", "@last", "--json").json["execution"]
        assert ("failed", "commit_refused") == (record["status"], record["error_code"])


def without_identity(repository: Repository) -> None:
    repository.environ = {k: v for k, v in repository.environ.items() if not k.startswith("GIT_")}
    repository.git("config", "user.name", "")


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda repository: repository.write(".git/MERGE_HEAD", head(repository)), "a merge is under way"),
        (without_identity, "git config user.name"),
        (lambda repository: (repository.root / ".git").rename(repository.root / "git"), "a git work tree"),
    ],
)
def test_where_no_commit_can_be_made_nothing_is_run(
    repository: Repository, prepare: Any, reason: str
) -> None:
    prepare(repository)
    before = repository.state()

    refused = [
        repository.apply(GOOD_PATCH, "--commit"),
        repository.run("run", "--commit", "--", "touch", "x"),
    ]

    assert [2, 2] == [result.code for result in refused], refused[0].err
    assert all(reason in result.err for result in refused), refused
    assert before == repository.state()
    assert "" == repository.run("list").out


def test_a_commit_of_somebody_else_to_the_same_file_is_not_undone(repository: Repository) -> None:
    """The change has completed by then, and stays; other commits are built upon."""
    fast = "sh -c 'echo more >> other.txt; git commit -qm meanwhile other.txt'"
    commit_same = "sh -c 'git commit -qam meanwhile'"
    repository.write(".executor/policy.yaml", "version: 1\ndrift: warn\n")

    fine = repository.apply(GOOD_PATCH, "--commit", verify=fast)
    same = repository.run("revert", "@last", "--commit", "--verify", commit_same, "--json")

    assert 0 == fine.code, fine.err
    log = repository.git("log", "--format=%s").splitlines()
    assert ["meanwhile", "Update calculator.py", "meanwhile"] == log[:3]
    assert (7, "completed", None) == (
        same.code,
        same.json["execution"]["status"],
        same.json["commit"],
    )
    assert 7 == same.json["exit_code"]
    assert "has changed the same files meanwhile; the change itself is completed" in same.err


def test_what_failed_is_not_committed_and_its_retry_can_be(repository: Repository) -> None:
    before = head(repository)

    assert 1 == repository.apply(GOOD_PATCH, "--commit", verify="test -e ../go").code
    unchanged = head(repository)
    (repository.root.parent / "go").touch()
    assert 0 == repository.run("retry", "--commit").code

    assert before == unchanged
    assert [head(repository)] == commits(repository)
    assert 0 == repository.run("run", "--commit", "--", "true").code
    assert [] == commits(repository)


def test_what_a_person_approved_is_committed_then(repository: Repository) -> None:
    waiting = repository.apply(MAKEFILE, "--commit")
    before = head(repository)

    done = Terminal(repository).run("approve", "@last", "--commit")

    assert 3 == waiting.code
    assert "--commit" in waiting.err
    assert 0 == done.code, done.err
    assert [before, [head(repository)]] == [repository.git("rev-parse", "HEAD^").strip(), commits(repository)]


def test_the_first_commit_of_a_repository_and_one_below_its_top(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "new")
    repository.root.mkdir()
    repository.git("init", "--quiet")
    assert 0 == repository.apply(MAKEFILE.replace("Makefile", "notes.txt"), "--commit", verify=None).code
    below = Repository(repository.root / "below")
    below.root.mkdir()
    (below.root / ".executor").mkdir()
    assert 0 == below.apply(MAKEFILE.replace("Makefile", "notes.txt"), "--commit", verify=None).code

    assert ["below/notes.txt", "notes.txt"] == repository.git("ls-files").splitlines()
    assert [head(repository)] == commits(below)
    assert "below" not in repository.git("show", "--stat", "HEAD^")
