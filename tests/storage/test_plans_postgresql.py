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
from support.questions import OF_ONE_FAMILY, USES, ask, families

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
                "INSERT INTO execution_steps (execution_id, step_num, step_name, status, started_at, error_message)"
                " SELECT execution_id, 1, 'apply', 'failed', 't', repeat('why it failed ', 20) FROM executions"
            )
            connection.execute(
                "INSERT INTO execution_events (execution_id, correlation_id, seq, position, event, timestamp)"
                " SELECT execution_id, 'c', 1, row_number() OVER (), 'drift', 't' FROM executions"
            )
            if analyzed:
                connection.execute("ANALYZE")

    def fill_the_rest(self) -> None:
        """Rows in the tables that the other questions leave empty, and what autovacuum does about them."""
        with connected(self.url) as connection:
            for insert in (
                "execution_links SELECT execution_id, 'reverts', execution_id, 'c' FROM executions",
                "approvals SELECT execution_id, execution_id, execution_id, 'sum500', '{}', 't', 't' FROM executions",
                "test_results (correlation_id, execution_id, step_num, test_id, outcome)"
                " SELECT 'c', execution_id, 1, 'test_' || row_number() OVER (), 'passed' FROM executions",
            ):
                connection.execute(f"INSERT INTO {insert}".encode())
            connection.execute("VACUUM ANALYZE")

    def plans(self, question: str, patch: pytest.MonkeyPatch, *changes: str) -> list[str]:
        """A plan for each statement that the store runs for the question, after `changes`, which do not last."""
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
        with connected(self.url) as connection, connection.transaction(force_rollback=True):
            for change in changes:
                connection.execute(change.encode())
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


def subplans(plan: str) -> list[str]:
    """What is done for each row of the plan around it."""
    lines = plan.splitlines()
    depths = [len(line) - len(line.lstrip()) for line in lines]
    found = []
    for number, line in enumerate(lines):
        if line.lstrip().startswith("SubPlan"):
            end = next((n for n in range(number + 1, len(lines)) if depths[n] <= depths[number]), len(lines))
            found.append("\n".join(lines[number:end]))
    return found


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_what_is_asked_of_each_row_of_a_list_reads_no_table(
    database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever leads a list, the questions asked of each of its rows are answered by an index."""
    for plan in database.plans(f"list {name}", monkeypatch):
        for below in subplans(plan):
            assert [] == read_whole(below), plan


@pytest.mark.parametrize(
    "name", ["correlation", "run", "parent", "parents", "status", "statuses", "awaiting"]
)
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


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresDatabases) -> Iterator[Database]:
    database = Database(tmp_path_factory.mktemp("filled"), postgres.current(), analyzed=False)
    database.fill_the_rest()
    yield database
    database.store.close()


@pytest.mark.parametrize("index", USES)
def test_every_index_is_used_and_missed_when_it_is_gone(
    filled: Database, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def uses(plans: list[str]) -> bool:
        return any(re.search(rf"\b{index}\b", plan) for plan in plans)

    # Whether an index is read in place of its table depends on how far the last VACUUM came.
    patient = "SET LOCAL enable_seqscan = off"
    assert uses(filled.plans(USES[index], monkeypatch, patient))
    assert not uses(filled.plans(USES[index], monkeypatch, patient, f"DROP INDEX {index}"))
