"""What is particular to the SQLite engine: sharing commits, waiting, forking, damage."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from executor.errors import DatabaseDamaged, DatabaseUnavailable, ExecutionExists, InvalidSettings, TryAgain
from executor.migrations.target import DatabaseTarget
from executor.models.execution import ExecutionFilter
from executor.storage.engine import Connection
from executor.storage.sqlite import SqliteEngine
from executor.storage.store import ExecutionStore
from executor.testing.factories import finish, ids, row, start
from support.processes import run_python
from support.stores import query, write_rows

INSERT = "INSERT INTO workspaces VALUES (?, 'host', '/', 't')"
SELECT = "SELECT workspace_id FROM workspaces ORDER BY workspace_id"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "executor.db"


@pytest.fixture(params=["normal", "full"])
def engine(request: pytest.FixtureRequest, path: Path) -> Iterator[SqliteEngine]:
    engine = SqliteEngine(DatabaseTarget.parse(path), durability=request.param)
    yield engine
    engine.close()


def names(engine: SqliteEngine) -> list[str]:
    return [name for (name,) in engine.query((SELECT, ()))]


def writing(name: str) -> Callable[[Connection], str]:
    def work(connection: Connection) -> str:
        connection.execute(INSERT, (name,))
        return name

    return work


class Queue:
    """Threads that all wait to write while one holds the engine."""

    def __init__(self, engine: SqliteEngine) -> None:
        self._engine = engine
        self._free = threading.Event()
        self._pool = ThreadPoolExecutor(40)
        holding = threading.Event()

        def hold(connection: Connection) -> None:
            holding.set()
            self._free.wait(60)

        self._held = self._pool.submit(engine.write, hold)
        holding.wait(60)

    def add(self, work: Callable[[Connection], Any]) -> Future[Any]:
        waiting = len(self._engine._jobs)
        future = self._pool.submit(self._engine.write, work)
        while len(self._engine._jobs) == waiting:
            time.sleep(0.001)
        return future

    def go(self) -> None:
        self._free.set()
        self._held.result(60)
        self._pool.shutdown()


def test_writers_that_wait_share_one_commit(engine: SqliteEngine) -> None:
    engine.write(writing("first"))
    statements: list[str] = []
    assert engine._writer is not None
    engine._writer.set_trace_callback(statements.append)
    queue = Queue(engine)
    futures = [queue.add(writing(f"w{n:02}")) for n in range(20)]
    queue.go()

    assert [f"w{n:02}" for n in range(20)] == [future.result() for future in futures]
    assert ["first", *(f"w{n:02}" for n in range(20))] == names(engine)
    assert 2 == statements.count("COMMIT")


def test_one_refusal_leaves_the_others_alone(engine: SqliteEngine) -> None:
    def refuse(connection: Connection) -> None:
        connection.execute(INSERT, ("half",))
        raise ValueError("no")

    queue = Queue(engine)
    before, refused, taken, after = map(queue.add, (writing("a"), refuse, writing("a"), writing("b")))
    queue.go()

    assert ("a", "b") == (before.result(), after.result())
    with pytest.raises(ValueError, match="no"):
        refused.result()
    with pytest.raises(sqlite3.IntegrityError):
        taken.result()
    assert ["a", "b"] == names(engine)


def test_a_transaction_that_failed_as_a_whole_is_done_piece_by_piece(engine: SqliteEngine) -> None:
    def full(connection: Connection) -> None:
        # What SQLite does by itself when the disk is full.
        connection.execute("ROLLBACK", ())
        connection.execute("SELECT no_such_column", ())

    queue = Queue(engine)
    before, failed, after = map(queue.add, (writing("a"), full, writing("b")))
    queue.go()

    assert ("a", "b") == (before.result(), after.result())
    with pytest.raises(sqlite3.OperationalError):
        failed.result()
    assert ["a", "b"] == names(engine)


@pytest.mark.parametrize("alone", [True, False])
def test_an_interrupted_writer_leaves_the_others_their_turn(engine: SqliteEngine, alone: bool) -> None:
    class Interrupt(BaseException):
        pass

    def interrupt(connection: Connection) -> None:
        connection.execute(INSERT, ("half",))
        raise Interrupt

    queue = Queue(engine)
    works = [interrupt] if alone else [writing("a"), interrupt, writing("b")]
    futures = [queue.add(work) for work in works]
    queue.go()
    interrupted = [future for future in futures if isinstance(future.exception(60), Interrupt)]
    engine.write(writing("later"))

    assert len(interrupted) >= 1
    assert "later" in names(engine)
    assert "half" not in names(engine)
    for future in futures:
        if future not in interrupted:
            assert future.result() in names(engine)


def test_more_writers_than_one_batch_all_get_their_turn(engine: SqliteEngine) -> None:
    with ThreadPoolExecutor(100) as pool:
        written = list(pool.map(lambda n: engine.write(writing(f"w{n:03}")), range(300)))

    assert sorted(written) == names(engine)


def test_durability_is_what_the_disk_is_asked_for(path: Path) -> None:
    for durability, synchronous in (("normal", 1), ("full", 2)):
        engine = SqliteEngine(DatabaseTarget.parse(path), durability=durability)  # type: ignore[arg-type]
        asked = engine.write(lambda connection: connection.execute("PRAGMA synchronous", ()).fetchone())

        assert (synchronous,) == asked
        engine.close()


def test_a_writer_waits_for_the_writers_of_others(path: Path, engine: SqliteEngine) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other, ThreadPoolExecutor() as pool:
        other.execute("BEGIN IMMEDIATE")
        future = pool.submit(engine.write, writing("a"))
        other.execute(INSERT, ("b",))
        other.execute("COMMIT")

        assert "a" == future.result(60)
    assert ["a", "b"] == names(engine)


def test_a_writer_does_not_wait_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.storage.sqlite._WAIT_SLICE_SECONDS", 0.01)
    engine = SqliteEngine(DatabaseTarget.parse(path), write_wait=0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TryAgain):
            engine.write(writing("a"))
        other.execute("ROLLBACK")

    assert "a" == engine.write(writing("a"))
    engine.close()


def test_one_answer_shows_one_moment(path: Path, engine: SqliteEngine) -> None:
    def twice(connection: Connection) -> tuple[list[Any], list[Any]]:
        before = connection.execute(SELECT, ()).fetchall()
        engine.write(writing("meanwhile"))
        return before, connection.execute(SELECT, ()).fetchall()

    assert ([], []) == engine.read(twice)
    assert ["meanwhile"] == names(engine)


def test_a_failing_read_lets_go_of_its_moment(engine: SqliteEngine) -> None:
    def fail(connection: Connection) -> None:
        connection.execute(SELECT, ())
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        engine.read(fail)
    with pytest.raises(sqlite3.OperationalError):
        engine.query(("SELECT nothing", ()))
    with pytest.raises(sqlite3.OperationalError):
        engine.read(lambda connection: connection.execute("SELECT nothing", ()))
    engine.write(writing("a"))

    assert ["a"] == names(engine)


def test_only_so_many_connections_are_kept(engine: SqliteEngine) -> None:
    barrier = threading.Barrier(40)
    with ThreadPoolExecutor(40) as pool:
        list(pool.map(lambda _: engine.read(lambda connection: barrier.wait(60)), range(40)))

    assert 8 == len(engine._idle)


class TestImportingIntoAnEmptyTable:
    """Its indexes are taken away and made again in the transaction that fills it."""

    SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"
    MANY = 1_500

    def test_leaves_the_schema_and_whole_indexes(self, tmp_path: Path) -> None:
        with ExecutionStore(tmp_path) as store:
            before = query(tmp_path / ".executor/executor.db", self.SCHEMA)
            traced: list[str] = []
            engine = store._engine
            assert isinstance(engine, SqliteEngine)
            engine._write_connection().set_trace_callback(traced.append)
            store.record_many(row(f"e{n}") for n in range(self.MANY))

            assert len(before) > 0
            assert before == query(tmp_path / ".executor/executor.db", self.SCHEMA)
            assert [("ok",)] == query(tmp_path / ".executor/executor.db", "PRAGMA integrity_check")
            assert any(statement.startswith("DROP INDEX") for statement in traced)

    def test_happens_only_when_there_is_nothing_yet(self, tmp_path: Path) -> None:
        with ExecutionStore(tmp_path) as store:
            store.record_many([row("first")])
            traced: list[str] = []
            engine = store._engine
            assert isinstance(engine, SqliteEngine)
            engine._write_connection().set_trace_callback(traced.append)
            store.record_many(row(f"e{n}") for n in range(self.MANY))

            assert not any(statement.startswith("DROP INDEX") for statement in traced)

    def test_that_fails_leaves_the_schema(self, tmp_path: Path) -> None:
        with ExecutionStore(tmp_path) as store:
            before = query(tmp_path / ".executor/executor.db", self.SCHEMA)
            with pytest.raises(ExecutionExists):
                store.record_many([*(row(f"e{n}") for n in range(self.MANY)), row("e7")])

            assert before == query(tmp_path / ".executor/executor.db", self.SCHEMA)
            assert [] == ids(store.list_executions())

    def test_is_not_seen_by_who_reads_meanwhile(self, tmp_path: Path) -> None:
        with ExecutionStore(tmp_path) as store, ExecutionStore(tmp_path) as other:
            engine = other._engine

            def seen(connection: Connection) -> tuple[int, int]:
                before = len(connection.execute(self.SCHEMA, ()).fetchall())
                store.record_many(row(f"e{n}") for n in range(self.MANY))
                return before, len(connection.execute(self.SCHEMA, ()).fetchall())

            before, after = engine.read(seen)

            assert before == after
            assert 50 == len(other.list_executions(ExecutionFilter(), limit=50))


def test_a_database_in_memory_is_refused() -> None:
    with pytest.raises(InvalidSettings):
        SqliteEngine(DatabaseTarget.parse(":memory:"))


@pytest.mark.parametrize("pragma", ["query_only=ON", "max_page_count=1"])
def test_a_database_that_cannot_be_written_is_said_and_unharmed(tmp_path: Path, pragma: str) -> None:
    """A disk that is full and a file system that is read-only, as SQLite itself would meet them."""
    with ExecutionStore(tmp_path) as store:
        finish(store, "before")
        engine = store._engine
        assert isinstance(engine, SqliteEngine)
        assert engine._writer is not None
        engine._writer.execute(f"PRAGMA {pragma}")
        with pytest.raises(DatabaseUnavailable):
            start(store, "e", title="x" * 100_000)

        assert ["before"] == ids(store.list_executions())
        store.close()
        finish(store, "after")
        assert [("ok",)] == query(store.db_path, "PRAGMA integrity_check")


def test_a_damaged_database_is_said(tmp_path: Path) -> None:
    with ExecutionStore(tmp_path) as store:
        path = store.db_path
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            write_rows(connection, (row(f"e{n}") for n in range(2000)))
    # Everything behind the schema.
    content = bytearray(path.read_bytes())
    content[65536:] = b"\xaa" * (len(content) - 65536)
    path.write_bytes(content)

    with pytest.raises(DatabaseDamaged), ExecutionStore(tmp_path) as store:
        store.list_executions(limit=1000)


def test_text_that_is_no_utf8_reads_with_marks(tmp_path: Path) -> None:
    with ExecutionStore(tmp_path) as store:
        start(store, "e")
        start(store, "f", "e")
        with closing(sqlite3.connect(store.db_path)) as connection:
            connection.execute("UPDATE executions SET title = CAST(x'61ff62' AS TEXT)")
            connection.commit()

        assert ["a\ufffdb"] * 2 == [record.title for record in store.list_executions()]
        assert "a\ufffdb" == store.get_execution_lineage("e")["execution"].title
        assert ["f"] == ids(store.get_execution_lineage("e")["descendants"])
        assert ["f", "e"] == ids(store.list_executions())


_FORK = """
import os, sys
from executor.storage.store import ExecutionStore
from executor.testing.factories import finish, ids

store = ExecutionStore(sys.argv[1], durability="full")
finish(store, "before")
children = []
for number in range(3):
    child = os.fork()
    if not child:
        for n in range(20):
            finish(store, f"child{number}-{n:02}")
        assert len(store.list_executions(limit=100)) >= 21
        sys.exit(0)  # not _exit: leaves by the door that closes things
    children.append(child)
for n in range(20):
    finish(store, f"parent-{n:02}")
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
finish(store, "after")
print(len(store.list_executions(limit=100)))
"""


def test_a_forked_child_works_beside_its_parent(tmp_path: Path) -> None:
    assert "82" == run_python(_FORK, str(tmp_path)).strip()
    assert [("ok",)] == query(tmp_path / ".executor" / "executor.db", "PRAGMA integrity_check")


_FORK_IN_USE = """
import os, sys, threading
from executor.storage.store import ExecutionStore
from executor.testing.factories import finish

store = ExecutionStore(sys.argv[1])
finish(store, "before")
def hold(holding):
    # Long enough for the fork to come in the middle.
    def work(connection):
        holding.set()
        threading.Event().wait(0.3)
    return work
threads = []
for use in (store._engine.write, store._engine.read):
    holding = threading.Event()
    threads.append(threading.Thread(target=use, args=(hold(holding),)))
    threads[-1].start()
    holding.wait(60)
child = os.fork()
if not child:
    finish(store, "child")
    os._exit(0)
for thread in threads:
    thread.join()
assert os.waitpid(child, 0)[1] == 0
finish(store, "after")
print([record.execution_id for record in store.list_executions()])
"""


def test_a_child_forked_while_others_read_and_write_does_not_hang(tmp_path: Path) -> None:
    assert "['after', 'child', 'before']" == run_python(_FORK_IN_USE, str(tmp_path)).strip()


_FORK_AND_LEAVE = """
import os, sys
from executor.storage.store import ExecutionStore
from executor.testing.factories import finish

store = ExecutionStore(sys.argv[1])
finish(store, "before")
go, went = os.pipe(), os.pipe()
child = os.fork()
if not child:
    finish(store, "first-of-child")
    os.write(went[1], b"x")
    os.read(go[0], 1)
    finish(store, "second-of-child")
    os._exit(0)
os.read(went[0], 1)
# The last connection of this process; SQLite tidies up when it is the last of all.
finish(store, "parent")
store.close()
os.write(go[1], b"x")
assert os.waitpid(child, 0)[1] == 0
print([record.execution_id for record in store.list_executions()])
"""


def test_a_parent_that_closes_leaves_its_child_the_log(tmp_path: Path) -> None:
    assert "['second-of-child', 'parent', 'first-of-child', 'before']" == (
        run_python(_FORK_AND_LEAVE, str(tmp_path)).strip()
    )
    assert [("ok",)] == query(tmp_path / ".executor" / "executor.db", "PRAGMA integrity_check")


@pytest.mark.parametrize("nameless", [0, 5])
@pytest.mark.parametrize(("named", "total"), [(2, (2, None)), (3, (3, None)), (4, (None, 3))])
def test_rows_without_an_id_count_neither_in_a_total_nor_beyond_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    nameless: int,
    named: int,
    total: tuple[int | None, int | None],
) -> None:
    monkeypatch.setattr("executor.storage.store.TOTAL_COUNTED", 3)
    failed = {"status": "failed"}
    with ExecutionStore(tmp_path) as store:
        with closing(sqlite3.connect(store.db_path, isolation_level=None)) as connection:
            write_rows(connection, [row(f"e{n}") | failed for n in range(named)])
            write_rows(connection, [row("") | failed | {"execution_id": None} for _ in range(nameless)])

        for filter in (
            None,
            ExecutionFilter(status=("failed",)),
            ExecutionFilter(status=("failed", "cancelled")),
        ):
            page = store.list_executions(filter, 1, with_total=True)
            assert total == (page.total, page.total_at_least)


def test_an_id_with_a_nul_in_a_list_of_ids_is_taken_for_no_other(tmp_path: Path) -> None:
    """Old programs could write one; SQLite ends a text from JSON there."""
    with ExecutionStore(tmp_path) as store:
        start(store, "a")
        store.record_step_start("a", 1, "apply")
        with closing(sqlite3.connect(store.db_path, isolation_level=None)) as connection:
            write_rows(connection, [row("a\0b")])

        assert {"a\0b": []} == store.list_steps(["a\0b"])
        assert {} == store.list_first_attempts(["a\0b"])
        assert ["a"] == ids(store.list_executions(ExecutionFilter(parent_execution_id=("!a\0b",), q="a"), 1))
