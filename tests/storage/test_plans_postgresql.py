"""Every question is answered by an index on PostgreSQL too, whether it has statistics or not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from executor.storage.postgresql import _Session
from executor.storage.store import ExecutionStore
from executor.testing.contract.lists import PARAMETERS
from support.postgres import PostgresDatabases, connected
from support.questions import OF_ONE_FAMILY, ask, families

pytestmark = pytest.mark.postgres

# So many times the families: the planner reads a table of a few pages as it likes.
COPIES = 10


class Database:
    """A store with some families, and the plans of whatever it asks."""

    def __init__(self, folder: Path, url: str, *, analyzed: bool) -> None:
        self.url = url
        self.store = ExecutionStore(folder, url=url)
        rows = list(families())
        names = ", ".join(rows[0])
        with connected(url) as connection:
            for table in ("executions", "execution_steps", "execution_events"):
                connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())
            with connection.cursor().copy(f"COPY executions ({names}) FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row(list(row.values()))
            kept = {"execution_id", "parent_execution_id", "correlation_id"}
            again = ", ".join(f"n || {name}" if name in kept else name for name in rows[0])
            connection.execute(
                f"INSERT INTO executions ({names}) SELECT {again} FROM executions,"
                f" generate_series(1, {COPIES - 1}) AS n".encode()
            )
            connection.execute(
                "INSERT INTO execution_steps (execution_id, step_num, step_name, status, started_at)"
                " SELECT execution_id, 1, 'apply', 'failed', 't' FROM executions"
            )
            connection.execute(
                "INSERT INTO execution_events (execution_id, correlation_id, seq, position, event, timestamp)"
                " SELECT execution_id, 'c', 1, row_number() OVER (), 'drift', 't' FROM executions"
            )
            if analyzed:
                connection.execute("ANALYZE")

    def plans(self, question: str, patch: pytest.MonkeyPatch) -> list[str]:
        """A plan for each statement that the store runs for the question."""
        asked: list[tuple[bytes, Any]] = []

        def noting(run: Callable[..., Any]) -> Callable[..., Any]:
            def noted(session: _Session, text: Any, parameters: Any = None, /, **options: Any) -> Any:
                asked.append((text if isinstance(text, bytes) else text.encode(), parameters))
                return run(session, text, parameters, **options)

            return noted

        with patch.context() as patched:
            patched.setattr(_Session, "execute", noting(_Session.execute))
            patched.setattr(_Session, "rows", noting(_Session.rows))
            ask(self.store, question)
        with connected(self.url) as connection:
            return [
                "\n".join(line for (line,) in connection.execute(b"EXPLAIN " + text, parameters))
                for text, parameters in asked
                if text.startswith((b"SELECT", b"WITH"))
            ]


@pytest.fixture(scope="module", params=["plain", "analyzed"])
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: PostgresDatabases
) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp(request.param)
    database = Database(folder, postgres.current(), analyzed=request.param == "analyzed")
    yield database
    database.store.close()


def read_whole(plan: str) -> list[str]:
    """The large tables that are read from one end to the other."""
    return re.findall(r"Seq Scan on (executions|execution_steps|execution_events)\b", plan)


@pytest.mark.parametrize("question", [*OF_ONE_FAMILY, "by_plan", "find_completed_by_checksum"])
def test_questions_about_a_few_never_read_a_table(
    database: Database, question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = database.plans(question, monkeypatch)

    assert plans
    for plan in plans:
        assert [] == read_whole(plan), plan


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_what_is_asked_of_each_row_of_a_list_reads_no_table(
    database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever leads a list, the questions asked of each of its rows are answered by an index."""
    for plan in database.plans(f"list {name}", monkeypatch):
        below = plan.partition("SubPlan")[2]
        assert [] == read_whole(below), plan


@pytest.mark.parametrize("name", ["correlation", "run", "parent", "parents", "status", "statuses"])
def test_a_selective_list_reads_its_page_from_an_index(
    database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = database.plans(f"list {name}", monkeypatch)

    assert plans
    for plan in plans:
        assert [] == read_whole(plan), plan


@pytest.mark.parametrize("name", ["parents", "statuses", "unresolved"])
def test_a_list_in_several_parts_reads_each_only_as_far_as_its_page(
    database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = database.plans(f"list {name}", monkeypatch)

    assert plans
    for plan in plans:
        assert not re.search(r"Sort  .*\n.*Sort Key.*\n +->  Append", plan), plan
