"""A copied database answers as the first one does."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from executor.errors import CopyRefused, InvalidSettings, SchemaOutdated
from executor.models.change import Changeset, FileChange, Operation, sha256
from executor.models.execution import StepOutput
from executor.models.token import TokenRecord
from executor.storage import bulk
from executor.storage.copy import CopyReport, copy_database
from executor.storage.store import ExecutionStore
from executor.testing.contract.lists import random_rows
from executor.testing.factories import finish, row, start
from support.postgres import PostgresDatabases, connected, hurried
from support.stores import query, write_rows

pytestmark = pytest.mark.postgres

Place = Callable[[str], str]


@pytest.fixture
def place(tmp_path: Path, postgres: PostgresDatabases) -> Iterator[Place]:
    """Makes an empty database of an engine and gives its URL."""
    made: list[str] = []

    def make(engine: str) -> str:
        if engine == "postgresql":
            made.append(postgres.empty())
            return made[-1]
        (folder := tmp_path / f"file{len(list(tmp_path.iterdir()))}").mkdir()
        return f"sqlite:///{folder / 'copy.db'}"

    yield make
    for url in made:
        postgres.drop(url)


def opened(url: str, tmp_path: Path) -> ExecutionStore:
    (tmp_path / "reader").mkdir(exist_ok=True)
    return ExecutionStore(tmp_path / "reader", url=url)


def fill(store: ExecutionStore) -> None:
    """A little of everything, and more rows than go over at a time."""
    content = b"\0\xff" * 100
    change = FileChange(
        operation=Operation.CREATE, path="a", new_sha256=sha256(content), new_mode=0o644, content=content
    )
    changeset = Changeset.of((change,))
    start(store, "e", changeset=changeset, changeset_id=changeset.changeset_id, title="ä\0🙂", why="so")
    store.record_step_end(
        store.record_step_start("e", 1, "apply", "steps/1.log"), "failed", 1.25, "E", "boom"
    )
    verify = store.record_step_start("e", 4, "verify", "steps/04-verify.log")
    store.record_step_end(verify, "failed", output=StepOutput("steps/04-verify.log", b"\0printed\xff"))
    store.record_execution_end("e", "failed", 2.5, error_step="apply")
    finish(store, "f", "e")
    store.add_link("f", "reverts", "e")
    store.dismiss("e", "known")
    store.register_workspace("ws_other", "host", "/there")
    store.record_token(
        TokenRecord("tok_1", "token", "ci", "read run", "5ec2e7", "2026-01-01T00:00:00.000000Z")
    )
    roots = [values for values in random_rows() if values["parent_execution_id"] is None]
    store.record_many(values | {"affected_paths": None} for values in roots)
    store.record_many(row(f"many{n:04}", title="t" * 50) for n in range(4_500))


def answers(store: ExecutionStore) -> dict[str, Any]:
    lineage = store.get_execution_lineage("e")
    return {
        "list": store.list_executions(limit=10_000).items,
        "lineage": lineage,
        "steps": store.get_execution_steps("e"),
        "events": store.read_events_after(0, 10_000),
        "links": store.list_links("e"),
        "logs": (store.list_step_logs("e"), store.get_step_log("e", "steps/04-verify.log")),
        "changeset": store.get_changeset("e"),
        "workspaces": store.list_workspaces(),
        "tokens": store.list_tokens(),
        "statistics": store.get_statistics(),
        "unended": store.list_unended(None),
        "unresolved": [store.is_unresolved(name) for name in ("e", "f", "many0001")],
    }


@pytest.mark.parametrize("goal", ["sqlite", "postgresql"])
@pytest.mark.parametrize("origin", ["sqlite", "postgresql"])
def test_a_copy_answers_every_question_alike(tmp_path: Path, place: Place, origin: str, goal: str) -> None:
    """And is written on: numbers of steps, events and positions continue."""
    source, target = place(origin), place(goal)
    with opened(source, tmp_path) as store:
        fill(store)
        expected = answers(store)

    report = copy_database(source, target)

    with opened(target, tmp_path) as store:
        assert expected == answers(store)
        step = store.record_step_start(start(store, "later", "f").execution_id, 1, "apply")
        assert step > max(s.id for s in store.get_execution_steps("e"))
        assert len(expected["events"]) + 2 == store.last_event_position()
    assert (0, 0, 0) == (report.cleaned, report.converted, report.left_out)
    assert report.rows == report.written == sum(table.rows for table in report.tables)


def test_there_and_back_again_is_the_same_database(tmp_path: Path, place: Place) -> None:
    first, second, third = place("sqlite"), place("postgresql"), place("sqlite")
    with opened(first, tmp_path) as store:
        fill(store)

    there, back = copy_database(first, second), copy_database(second, third)

    assert [t.checksum for t in there.tables] == [t.checksum for t in back.tables]
    for table in ("executions", "execution_steps", "execution_events", "contents", "schema_migrations"):
        both = [
            query(Path(url.removeprefix("sqlite:///")), f"SELECT * FROM {table} ORDER BY 1, 2")
            for url in (first, third)
        ]
        assert both[0] == both[1], table


@pytest.mark.parametrize("goal", ["sqlite", "postgresql"])
def test_an_interrupted_copy_goes_on_where_it_was(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch, goal: str
) -> None:
    source, target = place("sqlite"), place(goal)
    with opened(source, tmp_path) as store:
        fill(store)
        expected = answers(store)

    def interrupt(table: str, done: int, total: int) -> None:
        if table == "executions" and done == 4_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_database(source, target, progress=interrupt)
    report = copy_database(source, target)

    assert {"executions": report.rows - 4_000 - _others(report)} == {
        t.name: t.written for t in report.tables if t.name == "executions"
    }
    with opened(target, tmp_path) as store:
        assert expected == answers(store)


def _others(report: CopyReport) -> int:
    return sum(table.rows for table in report.tables if table.name != "executions")


@pytest.mark.parametrize("goal", ["sqlite", "postgresql"])
def test_a_second_copy_brings_over_what_was_written_since(tmp_path: Path, place: Place, goal: str) -> None:
    """Moving live: copy while it is in use, stop, copy again, switch."""
    source, target = place("sqlite"), place(goal)
    with opened(source, tmp_path) as store:
        fill(store)
        start(store, "running")
        copy_database(source, target)
        store.record_execution_end("running", "completed")
        finish(store, "new", "running")

        report = copy_database(source, target)

        assert {"executions": 2, "execution_events": 3} == {
            table.name: table.written for table in report.tables if table.written
        }
        with opened(target, tmp_path) as copied:
            assert answers(store) == answers(copied)
        assert 0 == copy_database(source, target).written


def test_writers_do_not_wait_for_a_copy_and_are_not_half_in_it(tmp_path: Path, place: Place) -> None:
    """The copy is the source at one moment."""
    source, target = place("sqlite"), place("postgresql")
    with opened(source, tmp_path) as store:
        fill(store)
        expected = answers(store)
        written: list[str] = []

        def write(table: str, done: int, total: int) -> None:
            written.append(f"meanwhile{len(written)}")
            finish(store, written[-1], "e")

        copy_database(source, target, progress=write)

        with opened(target, tmp_path) as copied:
            assert expected == answers(copied)
        assert set(written) <= {r.execution_id for r in store.list_executions(limit=10_000)}


def test_a_database_with_a_history_of_its_own_is_not_copied_into(tmp_path: Path, place: Place) -> None:
    source, target = place("sqlite"), place("postgresql")
    with opened(source, tmp_path) as store:
        finish(store, "e")
    copy_database(source, target)
    with opened(target, tmp_path) as store:
        store.append_events("e", [("drift", {})])
        before = store.read_events_after(0)

        with pytest.raises(CopyRefused, match="execution events that the source does not have"):
            copy_database(source, target)

        assert before == store.read_events_after(0)
        finish(store, "theirs")
        with pytest.raises(CopyRefused, match=r"executions that the source does not have \(theirs"):
            copy_database(source, target)


def test_text_that_no_server_holds_is_cleaned_and_counted(tmp_path: Path, place: Place) -> None:
    """NUL, half a surrogate pair and bytes that are no text, in keys, too; numbers in the wrong column."""
    source, target = place("sqlite"), place("postgresql")
    opened(source, tmp_path).close()
    with closing(sqlite3.connect(source.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        write_rows(connection, [row("nul\0", title="a\0b"), row("fine"), row("zz", title="🙂")])
        odd = "UPDATE executions SET {} WHERE execution_id = 'fine'"
        connection.execute(odd.format("title = CAST(x'61eda0bd62' AS TEXT)"))
        connection.execute(odd.format("actor = CAST(x'ff' AS TEXT), attempt = 'many', files_changed = '7'"))
        write_rows(connection, [row("x")])
        connection.execute(
            "UPDATE executions SET execution_id = CAST(x'62ff' AS TEXT) WHERE execution_id = 'x'"
        )
        write_rows(connection, [row(f"b{n:04}") for n in range(2_500)])
        connection.execute("PRAGMA foreign_keys = OFF")
        steps = {"step_num": 1, "step_name": "apply", "status": "completed", "started_at": "t"}
        write_rows(
            connection, [{"execution_id": name, **steps} for name in ("fine", "gone")], "execution_steps"
        )
        connection.execute("INSERT INTO executions SELECT * FROM executions WHERE false")
        write_rows(connection, [row("") | {"execution_id": None}])

    report = copy_database(source, target)

    assert (5, 1, 2) == (report.cleaned, report.converted, report.left_out)
    with connected(target) as server:
        ((title, actor, attempt, files),) = server.execute(
            "SELECT title, actor, attempt, files_changed FROM executions WHERE execution_id = 'fine'"
        ).fetchall()
        names = {name for (name,) in server.execute("SELECT execution_id FROM executions").fetchall()}
    assert ("a\\xed\\xa0\\xbdb", "\\xff", None, 7) == (title, actor, attempt, files)
    assert {"nul␀", "b\\xff", "fine", "zz", "b2499"} <= names
    assert 0 == copy_database(source, target).written


def test_rows_of_old_programs_belong_to_the_workspace_of_their_file(tmp_path: Path, place: Place) -> None:
    """On a server, nothing else would tell whose they are."""
    with ExecutionStore(tmp_path) as store:
        own = store.workspace_id
        with closing(sqlite3.connect(store.db_path, isolation_level=None)) as connection:
            write_rows(connection, [row("old")])
        target = place("postgresql")
        copy_database(f"sqlite:///{store.db_path}", target)

    with opened(target, tmp_path) as copied:
        found = copied.get_execution("old")
        assert found is not None
        assert (own, False) == (found.workspace_id, own == copied.workspace_id)


def test_a_copy_that_came_out_unequal_is_no_copy(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = place("sqlite"), place("postgresql")
    with opened(source, tmp_path) as store:
        fill(store)
    insert = bulk._ServerDatabase.insert

    def lossy(database: Any, table: Any, rows: Any) -> None:
        insert(database, table, rows[:-1] if table.name == "execution_links" else rows)

    monkeypatch.setattr(bulk._ServerDatabase, "insert", lossy)

    with pytest.raises(CopyRefused, match="execution_links has 0 rows"):
        copy_database(source, target)


def test_nothing_is_copied_onto_itself_or_from_an_old_schema(tmp_path: Path, place: Place) -> None:
    source = place("sqlite")
    opened(source, tmp_path).close()

    with pytest.raises(InvalidSettings, match="onto itself"):
        copy_database(source, source)
    with pytest.raises(SchemaOutdated):
        copy_database(place("postgresql"), source)


@pytest.mark.parametrize(("source", "target"), [("postgresql", "sqlite"), ("sqlite", "postgresql")])
def test_time_outs_of_the_database_do_not_end_a_copy(
    tmp_path: Path, place: Place, postgres: PostgresDatabases, source: str, target: str
) -> None:
    """Also where one side waits for long until the other has written."""
    origin, goal = place(source), place(target)
    with opened(origin, tmp_path) as store:
        fill(store)
    for url in (origin, goal):
        if url.startswith("postgresql"):
            hurried(postgres, url)

    def linger(*_: object) -> None:
        if not seen:
            seen.append(True)
            with connected(postgres.url) as other:
                other.execute("SELECT pg_sleep(0.4)")

    seen: list[bool] = []

    assert copy_database(origin, goal, progress=linger).written > 0
