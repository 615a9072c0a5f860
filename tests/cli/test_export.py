"""`executor export` and `executor import`: a case travels from one workspace into another and can be read there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from support.api import client, problem_of, sign_in
from support.command import BROKEN_PATCH, GOOD_PATCH, Repository
from support.faults import Fault, environment


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A failed execution, its retry and its repair: one correlation."""
    repository = Repository.calculator(tmp_path / "repository")
    assert repository.apply(BROKEN_PATCH, "--title", "Break it").code == 1
    assert repository.run("retry", "@last").code == 1
    assert repository.apply(GOOD_PATCH, "--parent", "@last", "--trigger", "repair").code == 0
    return repository


def test_a_case_can_be_read_in_another_workspace_and_never_applied(
    repository: Repository, tmp_path: Path
) -> None:
    records = repository.run("list", "--json").json["executions"]
    broken, repair = records[-1]["execution_id"], records[0]["execution_id"]
    other = Repository.calculator(tmp_path / "other")
    case = tmp_path / "case.zip"
    done = repository.run("export", repair, "--content", "--out", str(case), "--json")
    assert (0, 3, True) == (done.code, done.json["executions"], done.json["content"])
    assert 0o600 == case.stat().st_mode & 0o777
    questions = [
        ("show", broken),
        ("lineage", broken),
        ("diff", broken),
        ("logs", broken),
        ("events", broken),
        ("chain", broken),
    ]
    asked = [repository.run(*question, "--json").json for question in questions]
    state = other.state()

    dry = other.run("import", str(case), "--dry-run", "--json")
    assert 6 == other.run("show", broken).code
    came = other.run("import", str(case), "--json")

    assert {**dry.json, "dry_run": False} == came.json
    assert [] == other.run("list", "--json").json["executions"]
    assert records == other.run("list", "--all-workspaces", "--json").json["executions"]
    told = [other.run(*question, "--json").json for question in questions]
    # Each database counts steps for itself.
    for steps in (asked[0]["steps"], told[0]["steps"]):
        for step in steps:
            step.pop("id")
    assert asked == told
    assert "Break it" in other.run("show", "--replay", broken).out
    for command in ("retry", "approve", "cancel"):
        refused = other.run(command, broken)
        assert refused.code in (2, 4, 7), (command, refused)
    assert 7 == other.run("retry", broken).code
    assert state == other.state()
    again = other.run("import", str(case))
    assert (0, True) == (again.code, "all here already" in again.out)
    assert 0 == other.run("export", broken, "--content", "--out", "back.zip").code
    assert case.read_bytes() == (other.root / "back.zip").read_bytes()
    with client(other.root) as api:
        sign_in(api)
        log = api.get(f"/executions/{broken}/artifacts/steps/04-verify.log")
        assert "AssertionError" in log.text
        assert "Break it" == api.get(f"/executions/{broken}/replay").json()["execution"]["title"]
        assert (404, "artifact_not_found") == problem_of(api.get(f"/executions/{broken}/artifacts/none"))


def test_what_cannot_be_done_says_so(repository: Repository, tmp_path: Path) -> None:
    broken = repository.run("list", "--json").json["executions"][-1]["execution_id"]
    assert 0 == repository.run("export", broken).code
    taken = repository.run("export", broken)
    assert (2, True) == (taken.code, "exists already" in taken.err), taken.err
    assert 6 == repository.run("export", "unknown", "--out", "x.zip").code
    assert not (repository.root / "x.zip").exists()

    other = Repository.calculator(tmp_path / "other")
    (file,) = repository.root.glob("*.executor.zip")
    (tmp_path / "half.zip").write_bytes(file.read_bytes()[:1000])
    for name in ("half.zip", "missing.zip", "."):
        refused = other.run("import", str(tmp_path / name))
        assert (2, True) == (refused.code, "nothing was imported" in refused.err), refused.err
    assert 0 == other.run("import", str(file)).code
    dropped = other.run("gc", "--keep-count", "0", "--all-workspaces")
    assert (0, True) == (dropped.code, "of 3 executions" in dropped.out), dropped.out
    # What was dropped here stays dropped.
    assert "all here already" in other.run("import", str(file)).out
    (repository.root / ".executor/executor.db").rename(tmp_path / "moved.db")
    for log in (repository.root / ".executor").glob("executor.db-*"):
        log.unlink()
    patch = "--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+n = 1\n"
    assert 0 == repository.apply(patch, "--title", "Another", verify="true").code
    mine = repository.run("list", "--json").json["executions"][0]["execution_id"]
    clash = Repository.calculator(tmp_path / "clash")
    assert 0 == repository.run("export", mine, "--out", "mine.zip").code
    assert 0 == clash.run("import", str(repository.root / "mine.zip")).code
    with closing(sqlite3.connect(clash.root / ".executor/executor.db")) as connection:
        connection.execute("UPDATE executions SET title = 'Other'")
        connection.commit()
    refused = clash.run("import", str(repository.root / "mine.zip"))
    assert (7, True) == (refused.code, f"executions {mine}" in refused.err), refused.err


def test_killed_at_any_file_operation_nothing_or_all_is_there(repository: Repository, tmp_path: Path) -> None:
    broken = repository.run("list", "--json").json["executions"][-1]["execution_id"]
    case = tmp_path / "case.zip"
    assert 0 == repository.run("export", broken, "--content", "--out", str(case)).code
    nth, killed = 0, 0
    while True:
        # Most are writes of one artifact after the other.
        nth += 1 if nth < 3 else 97
        other = Repository.calculator(tmp_path / f"other{nth}")
        other.run("init")
        process = other.start("import", str(case), environ=environment(Fault(nth=nth, error=None)))
        process.communicate(timeout=120)
        there = len(other.run("list", "--all-workspaces", "--json").json["executions"])
        assert there == (3 if process.returncode == 0 else 0)
        if process.returncode == 0:
            break
        killed += 1
        assert 0 == other.run("import", str(case)).code
        assert 0 == other.run("export", broken, "--content", "--out", "back.zip").code
        assert case.read_bytes() == (other.root / "back.zip").read_bytes(), nth

    assert killed >= 3
