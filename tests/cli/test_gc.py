"""`executor gc`: what is old enough loses what is large, and nothing loses its record."""

from __future__ import annotations

import errno
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from executor.models.times import format_time
from support.command import BROKEN_PATCH, GOOD_PATCH, Repository
from support.faults import Fault, environment

EXECUTIONS = Path(".executor/executions")
KEPT = {"plan.json", "decision.json", "execution.json", "events.jsonl", "dropped.json"}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A failed execution, and a completed one after it."""
    repository = Repository.calculator(tmp_path / "repository")
    assert repository.apply(BROKEN_PATCH).code == 1
    assert repository.apply(GOOD_PATCH).code == 0
    return repository


def listed(repository: Repository, *options: str) -> list[str]:
    """Ids, oldest first."""
    found = repository.run("list", "--json", *options).json["executions"]
    return [record["execution_id"] for record in reversed(found)]


def rows(repository: Repository, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(repository.root / ".executor/executor.db")) as connection:
        found = connection.execute(sql, values).fetchall()
        connection.commit()
        return found


def age(repository: Repository, execution_id: str, days: int) -> None:
    """Has an execution end so many days ago."""
    ended = format_time(datetime.now(UTC) - timedelta(days=days))
    rows(repository, "UPDATE executions SET ended_at = ? WHERE execution_id = ?", ended, execution_id)


def files(repository: Repository, execution_id: str) -> set[str]:
    folder = repository.root / EXECUTIONS / execution_id
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def drops(repository: Repository, execution_id: str) -> list[dict[str, Any]]:
    events = repository.run("events", execution_id, "--json").json["events"]
    return [event for event in events if event["event"] == "payload_dropped"]


def test_the_payload_goes_and_the_node_stays(repository: Repository) -> None:
    """What is read afterwards says so, with its exit code; the one that is kept is whole."""
    failed, kept = listed(repository)
    repository.run("retry", failed)
    (again,) = set(listed(repository)) - {failed, kept}
    shown = repository.run("show", failed, "--json").json
    events = repository.run("events", failed, "--json").json["events"]
    family = repository.run("lineage", again, "--json").json
    whole = repository.run("diff", kept).out
    looked = repository.run("gc", "--keep-count", "2", "--dry-run", "--json").json
    assert files(repository, failed) == {*shown["artifacts"]}

    done = repository.run("gc", "--keep-count", "2", "--json").json

    assert {**looked, "dry_run": False} == done
    (drop,) = done["dropped"]
    assert (failed, ["changeset.json", "steps/04-verify.log"]) == (drop["execution_id"], drop["artifacts"])
    assert done["bytes"] == drop["artifact_bytes"] + drop["content_bytes"] + drop["log_bytes"] > 0
    # Both attempts have the same contents: the later one keeps them. Its log was its own.
    assert (1, [(1,)]) == (drop["log_count"], rows(repository, "SELECT count(*) FROM step_logs"))
    assert (0, [], []) == (drop["content_count"], done["held"], done["finished"])
    assert KEPT == files(repository, failed)
    after = repository.run("show", failed, "--json").json
    assert sorted(KEPT) == after.pop("artifacts")
    (event,) = drops(repository, failed)
    assert event == after.pop("payload_dropped")
    assert {name: shown[name] for name in after} == after
    assert [*events, event] == repository.run("events", failed, "--json").json["events"]
    assert family == repository.run("lineage", again, "--json").json
    for command in ("diff", "logs", "retry"):
        refused = repository.run(command, failed)
        assert (6, True) == (refused.code, "dropped by gc on" in refused.err), refused.err
    assert "dropped by gc on" in repository.run("show", failed).out
    assert whole == repository.run("diff", kept).out
    assert "-    return a + b" in repository.run("diff", again).out

    nothing = repository.run("gc", "--keep-count", "2")
    assert (0, "nothing to drop") == (nothing.code, nothing.out.strip())
    assert [event] == drops(repository, failed)

    rest = repository.run("gc", "--keep-count", "0")
    assert (0, True) == (rest.code, "of 2 executions" in rest.out), rest.out
    assert [(0,)] == rows(repository, "SELECT count(*) FROM contents")
    assert 3 == len(listed(repository))


def test_what_either_limit_keeps_is_kept(repository: Repository) -> None:
    failed, completed = listed(repository)
    for execution_id, days in ((failed, 40), (completed, 20)):
        age(repository, execution_id, days)

    def dropped(*options: str) -> list[str]:
        found = repository.run("gc", "--dry-run", "--json", *options).json["dropped"]
        return [drop["execution_id"] for drop in found]

    assert [failed] == dropped("--keep-days", "30")
    assert [completed, failed] == dropped("--keep-days", "10")
    assert [] == dropped("--keep-days", "41")
    assert [failed] == dropped("--keep-count", "1")
    assert [failed] == dropped("--keep-days", "10", "--keep-count", "1")
    assert [failed] == dropped("--keep-days", "30", "--keep-count", "0")
    config = repository.write(".executor/config.toml", "[retention]\nkeep_days = 30\n")
    assert [failed] == dropped()
    assert [] == dropped("--keep-days", "50")
    config.write_text("[retention]\nkeep_days = 30\nkeep_count = 2\n")
    assert [] == dropped()
    assert [failed] == dropped("--keep-count", "0")


def test_limits_that_cannot_be_meant_drop_nothing(repository: Repository) -> None:
    for config, options, said in (
        ("", (), "--keep-days N or --keep-count N"),
        ("[retention]\nkeep_days = -1\n", (), "keep_days"),
        ("[retention]\nkeep_count = 1.5\n", (), "keep_count"),
        ("[retention]\nkeep_hours = 1\n", (), "keep_hours"),
        ("retention = 3\n", (), "[retention]"),
        ("", ("--keep-days", "-1"), "-1"),
        ("", ("--keep-days", "99999999999"), "36500"),
    ):
        repository.write(".executor/config.toml", config)

        refused = repository.run("gc", *options)

        assert (2, True) == (refused.code, said in refused.err), refused.err
    assert [0, 0] == [len(drops(repository, name)) for name in listed(repository)]


def test_what_is_unfinished_is_left_alone_and_named(repository: Repository) -> None:
    """A journal, the mark of a process, a change that waits for a person."""
    failed, completed = listed(repository)
    waiting = repository.apply("--- /dev/null\n+++ b/Makefile\n@@ -0,0 +1 @@\n+all:\n")
    assert waiting.code == 3, waiting.err
    (journal := repository.root / ".executor/journal" / failed).mkdir(parents=True)
    mark = repository.root / ".executor/running" / completed
    before = [rows(repository, "SELECT count(*) FROM contents"), files(repository, failed)]

    # One that another command of this workspace would not sweep away: it is of another workspace.
    presence = {"execution_id": completed, "workspace_id": "ws_other", "root": "/", "pid": 1}
    mark.write_text(json.dumps(presence))
    done = repository.run("gc", "--keep-count", "0", "--json")

    assert 0 == done.code, done.err
    held = {item["execution_id"]: item["reason"] for item in done.json["held"]}
    assert ({failed: "journal", completed: "running"}, []) == (held, done.json["dropped"])
    assert before == [rows(repository, "SELECT count(*) FROM contents"), files(repository, failed)]
    assert "its journal is still there" in repository.run("gc", "--keep-count", "0").err
    journal.rmdir()
    mark.unlink()
    done = repository.run("gc", "--keep-count", "0", "--json")
    assert {failed, completed} == {drop["execution_id"] for drop in done.json["dropped"]}
    (last,) = set(listed(repository)) - {failed, completed}
    assert "+all:" in repository.run("diff", last).out


def test_nothing_outside_the_folder_goes_and_nothing_rescued(repository: Repository, tmp_path: Path) -> None:
    """Links are removed, not followed; what a rollback rescued is for a person to look through."""
    failed, completed = listed(repository)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.log").write_text("mine")
    folder = repository.root / EXECUTIONS / failed
    (folder / "link.log").symlink_to(outside / "precious.log")
    (folder / "linked").symlink_to(outside)
    (folder / ".hidden").write_text("half of a report")
    (folder / "rescued").mkdir()
    (folder / "rescued/mine.py").write_text("mine")
    other = repository.root / EXECUTIONS / completed
    other.rename(outside / "elsewhere")
    other.symlink_to(outside / "elsewhere")
    elsewhere = sorted((outside / "elsewhere").rglob("*"))

    done = repository.run("gc", "--keep-days", "0")

    assert 0 == done.code, done.err
    assert "1 file that a rollback rescued" in done.err
    assert {*KEPT, "rescued/mine.py"} == files(repository, failed)
    assert "mine" == (outside / "precious.log").read_text()
    assert elsewhere == sorted((outside / "elsewhere").rglob("*"))
    assert [(0,)] == rows(repository, "SELECT count(*) FROM contents")


def test_of_another_workspace_the_contents_go_and_its_own_gc_takes_the_files(
    repository: Repository, tmp_path: Path
) -> None:
    url = {"EXECUTOR_DATABASE_URL": f"sqlite:///{tmp_path}/shared.db"}
    here = Repository.calculator(tmp_path / "here")
    there = Repository.calculator(tmp_path / "there")
    for each in (here, there):
        each.environ.update(url)
        assert each.apply(GOOD_PATCH).code == 0
    (foreign,) = listed(there)
    before = files(there, foreign)
    assert [] == here.run("gc", "--keep-count", "1", "--all-workspaces", "--json").json["dropped"]

    done = here.run("gc", "--keep-count", "0", "--all-workspaces", "--json").json

    assert {foreign, *listed(here)} == {drop["execution_id"] for drop in done["dropped"]}
    assert before == files(there, foreign)
    assert 6 == there.run("diff", foreign).code
    finished = there.run("gc", "--keep-count", "9", "--json").json
    assert ([foreign], []) == (finished["finished"], finished["dropped"])
    assert KEPT == files(there, foreign)


def test_a_replay_tells_what_is_left(repository: Repository) -> None:
    failed, _ = listed(repository)
    repository.run("gc", "--keep-count", "1")

    told = repository.run("show", "--replay", failed, "--json").json

    assert 1 == len(told["gaps"])
    assert "dropped by gc on" in told["gaps"][0]
    assert "payload_dropped" == told["events"][-1]["event"]
    assert "rolled_back" == told["execution"]["status"]


def test_killed_at_any_file_operation_the_next_one_completes(repository: Repository) -> None:
    """Each time the event is there once or not at all, and afterwards everything is as without the kill."""
    (name, _), nth, outcomes = listed(repository), 0, set()
    state = repository.root / ".executor"
    saved = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}

    def told() -> list[dict[str, Any]]:
        sql = "SELECT seq, data FROM execution_events WHERE execution_id = ? AND event = 'payload_dropped'"
        return [{"seq": seq, **json.loads(data)} for seq, data in rows(repository, sql, name)]

    while True:
        nth += 1
        for path in state.rglob("*"):
            if path.is_file() and path not in saved:
                path.unlink()
        for path, data in saved.items():
            path.write_bytes(data)
        killed = repository.start("gc", "--keep-count", "1", environ=environment(Fault(nth=nth, error=None)))
        killed.communicate(timeout=120)
        if killed.returncode == 0:
            break
        assert -9 == killed.returncode
        before = told()
        outcomes.add((len(before), len(files(repository, name) - KEPT)))

        done = repository.run("gc", "--keep-count", "1", "--json")

        assert 0 == done.code, done.err
        dropped = [drop["execution_id"] for drop in done.json["dropped"]]
        assert (([], [name]) if before else ([name], [])) == (dropped, done.json["finished"])
        (event,) = told()
        assert [event] == before or not before
        folder = repository.root / EXECUTIONS / name
        last = (folder / "events.jsonl").read_text().splitlines()[-1]
        for line in (last, (folder / "dropped.json").read_text()):
            assert event == {key: value for key, value in json.loads(line).items() if key in event}
        assert KEPT == files(repository, name)

    assert {(1, 2), (1, 1), (1, 0)} <= outcomes
    assert "nothing to drop" in repository.run("gc", "--keep-count", "1").out
    assert 1 == len(told())


def test_a_file_that_cannot_be_removed_is_named_and_the_rest_goes(repository: Repository) -> None:
    first, second = listed(repository)
    fault = Fault(nth=1, error=errno.EACCES, operations=frozenset({"unlink"}))

    refused = repository.run("gc", "--keep-count", "0", environ=environment(fault))

    assert (1, True) == (refused.code, "cannot remove" in refused.err), refused.err
    left = [files(repository, name) - KEPT for name in (first, second)]
    assert 1 == sum(map(len, left))
    assert [1, 1] == [len(drops(repository, name)) for name in (first, second)]
    assert "finished: 1 execution" in repository.run("gc", "--keep-count", "0").out
    assert [KEPT, KEPT] == [files(repository, name) for name in (first, second)]
