"""`policy.yaml` and `executor policy`, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from executor.governance.policy import BUILT_IN
from support.command import GOOD_PATCH, Repository

MAKEFILE = "--- /dev/null\n+++ b/Makefile\n@@ -0,0 +1 @@\n+all:\n"
CASES = """\
cases:
  - {paths: [calculator.py], expect: allow}
  - {name: the build, paths: [Makefile], expect: need_approval, rules: [approval-paths]}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.calculator(tmp_path / "repository")


def policy(repository: Repository, text: str) -> None:
    repository.write(".executor/policy.yaml", text)


def test_init_writes_a_policy_equal_to_the_built_in_one_and_says_so(repository: Repository) -> None:
    before = repository.run("policy", "check", "--json").json["policy_hash"]

    result = repository.run("init")

    assert f"written   {repository.root}/.executor/policy.yaml" in result.out
    assert f"written   {repository.root}/.executor/config.toml" in result.out
    checked = repository.run("policy", "check", "--json").json
    assert checked["policy_hash"] == before == BUILT_IN.digest
    assert checked["policy"]["name"] == ".executor/policy.yaml"
    status = repository.git("status", "--short", "--untracked-files=all", ".executor")
    assert status.splitlines() == ["?? .executor/config.toml", "?? .executor/policy.yaml"]


def test_init_never_overwrites(repository: Repository) -> None:
    policy(repository, "version: 1\nforbid: ['*.sql']\n")

    assert repository.run("init", "--json").json["written"] == [f"{repository.root}/.executor/config.toml"]
    assert repository.run("init", "--json").json["written"] == []
    assert (repository.root / ".executor/policy.yaml").read_text() == "version: 1\nforbid: ['*.sql']\n"


def test_questions_about_the_policy_leave_nothing_behind(repository: Repository) -> None:
    repository.run("policy", "explain", "a.py")

    assert not (repository.root / ".executor").exists()


def test_the_policy_of_the_work_tree_decides_and_is_named(repository: Repository) -> None:
    policy(repository, "version: 1\nforbid: [/calculator.py]\n")

    denied = repository.apply(GOOD_PATCH)

    assert denied.code == 4, denied.err
    decision = repository.run("show", "@last", "--json").json["decision"]
    assert decision["policy_name"] == ".executor/policy.yaml"
    assert decision["policy_hash"] != BUILT_IN.digest
    assert {"rule": "forbidden-paths", "outcome": "deny", "reason": "touches paths the policy forbids",
            "evidence": ["calculator.py: /calculator.py"]} in decision["rules"]  # fmt: skip


def test_a_linked_worktree_has_its_own_policy(repository: Repository, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    repository.git("worktree", "add", "--quiet", str(linked))
    policy(repository, "version: 1\nforbid: [/calculator.py]\n")

    here = repository.run("policy", "explain", "calculator.py", "--json").json["paths"][0]["verdict"]
    there = repository.run("policy", "explain", "calculator.py", "--json", cwd=linked).json["paths"][0][
        "verdict"
    ]
    assert (here, there) == ("deny", "allow")


def test_a_policy_with_a_mistake_lets_nothing_pass_and_reading_goes_on(repository: Repository) -> None:
    repository.apply(GOOD_PATCH)
    policy(repository, "version: 1\n\nfrobid: []\n")
    before = repository.state()

    result = repository.apply(MAKEFILE)

    assert result.code == 2
    assert ".executor/policy.yaml:3: unknown key 'frobid'" in result.err
    assert repository.state() == before
    assert repository.run("policy", "check").code == 2
    assert repository.run("list").code == 0
    assert repository.run("recover").code == 0


def test_a_policy_that_changes_before_the_first_write_stops_the_change(repository: Repository) -> None:
    """The decision was taken by other rules: exit 7, and the workspace is as before."""
    policy(repository, "version: 1\n")
    patch = repository.write("p.diff", GOOD_PATCH)
    before = repository.state()
    holder = repository.start(
        "run", "--patch", "-", "--verify", f"sh -c 'touch {repository.root}/../held; sleep 60'"
    )
    assert holder.stdin is not None
    holder.stdin.write("--- /dev/null\n+++ b/new.md\n@@ -0,0 +1 @@\n+x\n")
    holder.stdin.close()
    while not (repository.root / "../held").exists():
        assert holder.poll() is None
    waiting = repository.start("run", "--patch", str(patch), "--verify", "true", "--wait", "60")
    while not repository.run("list", "--status", "validating", "--json").json["executions"]:
        assert waiting.poll() is None
    policy(repository, "version: 1\nlimits: {files: 99}\n")

    holder.terminate()
    holder.wait()
    _, errors = waiting.communicate()
    assert waiting.returncode == 7, errors
    assert "the decision is about policy" in errors
    assert repository.state() == before
    for stream in (holder.stdout, holder.stderr):
        assert stream is not None
        stream.close()


def test_explain_names_the_rule_and_the_pattern(repository: Repository) -> None:
    result = repository.run("policy", "explain", "sub/Makefile", ".git/config", "a.py")

    assert "sub/Makefile: need approval" in result.out
    assert "needs approval: it decides what runs  (Makefile)" in result.out
    assert ".git/config: deny" in result.out
    assert "a.py: allow" in result.out


def test_cases_are_tried_and_a_failing_one_fails_the_command(repository: Repository) -> None:
    repository.write("cases.yaml", CASES)

    assert repository.run("policy", "test", "cases.yaml").code == 0
    policy(repository, "version: 1\ndecides_what_runs: allow\n")
    failed = repository.run("policy", "test", "cases.yaml")
    assert failed.code == 1
    assert "✗ the build: expected need approval by approval-paths, got allow" in failed.out
    assert repository.run("policy", "test", "cases.yaml", "--json").json["failed"] == 1


def test_another_policy_can_be_asked_before_it_is_put_in_place(repository: Repository) -> None:
    repository.write("next.yaml", "version: 1\nforbid: ['*.py']\n")

    explained = repository.run("policy", "explain", "a.py", "--policy", "next.yaml")
    assert "a.py: deny" in explained.out
    assert repository.run("policy", "check", "next.yaml").code == 0
    repository.write("cases.yaml", "cases:\n  - {paths: [a.py], expect: deny}\n")
    assert repository.run("policy", "test", "cases.yaml", "--policy", "next.yaml").code == 0


@pytest.mark.parametrize("name", ["policy", "policy-cases"])
def test_the_schema_for_editors_is_json(repository: Repository, name: str) -> None:
    assert json.loads(repository.run("schema", name).out)["$schema"]


@pytest.mark.parametrize("path", ["../Makefile", "src//a.py", "a/../Makefile", "/etc/passwd", "con", ""])
def test_a_path_that_no_change_may_have_is_not_called_allowed(repository: Repository, path: str) -> None:
    result = repository.run("policy", "explain", "Makefile", path)

    assert (2, "") == (result.code, result.out)
    assert "is refused" in result.err


def test_a_directory_is_not_explained_as_a_file(repository: Repository) -> None:
    repository.write(".github/workflows/ci.yml", "on: push\n")

    for path in (".github", ".github/", f"{repository.root}/.github"):
        result = repository.run("policy", "explain", path)
        assert 2 == result.code, result.out
        assert "is a directory; name a file in it" in result.err


def test_a_path_may_be_given_as_the_shell_completes_it(repository: Repository) -> None:
    for path in ("./Makefile", f"{repository.root}/Makefile"):
        result = repository.run("policy", "explain", path)
        assert "Makefile: need approval\n" == result.out.splitlines(keepends=True)[0], result.err
