"""What PostgreSQL does beside the contract: lost connections, undone transactions, refusals, waiting."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import (
    DatabaseUnavailable,
    ExecutionExists,
    ExecutorError,
    InvalidFilter,
    InvalidSettings,
    SchemaOutdated,
    TryAgain,
)
from executor.models.execution import ExecutionFilter
from executor.storage.filters import path_pattern
from executor.storage.pool_settings import PoolSettings
from executor.storage.postgresql import PostgresqlEngine, _server_pattern, _Session
from executor.storage.store import ExecutionStore
from executor.testing.factories import finish, ids, row, start
from support.postgres import PostgresDatabases, connected, name_in, new_server
from support.processes import run_python
from support.server_stores import write_rows

pytestmark = pytest.mark.postgres


@pytest.fixture
def store(tmp_path: Path, postgres_url: str) -> Iterator[ExecutionStore]:
    with ExecutionStore(tmp_path, url=postgres_url) as store:
        yield store


@pytest.fixture
def impatient(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExecutionStore]:
    """A store that gives up soon."""
    monkeypatch.setenv("EXECUTOR_DATABASE_POOL_SIZE", "1")
    for name in ("POOL", "LOCK", "RETRY"):
        monkeypatch.setenv(f"EXECUTOR_DATABASE_{name}_TIMEOUT", "0.3")
    with ExecutionStore(tmp_path, url=postgres_url) as store:
        yield store


def engine_of(store: ExecutionStore) -> PostgresqlEngine:
    engine = store._engine
    assert isinstance(engine, PostgresqlEngine)
    return engine


WRITES: dict[str, Callable[[ExecutionStore], Any]] = {
    "start": lambda store: start(store, "new", "e", title="t"),
    "status": lambda store: store.update_execution_status("e", "applying"),
    "step start": lambda store: store.record_step_start("e", 2, "verify"),
    "step end": lambda store: store.record_step_end(store.get_execution_steps("e")[0].id, "failed"),
    "end": lambda store: store.record_execution_end("e", "failed", 1.5, error_step="apply"),
    "events": lambda store: store.append_events("e", [("drift", {"n": 1}), ("drift", {"n": 1})]),
    "dismiss": lambda store: store.dismiss("failed", "known"),
    "undismiss": lambda store: store.undismiss("dismissed"),
    "link": lambda store: store.add_link("e", "evidence", "failed"),
    "workspace": lambda store: store.register_workspace("ws", "host", "/there"),
    "payloads": lambda store: store.drop_payloads([("failed", {"artifact_count": 1})]),
    "import": lambda store: store.record_many([row("a"), row("b", parent_execution_id="a")]),
}


def prepare(store: ExecutionStore) -> None:
    start(store, "e")
    store.record_step_start("e", 1, "apply")
    finish(store, "failed", status="failed")
    finish(store, "dismissed", status="failed")
    store.dismiss("dismissed", "known")


def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """What a write may change, times aside."""
    questions = {
        "executions": "SELECT execution_id, status, error_step, duration_seconds FROM executions ORDER BY 1",
        "steps": "SELECT execution_id, step_num, step_name, status FROM execution_steps ORDER BY 1, 2, 3",
        "events": "SELECT execution_id, seq, event FROM execution_events ORDER BY 1, 2",
        "links": "SELECT source_id, kind, target_id FROM execution_links ORDER BY 1, 2, 3",
        "workspaces": "SELECT workspace_id, host FROM workspaces ORDER BY 1",
    }
    with connected(url) as connection:
        return {name: connection.execute(sql.encode()).fetchall() for name, sql in questions.items()}


def cut_off(session: psycopg.Connection[Any]) -> None:
    session.close()
    raise psycopg.OperationalError("the connection is lost")


class TestLostConnections:
    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("write", WRITES)
    def test_a_commit_that_nobody_answered_is_neither_lost_nor_doubled(
        self,
        store: ExecutionStore,
        postgres: PostgresDatabases,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        write: str,
        when: str,
    ) -> None:
        """Whether the server had done it or not, afterwards everything is as after an undisturbed write."""
        undisturbed = postgres.current()
        with ExecutionStore(tmp_path, url=undisturbed) as other:
            prepare(other)
            expected = WRITES[write](other)
        prepare(store)
        commit, calls = _Session.commit_work, []

        def lose(session: _Session) -> None:
            calls.append(session)
            if len(calls) > 1:
                commit(session)
                return
            if when == "after":
                commit(session)
            cut_off(session)

        monkeypatch.setattr(_Session, "commit_work", lose)

        given_back = WRITES[write](store)

        assert contents(undisturbed) == contents(url_of(store))
        assert type(expected) is type(given_back)
        if write == "events":
            assert [(e.seq, e.data) for e in expected] == [(e.seq, e.data) for e in given_back]
        if write == "step start":
            # Numbers of an attempt that was undone are not used again.
            assert [given_back] == [s.id for s in store.get_execution_steps("e") if s.step_num == 2]
        if write == "import":
            assert expected == given_back
        postgres.drop(undisturbed)

    def test_what_cannot_be_known_is_said(
        self, impatient: ExecutionStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_Session, "commit_work", cut_off)

        with pytest.raises(TryAgain, match="may or may not have happened"):
            start(impatient, "e")

    def test_connections_that_were_cut_are_replaced(self, store: ExecutionStore, postgres_url: str) -> None:
        """Also all of them at once, in the middle of reads and writes."""
        start(store, "e")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: store.get_execution("e"), range(50)))
            for number in range(5):
                with connected(postgres_url) as connection:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                found = list(pool.map(lambda _: store.get_execution("e"), range(20)))
                list(pool.map(lambda n, k=number: finish(store, f"e{k}-{n}"), range(10)))

                assert all(found)

        assert 51 == len(store.list_executions(limit=100).items)

    def test_a_statement_whose_answer_changed_is_prepared_anew(
        self, store: ExecutionStore, postgres_url: str
    ) -> None:
        start(store, "e")
        for _ in range(10):
            store.get_execution("e")
        with connected(postgres_url) as connection:
            connection.execute("ALTER TABLE executions ALTER COLUMN title TYPE varchar(1000)")

        for _ in range(10):
            assert store.get_execution("e") is not None

    def test_a_forked_child_has_connections_of_its_own(self, store: ExecutionStore) -> None:
        start(store, "e")
        child = os.fork()
        if child == 0:
            finish(store, "child")
            os._exit(0 if store.get_execution("e") else 1)

        assert (child, 0) == os.waitpid(child, 0)
        assert ["child", "e"] == ids(store.list_executions())
        finish(store, "f")


def url_of(store: ExecutionStore) -> str:
    url = store._target.url
    assert url is not None
    return url


class TestErrors:
    @pytest.mark.parametrize("state", ["40001", "40P01"])
    def test_what_the_server_undid_is_done_again_without_a_word(
        self, store: ExecutionStore, postgres_url: str, state: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Serialization failures and deadlocks pass."""
        with connected(postgres_url) as connection:
            refuse(connection, state, times=3)

        finish(store, "e")

        assert 2 == len(store.list_events("e"))
        assert ("", "") == capfd.readouterr()

    @pytest.mark.parametrize(
        ("state", "error", "words"),
        [
            ("40001", TryAgain, "busy"),
            ("53100", DatabaseUnavailable, "disk of the server is full"),
            ("53200", DatabaseUnavailable, "memory"),
            ("57014", TryAgain, "too long"),
        ],
    )
    def test_what_does_not_pass_is_an_error_of_ours(
        self,
        impatient: ExecutionStore,
        postgres_url: str,
        state: str,
        error: type[ExecutorError],
        words: str,
    ) -> None:
        """The disk full is raised by a function of this test; nothing of the write is there."""
        with connected(postgres_url) as connection:
            refuse(connection, state)

            with pytest.raises(error, match=words):
                start(impatient, "e")

            connection.execute("DROP FUNCTION refuse CASCADE")
        assert impatient.get_execution("e") is None
        finish(impatient, "e")

    def test_a_server_that_only_reads_can_be_read(self, tmp_path: Path, postgres_url: str) -> None:
        with ExecutionStore(tmp_path, url=postgres_url) as store:
            start(store, "e")
        with connected(postgres_url) as connection:
            name = name_in(postgres_url)
            connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        with ExecutionStore(tmp_path, url=postgres_url) as store:
            assert ["e"] == ids(store.list_executions())
            assert [] == store.get_execution_lineage("e")["siblings"]
            with pytest.raises(DatabaseUnavailable, match="read-only"):
                start(store, "f")

    def test_a_standby_can_be_read_and_watched(self, tmp_path: Path) -> None:
        """It tells nobody of what happens, so a watch looks by itself; what writes is refused."""
        with new_server() as server:
            with ExecutionStore(tmp_path, url=server.url) as store:
                start(store, "e")
            server.become_standby()
            with ExecutionStore(tmp_path, url=server.url) as store:
                assert ["e"] == ids(store.list_executions())
                watch = store.watch_events()
                assert [True, True] == [watch.wait(0.01) for _ in range(2)]
                watch.close()
                with pytest.raises(DatabaseUnavailable, match="read-only"):
                    start(store, "f")

    def test_a_taken_id_in_an_import_is_no_error_of_the_database(self, store: ExecutionStore) -> None:
        start(store, "e")

        with pytest.raises(ExecutionExists):
            store.record_many([row("a"), row("e")])

        assert ["e"] == ids(store.list_executions())

    def test_a_server_that_is_not_there_is_said_at_once(
        self, tmp_path: Path, postgres: PostgresDatabases
    ) -> None:
        with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
            ExecutionStore(tmp_path, url="postgresql://nobody@127.0.0.1:1/none")
        with pytest.raises(DatabaseUnavailable, match="does not exist"):
            ExecutionStore(tmp_path, url=postgres.url_of("executor_test_of_nobody"))

    def test_an_old_database_is_upgraded_or_refused(self, tmp_path: Path, empty_postgres_url: str) -> None:
        with pytest.raises(SchemaOutdated):
            ExecutionStore(tmp_path, url=empty_postgres_url, migrate=False)
        with ExecutionStore(tmp_path, url=empty_postgres_url) as store:
            start(store, "e")

        with ExecutionStore(tmp_path, url=empty_postgres_url, migrate=False) as store:
            assert ["e"] == ids(store.list_executions())
            with pytest.raises(InvalidSettings, match="no file"):
                _ = store.db_path


def refuse(connection: psycopg.Connection[Any], state: str, times: int = 1_000_000) -> None:
    """Lets the next inserts into `executions` fail with this SQLSTATE."""
    connection.execute("CREATE SEQUENCE refusals")
    connection.execute(
        f"""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('refusals') <= {times} THEN RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; END IF;
            RETURN NEW; END $$""".encode()
    )
    connection.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON executions FOR EACH ROW EXECUTE FUNCTION refuse()"
    )


class TestWaiting:
    def test_a_pool_that_is_used_up_says_so(self, impatient: ExecutionStore) -> None:
        engine = engine_of(impatient)

        with engine._session(), pytest.raises(TryAgain, match="EXECUTOR_DATABASE_POOL_SIZE"):
            impatient.get_execution("e")

        assert impatient.get_execution("e") is None

    def test_more_threads_than_connections_take_turns(
        self, tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EXECUTOR_DATABASE_POOL_SIZE", "2")
        with ExecutionStore(tmp_path, url=postgres_url) as store, ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: finish(store, f"e{n}"), range(40)))

            assert 40 == len(store.list_executions(limit=100).items)
            with connected(postgres_url) as connection:
                ((count,),) = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
                ).fetchall()
        assert count <= 2

    def test_a_lock_that_somebody_holds_is_not_waited_for_for_ever(
        self, impatient: ExecutionStore, postgres_url: str
    ) -> None:
        start(impatient, "e")
        with connected(postgres_url) as connection, connection.transaction():
            connection.execute("SELECT 1 FROM executions WHERE execution_id = 'e' FOR UPDATE")
            with pytest.raises(TryAgain, match="busy"):
                impatient.record_execution_end("e", "completed")

        impatient.record_execution_end("e", "completed")

    def test_events_of_one_execution_are_counted_without_gaps_by_many(self, store: ExecutionStore) -> None:
        start(store, "e")
        barrier = threading.Barrier(6)

        def write(number: int) -> None:
            barrier.wait()
            for _ in range(10):
                store.append_events("e", [("drift", {"writer": number}), ("drift", {})])
                store.record_step_end(store.record_step_start("e", number, "apply"), "completed")

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(write, range(6)))

        events = store.list_events("e")
        assert list(range(1, 1 + 6 * 10 * 4 + 1)) == [event.seq for event in events]
        positions = [event.position for event in store.read_events_after(0)]
        assert sorted(set(positions)) == positions

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("POOL_SIZE", "0"),
            ("POOL_SIZE", "many"),
            ("POOL_TIMEOUT", "-1"),
            ("LOCK_TIMEOUT", "nan"),
            ("RETRY_TIMEOUT", "1e9"),
            ("PREPARE_THRESHOLD", "always"),
        ],
    )
    def test_a_setting_that_cannot_be_meant_is_refused_by_name(self, name: str, text: str) -> None:
        with pytest.raises(InvalidSettings, match=f"EXECUTOR_DATABASE_{name} is '{text}'"):
            PoolSettings.from_environment({f"EXECUTOR_DATABASE_{name}": text})

    def test_settings_come_from_the_environment(self) -> None:
        given = {
            "EXECUTOR_DATABASE_POOL_SIZE": "3",
            "EXECUTOR_DATABASE_POOL_TIMEOUT": "1.5",
            "EXECUTOR_DATABASE_LOCK_TIMEOUT": "2",
            "EXECUTOR_DATABASE_RETRY_TIMEOUT": "0",
            "EXECUTOR_DATABASE_PREPARE_THRESHOLD": "never",
        }

        assert PoolSettings(3, 1.5, 2.0, 0.0, None) == PoolSettings.from_environment(given)
        assert PoolSettings() == PoolSettings.from_environment({})
        asked_for = PoolSettings.from_environment({"EXECUTOR_DATABASE_PREPARE_THRESHOLD": "2"})
        assert (2, True) == (asked_for.prepare_threshold, asked_for.prepares_behind_pooler)

    def test_nothing_stays_prepared_where_a_pooler_must_not_see_it(
        self, tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EXECUTOR_DATABASE_PREPARE_THRESHOLD", "never")
        with ExecutionStore(tmp_path, url=postgres_url) as store:
            for number in range(5):
                finish(store, f"e{number}")
                store.get_execution_lineage(f"e{number}")

            assert [(0,)] == engine_of(store).query(("SELECT count(*) FROM pg_prepared_statements", ()))


class TestText:
    def test_text_sorts_by_bytes_whatever_the_collation_of_the_database(self, store: ExecutionStore) -> None:
        names = ["a", "B", "ä", "Z", "_", "aa", "A", "1"]
        with connected(url_of(store)) as connection:
            write_rows(connection, [row(name) for name in names])
            collated = connection.execute(
                "SELECT x FROM unnest(%s::text[]) AS x ORDER BY x", (names,)
            ).fetchall()

        if sorted(names) == [name for (name,) in collated]:
            pytest.skip("this build of PostgreSQL has no other collation")
        assert sorted(names) == ids(store.list_executions(oldest_first=True))
        assert "aa" == store.resolve_execution_id("aa")

    def test_what_is_asked_for_with_nul_is_nowhere(self, store: ExecutionStore) -> None:
        start(store, "e", title="a\0")

        assert store.get_execution("e\0") is None
        assert [] == store.list_executions_by_correlation("\0")
        assert [] == store.list_executions(ExecutionFilter(actor=("\0",))).items
        assert ["e"] == ids(store.list_executions(ExecutionFilter(actor=("!\0",))))
        assert ["e"] == ids(store.list_executions(ExecutionFilter(q="a\0")))

    @pytest.mark.parametrize(
        ("paths", "found"),
        [
            ('["src/a.py"]', True),
            (' [ "x" ,\n"src/a.py" ] ', True),
            ('["src\\/a.py"]', True),
            ('["\\ud83d\\ude42", "src/a.py"]', True),
            ('["\\\\ud83d", "src/a.py"]', True),
            ("[]", False),
            ('"src/a.py"', False),
            ('["src/a.py"', False),
            ('["src/a.py", 7]', False),
            ('["\\ud83d", "src/a.py"]', False),
            ('["\\u0000", "src/a.py"]', False),
            ('["tab\t", "src/a.py"]', False),
            ('{"a": "src/a.py"}', False),
        ],
    )
    def test_damaged_paths_fail_no_question(self, store: ExecutionStore, paths: str, found: bool) -> None:
        with connected(url_of(store)) as connection:
            write_rows(connection, [row("e", affected_paths=paths)])

        assert found == bool(store.list_executions(ExecutionFilter(path=("/src/*.py",))).items)
        assert found == bool(store.list_executions(ExecutionFilter(q="SRC/A")).items)

    def test_patterns_mean_on_the_server_what_they_mean_here(self, postgres_url: str) -> None:
        letters = st.sampled_from([*"ab/.*?[]!^-\\ #()|+$&~:{}\n", "ä", "🙂", "**", "[!", "[^", "a-c"])
        texts = st.lists(letters, max_size=8).map("".join)

        with connected(postgres_url) as connection:

            @given(pattern=texts, paths=st.lists(texts, min_size=1, max_size=8))
            def check(pattern: str, paths: list[str]) -> None:
                try:
                    expression = path_pattern(pattern)
                    here = re.compile(expression)
                except (InvalidFilter, re.error, FutureWarning):
                    return
                found = connection.execute(
                    'SELECT path COLLATE "C" ~ %s FROM unnest(%s::text[]) WITH ORDINALITY AS l(path, n) ORDER BY n',
                    (_server_pattern(expression), paths),
                ).fetchall()

                assert [bool(here.match(path)) for path in paths] == [matches for (matches,) in found]

            check()


def test_reading_and_writing_import_no_toolkit(tmp_path: Path, postgres_url: str) -> None:
    """On a database that is current, neither SQLAlchemy nor alembic is imported, nor what retries."""
    code = """
import sys
from executor.storage.store import ExecutionStore
with ExecutionStore(sys.argv[1], url=sys.argv[2]) as store:
    store.record_execution_start("e", "p", "c", "d", "s", "allow", "low", [], None)
    store.record_execution_end("e", "completed")
    store.list_executions()
    store.get_execution_lineage("e")
print([name for name in ("sqlalchemy", "alembic", "stamina", "pathspec") if name in sys.modules])
"""
    assert "[]\n" == run_python(code, str(tmp_path), postgres_url)
