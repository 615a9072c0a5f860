"""Behind PgBouncer in transaction mode, where every transaction may meet another connection of the server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from executor.errors import DatabaseUnavailable
from executor.migrations import get_current_version, run_migrations
from executor.migrations.facts import facts
from executor.storage.store import ExecutionStore
from support.pgbouncer import find_pgbouncer, pooled
from support.postgres import PostgresDatabases, connected

pytestmark = pytest.mark.postgres


@pytest.fixture
def program() -> str:
    found = find_pgbouncer()
    if found is None:
        pytest.skip("PgBouncer is not installed; Debian's package is called pgbouncer")
    return found


@pytest.fixture
def pooled_url(program: str, postgres_url: str) -> Iterator[str]:
    """A current database."""
    with pooled(program, postgres_url) as url:
        yield url


def record(store: ExecutionStore, name: str, parent: str | None = None) -> None:
    store.record_execution_start(
        name, "plan", "cs", "dec", "sum", "allow", "low", ["a.py"], "/a", parent_execution_id=parent
    )
    step = store.record_step_start(name, 1, "verify")
    store.record_step_end(step, "completed", 0.1)
    store.record_execution_end(name, "completed", 0.2)


def test_many_threads_record_and_read(tmp_path: Path, pooled_url: str) -> None:
    """More threads than the pooler has connections: sessions are shared, nothing of one shows in another.
    Statements are not prepared by themselves: PgBouncer before 1.21 does not know them.
    """
    with ExecutionStore(tmp_path, url=pooled_url, durability="full") as store:
        record(store, "root")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: record(store, f"e{n}", "root"), range(80)))

        lineage = store.get_execution_lineage("root")
        assert {f"e{n}" for n in range(80)} == {each.execution_id for each in lineage["descendants"]}
        assert 81 == store.get_statistics().by_status["completed"]
        positions = [event.position for event in store.read_events_after(0)]
        assert len(set(positions)) == len(positions) == store.last_event_position()


def test_several_stores_share_its_connections(tmp_path: Path, pooled_url: str) -> None:
    """One after the other, as commands do, and at once."""
    for number in range(3):
        with (
            ExecutionStore(tmp_path, url=pooled_url) as one,
            ExecutionStore(tmp_path, url=pooled_url) as other,
        ):
            for again in range(5):
                record(one, f"a{number}-{again}")
                record(other, f"b{number}-{again}", f"a{number}-{again}")

    with ExecutionStore(tmp_path, url=pooled_url) as store:
        assert 30 == store.get_statistics().by_status["completed"]


def test_it_is_noticed(pooled_url: str, postgres_url: str) -> None:
    assert facts(pooled_url).pooled
    assert not facts(postgres_url).pooled


def test_an_upgrade_goes_past_it(
    program: str, postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through it, a database with rows is refused before anything is changed."""
    direct = postgres.version_0(50)
    with pooled(program, direct) as url:
        with pytest.raises(DatabaseUnavailable, match="EXECUTOR_DATABASE_DIRECT_URL"):
            run_migrations(url)
        with connected(direct) as connection:
            assert 0 == get_current_version(connection)

        monkeypatch.setenv("EXECUTOR_DATABASE_URL", url)
        monkeypatch.setenv("EXECUTOR_DATABASE_DIRECT_URL", direct)
        assert run_migrations(url) > 0
