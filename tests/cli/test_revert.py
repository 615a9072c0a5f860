"""`revert`: what an execution did is undone, and nothing that others have done since."""

from __future__ import annotations

import difflib
import signal
from pathlib import Path
from typing import Any

import pytest

from executor.storage.store import ExecutionStore
from support.command import CALCULATOR, GOOD_PATCH, VERIFY, Repository, Result
from support.terminal import Terminal

NUMBERS = "".join(f"line {number}\n" for number in range(1, 21))
MAKEFILE = "--- /dev/null\n+++ b/Makefile\n@@ -0,0 +1 @@\n+all:\n"

# One of each: a file is changed, made, removed, renamed, and made executable; one of them is binary.
EVERYTHING = """\
diff --git a/gone.txt b/gone.txt
deleted file mode 100644
--- a/gone.txt
+++ /dev/null
@@ -1 +0,0 @@
-here
diff --git a/old/name.txt b/new/place.txt
similarity index 100%
rename from old/name.txt
rename to new/place.txt
diff --git a/numbers.txt b/numbers.txt
old mode 100644
new mode 100755
--- a/numbers.txt
+++ b/numbers.txt
@@ -3,3 +3,3 @@
 line 3
-line 4
+LINE 4
 line 5
diff --git a/made.txt b/made.txt
new file mode 100755
--- /dev/null
+++ b/made.txt
@@ -0,0 +1 @@
+made
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository.calculator(tmp_path / "repository")
    repository.write("numbers.txt", NUMBERS)
    repository.write("gone.txt", "here\n").chmod(0o600)
    repository.write("old/name.txt", "named\n")
    return repository


def change(repository: Repository, old: str, new: str, *arguments: str, path: str = "numbers.txt") -> str:
    """An execution that replaced one line; its id."""
    text = (repository.root / path).read_text()
    assert f"{old}\n" in text
    lines = (text.splitlines(keepends=True), text.replace(f"{old}\n", f"{new}\n").splitlines(keepends=True))
    patch = "".join(difflib.unified_diff(*lines, f"a/{path}", f"b/{path}"))
    result = repository.apply(patch, "--json", *arguments)
    assert result.code == 0, result.err
    return str(result.json["execution"]["execution_id"])


def shown(repository: Repository, which: str = "@last") -> dict[str, Any]:
    return repository.run("show", which, "--json").json


def reverts(repository: Repository, which: str = "@last") -> list[tuple[str, str]]:
    links = shown(repository, which)["links"]
    return [(link["source_id"], link["target_id"]) for link in links if link["kind"] == "reverts"]


def replace(repository: Repository, old: str, new: str, path: str = "numbers.txt") -> None:
    file = repository.root / path
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_a_change_of_every_kind_is_undone_to_the_byte_and_the_mode(repository: Repository) -> None:
    before = repository.state()
    assert 0 == repository.apply(EVERYTHING, "--title", "Tidy up").code
    after = repository.state()
    first = shown(repository)["execution"]

    result = repository.run("revert", "@last", "--why", "the report needs it")

    assert 0 == result.code, result.err
    assert before == repository.state()
    told = shown(repository)
    undo = told["execution"]
    assert ("completed", 'Revert "Tidy up"', "manual", 1, "the report needs it") == (
        undo["status"],
        undo["title"],
        undo["trigger_kind"],
        undo["attempt"],
        told["plan"]["why"],
    )
    assert (first["execution_id"], first["correlation_id"]) == (
        undo["parent_execution_id"],
        undo["correlation_id"],
    )
    assert [(undo["execution_id"], first["execution_id"])] == reverts(repository)
    assert [VERIFY] == [check["name"] for check in told["plan"]["verification"]]
    assert "rename from new/place.txt" in repository.run("diff", "@last").out

    assert 0 == repository.run("revert", "@last").code
    assert after == repository.state()
    assert 'Reapply "Tidy up"' == shown(repository)["execution"]["title"]


def test_what_is_undone_already_is_left_alone(repository: Repository) -> None:
    first = change(repository, "line 4", "LINE 4")
    assert 0 == repository.run("revert", first).code
    undo = shown(repository)["execution"]["execution_id"]
    replace(repository, "line 4", "a line of mine")

    again = repository.run("revert", first)
    told = repository.run("revert", first, "--json").json
    by_hand = change(repository, "line 9", "LINE 9")
    replace(repository, "LINE 9", "line 9")
    other = repository.run("revert", by_hand)

    assert (0, f"already reverted by {undo}") == (again.code, again.out.partition(",")[0])
    assert (True, undo) == (told["already_reverted"], told["execution"]["execution_id"])
    assert (0, f"nothing to undo: every file is as it was before {by_hand}\n") == (other.code, other.out)
    assert by_hand == shown(repository)["execution"]["execution_id"]


def test_it_is_shown_what_is_undone_and_by_what(repository: Repository) -> None:
    first = change(repository, "line 4", "LINE 4", "--title", "Shout")
    assert 1 == repository.run("revert", first, "--verify", "false").code
    assert 0 == repository.run("revert", first).code
    undo = shown(repository)["execution"]["execution_id"]
    about = [repository.run("show", which).out for which in (first, undo)]
    listed, family = repository.run("list").out, repository.run("lineage", first).out
    assert undo == shown(repository, first)["reverted_by"]
    assert 0 == repository.run("revert", undo).code

    assert f"by {undo[-8:]}, just now" in about[0]
    assert "was to revert it: rolled back" in about[0]
    assert f"{first[-8:]}: Shout" in about[1]
    assert ["✓", "↩", "↶"] == [line.split()[1] for line in listed.splitlines()[1:]]
    assert f"↶ reverted by {undo[-8:]}" in family.splitlines()[0]
    assert None is shown(repository, first)["reverted_by"]
    assert f"reverted by {undo[-8:]} before, which " in repository.run("show", first).out


def test_what_has_changed_elsewhere_in_the_file_stays(repository: Repository) -> None:
    first = change(repository, "line 4", "LINE 4")
    change(repository, "line 12", "LINE 12")
    replace(repository, "line 18", "line 18, by hand")
    (repository.root / "numbers.txt").chmod(0o664)

    assert 0 == repository.run("revert", first).code

    expected = NUMBERS.replace("line 12", "LINE 12").replace("line 18", "line 18, by hand")
    assert expected == (repository.root / "numbers.txt").read_text()
    assert 0o664 == (repository.root / "numbers.txt").stat().st_mode & 0o777


def refused(repository: Repository, which: str) -> Result:
    """Exit 7, and neither files nor records are others than before."""
    before, last = repository.state(), shown(repository)["execution"]["execution_id"]
    result = repository.run("revert", which)

    assert 7 == result.code, result.err
    assert before == repository.state()
    assert last == shown(repository)["execution"]["execution_id"]
    return result


def test_lines_edited_by_hand_are_not_overwritten(repository: Repository) -> None:
    first = change(repository, "line 4", "LINE 4")
    replace(repository, "LINE 4", "a line of mine")

    result = refused(repository, first)

    assert "numbers.txt: the same lines have changed since" in result.err
    assert "edited outside Executor (numbers.txt)" in result.err
    assert "by exec_" not in result.err


def test_who_changed_the_same_lines_since_is_named_newest_first(repository: Repository) -> None:
    """And not who changed others, or was undone since. In that order they can be undone."""
    before = repository.state()
    first = change(repository, "line 4", "LINE 4")
    change(repository, "line 12", "LINE 12")
    second = change(repository, "LINE 4", "Line 4")
    undone = change(repository, "Line 4", "never mind")
    assert 0 == repository.run("revert", undone).code
    replace(repository, "line 1\n", "line 1\nline 1b\n")
    third = change(repository, "line 5", "LINE 5")
    replace(repository, "line 1b\n", "")

    result = refused(repository, first)

    assert f"by {third}, {second} (revert these first, in this order)" in result.err
    assert "edited outside" not in result.err
    for which in (third, second, first):
        assert 0 == repository.run("revert", which).code
    replace(repository, "LINE 12", "line 12")
    assert before == repository.state()


@pytest.mark.parametrize(
    ("path", "edit", "why"),
    [
        ("made.txt", lambda file: file.write_text("made by me\n"), "it has changed since it was created"),
        ("new/place.txt", lambda file: file.write_text("mine\n"), "it has changed since it was created"),
        ("gone.txt", lambda file: file.write_text("here again\n"), "it has been created anew"),
        ("numbers.txt", lambda file: file.unlink(), "it is gone"),
        ("numbers.txt", lambda file: (file.unlink(), file.symlink_to("x")), "it is a symbolic link"),
        ("numbers.txt", lambda file: file.write_bytes(b"\0"), "it is binary and has changed since"),
    ],
)
def test_what_is_no_longer_what_the_execution_left_is_not_touched(
    repository: Repository, path: str, edit: Any, why: str
) -> None:
    assert 0 == repository.apply(EVERYTHING).code
    edit(repository.root / path)

    result = refused(repository, "@last")

    assert f"({path}: {why})" in result.err
    assert f"edited outside Executor ({path})" in result.err


def test_an_undo_that_fails_its_check_is_rolled_back_and_can_be_tried_again(repository: Repository) -> None:
    first = change(repository, "line 4", "LINE 4")
    after = repository.state()

    failed = repository.run("revert", first, "--verify", "grep -q 'LINE 4' numbers.txt")
    still_there = repository.state()
    undo = shown(repository)["execution"]
    again = repository.run("revert", first, "--verify", "true")
    second = shown(repository)["execution"]

    assert (1, "rolled_back", after) == (failed.code, undo["status"], still_there)
    assert (0, first) == (again.code, second["parent_execution_id"])
    assert 2 == repository.run("revert", undo["execution_id"]).code


def test_a_retry_of_an_undo_undoes(repository: Repository) -> None:
    first = change(repository, "line 4", "LINE 4")
    flaky = "sh -c 'echo >> ../tries; test $(wc -l < ../tries) -ge 2'"

    assert 1 == repository.run("revert", first, "--verify", flaky).code
    assert 0 == repository.run("retry").code

    again = shown(repository)["execution"]
    assert ("retry", 2) == (again["trigger_kind"], again["attempt"])
    assert (again["execution_id"], first) in reverts(repository)
    assert f"already reverted by {again['execution_id']}" in repository.run("revert", first).out


def test_tests_that_came_with_the_change_need_not_pass_without_it(repository: Repository) -> None:
    """Checks nobody named are found anew."""
    patch = "--- /dev/null\n+++ b/test_more.py\n@@ -0,0 +1,2 @@\n+def test_more():\n+    pass\n"
    before = repository.state()
    applied = repository.apply(patch, verify=None)
    assert 0 == applied.code, applied.err
    assert any("test_more.py" in check["name"] for check in shown(repository)["plan"]["verification"])

    result = repository.run("revert", "@last")

    assert 0 == result.code, result.err
    assert before == repository.state()
    names = [check["name"] for check in shown(repository)["plan"]["verification"]]
    assert names
    assert not any("test_more.py" in name for name in names)


def test_what_needs_a_person_waits_and_is_undone_once_approved(repository: Repository) -> None:
    terminal = Terminal(repository)
    before = repository.state()
    assert 3 == repository.apply(MAKEFILE, "--json").code
    assert 0 == terminal.run("approve", "@last").code
    first = shown(repository)["execution"]["execution_id"]

    waiting = repository.run("revert", first, "--json")
    standing = repository.run("list", "--json").json["executions"]
    undo = waiting.json["execution"]["execution_id"]
    with ExecutionStore(repository.root) as store:
        undone_yet = store.list_reverted([first])
    approved = terminal.run("approve", undo)

    assert (3, "pending", 2) == (waiting.code, waiting.json["execution"]["status"], len(standing))
    assert {} == undone_yet
    assert 0 == approved.code, approved.err
    assert before == repository.state()
    assert [(undo, first)] == reverts(repository, first)


def test_only_what_completed_here_can_be_undone(repository: Repository, tmp_path: Path) -> None:
    assert 1 == repository.apply(GOOD_PATCH, verify="false").code
    failed = shown(repository)["execution"]["execution_id"]
    assert 3 == repository.apply(MAKEFILE).code
    waiting = shown(repository)["execution"]["execution_id"]
    assert 0 == repository.run("run", "--", "true").code
    elsewhere = Repository.calculator(tmp_path / "elsewhere")
    url = {"EXECUTOR_DATABASE_URL": f"sqlite:///{repository.root}/.executor/executor.db"}
    other = elsewhere.run(
        "run", "--patch", "-", "--verify", VERIFY, "--json", stdin=GOOD_PATCH, environ=url
    ).json["execution"]["execution_id"]

    answers = [repository.run("revert", which) for which in (failed, waiting, "@last", other, "gone")]

    assert [2, 2, 2, 7, 6] == [answer.code for answer in answers]
    for answer, what in zip(
        answers,
        ("nothing of it is left", "executor cancel", "it changed nothing", "elsewhere", "gone"),
        strict=True,
    ):
        assert what in answer.err


def test_an_agent_is_named_and_judged_as_one(repository: Repository) -> None:
    first = change(repository, "line 4", "LINE 4")

    assert 0 == repository.run("revert", first, environ={"CLAUDECODE": "1"}).code

    undo = shown(repository)["execution"]
    assert ("agent", "agent:claude-code", first) == (
        undo["trigger_kind"],
        undo["actor"],
        undo["parent_execution_id"],
    )


def test_an_undo_that_is_killed_is_put_in_order_at_the_next_start(repository: Repository) -> None:
    first = change(repository, "line 4", "LINE 4")
    after = repository.state()
    process = repository.start("revert", first, "--verify", "sh -c 'touch ../begun; sleep 600'")
    while not (repository.root.parent / "begun").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()

    told = repository.run("list", "--json")

    assert after == repository.state()
    assert "rolled_back" == told.json["executions"][0]["status"]
    assert 0 == repository.run("revert", first).code
    assert CALCULATOR == (repository.root / "calculator.py").read_text()
    assert NUMBERS == (repository.root / "numbers.txt").read_text()


def test_what_gc_has_dropped_cannot_be_undone(repository: Repository) -> None:
    first = change(repository, "line 4", "LINE 4")
    assert 0 == repository.run("gc", "--keep-count", "0").code

    result = repository.run("revert", first)

    assert 6 == result.code
    assert "dropped by gc on" in result.err
