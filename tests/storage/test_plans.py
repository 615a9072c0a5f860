"""Every question is answered by an index, whatever SQLite knows or does not know about the data."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from executor.schema import metadata
from executor.storage.compile import compile_all
from executor.storage.sqlite import SqliteEngine
from executor.storage.store import ExecutionStore
from executor.testing.contract.lists import PARAMETERS
from support.questions import OF_ONE_FAMILY, USES, ask, families
from support.stores import write_rows

Plan = list[str]


class Database:
    """A store with some families, and the plans of whatever it asks."""

    def __init__(self, folder: Path) -> None:
        self.store = ExecutionStore(folder)
        with closing(sqlite3.connect(self.store.db_path, isolation_level=None)) as connection:
            write_rows(connection, families())
            some = [f"e{number:04}" for number in range(0, 3000, 3)]
            step = {"step_num": 1, "step_name": "apply", "status": "failed", "started_at": "t"}
            write_rows(connection, ({"execution_id": name, **step} for name in some), "execution_steps")
            event = {"correlation_id": "c", "seq": 1, "event": "drift", "timestamp": "t"}
            events = ({"execution_id": name, "position": n, **event} for n, name in enumerate(some))
            write_rows(connection, events, "execution_events")

    def change(self, sql: str) -> None:
        with closing(sqlite3.connect(self.store.db_path, isolation_level=None)) as connection:
            connection.execute(sql)
        self.store.close()

    def plans(self, question: str) -> list[Plan]:
        """A plan for each statement that the store runs for the question."""
        asked: list[str] = []
        engine = self.store._engine
        assert isinstance(engine, SqliteEngine)
        connection = engine._take()
        connection.set_trace_callback(asked.append)
        engine._give_back(connection)
        ask(self.store, question)
        connection.set_trace_callback(None)
        # The trace shows statements with their values written out.
        return [self._plan(connection, sql) for sql in asked if sql.startswith(("SELECT", "WITH"))]

    @staticmethod
    def _plan(connection: sqlite3.Connection, sql: str) -> Plan:
        return [line for *_, line in connection.execute("EXPLAIN QUERY PLAN " + sql)]


@pytest.fixture(scope="module", params=["plain", "analyzed"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(tmp_path_factory.mktemp(request.param))
    if request.param == "analyzed":
        database.change("ANALYZE")
    yield database
    database.store.close()


@pytest.mark.parametrize("question", OF_ONE_FAMILY)
def test_questions_about_one_family_never_walk_a_table(database: Database, question: str) -> None:
    plans = database.plans(question)

    assert plans
    for plan in plans:
        for line in plan:
            assert not re.match(
                r"SCAN (executions|execution_|approvals|test_results|step_logs|below|child|other|attempt|later|"
                r"reverting|newer|latest)",
                line,
            ), plan
            assert "BLOOM" not in line, plan
            assert "AUTOMATIC" not in line, plan


@pytest.mark.parametrize(
    "name", ["correlation", "run", "parent", "parents", "status", "statuses", "awaiting"]
)
def test_a_selective_list_reads_its_page_from_an_index(database: Database, name: str) -> None:
    for plan in database.plans(f"list {name}"):
        assert not any(line.startswith("SCAN executions") for line in plan), plan
        assert not any("BLOOM" in line or "FOR ORDER BY" in line for line in plan), plan


# Their index finds few rows, which are sorted.
SOUGHT = ("verdict", "risk")


@pytest.mark.parametrize("name", ["list", *(f"list {name}" for name in PARAMETERS if name not in SOUGHT)])
def test_no_list_sorts_what_is_not_shown(database: Database, name: str) -> None:
    """Pages come out of an index in order; what has the same time is at most put in order by id."""
    for plan in database.plans(name):
        assert not any(re.fullmatch(r"SCAN executions", line) for line in plan) or _counts(plan), plan
        assert not any("BLOOM" in line for line in plan), plan


@pytest.mark.parametrize("verdict", ["allow", "deny"])
def test_a_rare_verdict_is_looked_up_and_a_frequent_one_met_on_a_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: str
) -> None:
    monkeypatch.setattr("executor.storage.store._RARE", 100)
    monkeypatch.setitem(PARAMETERS, verdict, {"verdict": (verdict,)})
    database = Database(tmp_path)

    *_, page = database.plans(f"list {verdict}")

    assert ("idx_executions_started_at" if verdict == "allow" else "idx_executions_verdict") in " ".join(page)
    database.store.close()


def _counts(plan: Plan) -> bool:
    return any("counted" in line for line in plan)


def _indexes() -> list[str]:
    """Those of all tables that are asked anything."""
    asked = " ".join(query.text for query in compile_all("sqlite").values())
    tables = [table for name, table in metadata.tables.items() if re.search(rf"\b{name}\b", asked)]
    return sorted(str(index.name) for table in tables for index in table.indexes)


def test_every_index_has_its_question() -> None:
    assert _indexes() == sorted(USES)


@pytest.mark.parametrize("index", USES)
def test_every_index_is_used_and_missed_when_it_is_gone(tmp_path: Path, index: str) -> None:
    """An index that serves no question would only cost every write."""
    database = Database(tmp_path)
    assert _uses(database, index)

    database.change(f"DROP INDEX {index}")

    assert not _uses(database, index)
    database.store.close()


def _uses(database: Database, index: str) -> bool:
    try:
        plans = database.plans(USES[index])
    except sqlite3.OperationalError as error:
        # Lists insist on theirs.
        return f"no such index: {index}" not in str(error)
    return any(re.search(rf"\b{index}\b", line) for plan in plans for line in plan)
