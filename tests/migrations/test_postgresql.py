"""The same migrations on PostgreSQL: fresh, old and half-done databases, and what they do to others meanwhile."""

import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.operations import Operations
from psycopg.rows import dict_row
from sqlalchemy import Column, Text

from executor.errors import (
    DatabaseUnavailable,
    DowngradeBlocked,
    InvalidInput,
    InvalidSettings,
    MigrationFailed,
    SchemaOutdated,
    SchemaTooNew,
    TryAgain,
)
from executor.migrations import (
    MIGRATIONS,
    Loss,
    Migration,
    backup,
    check,
    ensure_current,
    get_current_version,
    is_current,
    layout,
    pending,
    postgresql,
    preview_rollback,
    rollback_migration,
    run_migrations,
    status,
    upgrade,
)
from executor.migrations.inspection import read_layout
from executor.migrations.postgresql import exclusive
from executor.schema import get_db_connection, init_executor_db, metadata
from executor.testing.postgres import find_binaries
from support.databases import NEWEST, ledger_of
from support.postgres import PostgresDatabases, connected, hurried, old_columns, values_of, wait_until

START = (
    "INSERT INTO executions (execution_id, plan_id, changeset_id, decision_id, checksum, verdict, status,"
    " started_at) VALUES (%s, 'plan_1', 'cs_1', 'dec_1', 'abc', 'allow', 'completed', %s)"
)


def whole(url: str) -> tuple[object, ...]:
    """Everything about a database that an upgrade could change."""
    with connected(url) as connection:
        ledger = ledger_of(connection) if get_current_version(connection) else []
        return read_layout(connection), ledger, values_of(url, {"executions": ["execution_id"]})


def assert_complete(url: str) -> None:
    assert [] == check(url)
    with connected(url) as connection:
        assert is_current(connection)
        assert NEWEST == get_current_version(connection) == len(ledger_of(connection))


class TestFresh:
    def test_a_fresh_database_is_complete(self, empty_postgres_url: str) -> None:
        """The text is run, every version recorded, nothing differs from the tables."""
        done = upgrade(empty_postgres_url)

        assert (0, NEWEST, tuple(range(1, NEWEST + 1))) == (done.from_version, done.to_version, done.applied)
        assert_complete(empty_postgres_url)

    def test_the_steps_and_the_schema_text_make_the_same_database(
        self, empty_postgres_url: str, postgres_url: str
    ) -> None:
        """Columns, types, collations, defaults, keys and indexes, and the order of the columns."""
        for version in range(NEWEST + 1):
            run_migrations(empty_postgres_url, version)

        with connected(empty_postgres_url) as stepwise, connected(postgres_url) as fresh:
            assert read_layout(fresh) == read_layout(stepwise)
            for table in metadata.tables:
                assert postgresql.columns_of(fresh, table) == postgresql.columns_of(stepwise, table)
            assert [row[:2] for row in ledger_of(fresh)] == [row[:2] for row in ledger_of(stepwise)]

    def test_ids_times_and_keys_sort_by_bytes(self, postgres_url: str) -> None:
        """Their collation is "C" in the catalogue; the database around them sorts otherwise where it can."""
        with connected(postgres_url) as connection:
            found = connection.execute(
                """SELECT c.relname, a.attname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
                JOIN pg_collation AS l ON l.oid = a.attcollation
                WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND l.collname = 'C'"""
            ).fetchall()
            for identity in ("b", "B", "a_1", "a-1", "ä"):
                connection.execute(START, (identity, "t"))
            ids = connection.execute("SELECT execution_id FROM executions ORDER BY execution_id").fetchall()
            # A server before 15 has no such column.
            (provider,) = connection.execute(
                "SELECT to_jsonb(d) ->> 'datlocprovider' FROM pg_database AS d WHERE datname = current_database()"
            ).fetchone() or ("",)
            titles = connection.execute("SELECT v FROM (VALUES ('B'), ('a')) AS t(v) ORDER BY v").fetchall()

        keys = {(table, column) for table, columns in layout.SORTED_BY_BYTES.items() for column in columns}
        assert keys == {*found} - {("schema_migrations", "applied_at")}
        assert ["B", "a-1", "a_1", "b", "ä"] == [identity for (identity,) in ids]
        if provider == "i":
            assert [("a",), ("B",)] == titles

    def test_times_of_the_server_are_written_as_on_sqlite(self, postgres_url: str) -> None:
        """UTC in whole seconds, whatever the zone of the session."""
        with connected(postgres_url) as connection:
            connection.execute("SET timezone = 'Asia/Kathmandu'")
            connection.execute("BEGIN")
            connection.execute(START, ("exec_1", "t"))
            (row,) = connection.execute(
                "SELECT created_at, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') FROM executions"
            ).fetchall()

        assert row[0] == row[1]

    def test_numbers_may_be_large(self, postgres_url: str) -> None:
        """Positions, counts and durations have eight bytes, as on SQLite."""
        with connected(postgres_url) as connection:
            connection.execute(
                "INSERT INTO execution_events (correlation_id, execution_id, seq, position, event, timestamp)"
                " VALUES ('c', 'e', 9223372036854775807, 9223372036854775807, 'x', 't')"
            )
            connection.execute(START, ("exec_1", "t"))
            connection.execute("UPDATE executions SET files_changed = 5000000000, duration_seconds = 0.1")

            assert [(5_000_000_000, 0.1)] == connection.execute(
                "SELECT files_changed, duration_seconds FROM executions"
            ).fetchall()

    def test_tables_of_others_stay_beside_ours(self, empty_postgres_url: str) -> None:
        """A database that is not empty gets our tables by the steps."""
        with connected(empty_postgres_url) as connection:
            connection.execute("CREATE TABLE customers (name text); INSERT INTO customers VALUES ('Zoë')")

            init_executor_db(connection)

            assert is_current(connection)
            assert [("Zoë",)] == connection.execute("SELECT name FROM customers").fetchall()

    def test_the_first_schema_of_the_search_path_is_ours(self, empty_postgres_url: str) -> None:
        """Two schemas of one database are two databases."""
        with connected(empty_postgres_url) as connection:
            connection.execute("CREATE SCHEMA \"Team A\"; SET search_path = 'Team A', public")
            run_migrations(connection)
            assert is_current(connection)
            connection.execute("SET search_path = public")

            assert not is_current(connection)
            assert NEWEST == run_migrations(connection)


class TestOld:
    @pytest.mark.parametrize("collated", [False, True], ids=["sorting as the database", "sorting by bytes"])
    @pytest.mark.parametrize("count", [0, 3, pytest.param(200_000, marks=pytest.mark.full)])
    def test_a_database_of_version_0_upgrades_with_every_old_value_identical(
        self, postgres: PostgresDatabases, count: int, collated: bool
    ) -> None:
        """Rows, the user's table and view stay; keys sort by bytes afterwards; old rows are manual."""
        url = postgres.version_0(count, collated=collated)
        values, columns = values_of(url), old_columns(url)

        assert NEWEST == run_migrations(url)

        assert_complete(url) if collated else None
        assert [] == [found for found in check(url) if found.harmful]
        assert values == values_of(url, columns)
        with connected(url) as connection:
            assert is_current(connection)
            assert {("manual", None)} >= set(
                connection.execute("SELECT trigger_kind, correlation_id FROM executions")
            )
            connection.execute(START, ("exec_by_old_program", "t"))
            with pytest.raises(psycopg.errors.ForeignKeyViolation):
                connection.execute("INSERT INTO notes (about) VALUES ('nobody')")

    def test_a_second_upgrade_changes_nothing(self, postgres_url: str) -> None:
        """Not even a time of application."""
        before = whole(postgres_url)

        assert 0 == run_migrations(postgres_url)
        assert not upgrade(postgres_url).completed
        assert before == whole(postgres_url)

    def test_time_outs_of_the_database_do_not_end_it(
        self, postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of a statement, of a transaction and of one that waits for its client."""
        url = hurried(postgres, postgres.version_0(50))

        def linger(op: Operations) -> None:
            op.execute("SELECT pg_sleep(0.3)")
            with connected(postgres.url) as other:
                other.execute("SELECT pg_sleep(0.3)")

        slow = Migration(NEWEST + 1, "takes its time", linger, linger)
        monkeypatch.setattr("executor.migrations.MIGRATIONS", (*MIGRATIONS, slow))

        assert NEWEST + 1 == run_migrations(url)

    def test_an_upgrade_can_stop_at_any_version(self, postgres: PostgresDatabases) -> None:
        """Also with rows, when indexes are built outside the transaction; each version is complete then."""
        url = postgres.version_0(50, collated=True)
        for version in range(1, NEWEST + 1):
            assert 1 == run_migrations(url, version)
            assert [] == check(url)
            assert [*range(version + 1, NEWEST + 1)] == [migration.version for migration in pending(url)]

    @pytest.mark.parametrize(
        "damage",
        [
            "DROP INDEX idx_executions_run_id",
            "DROP INDEX idx_executions_status; CREATE INDEX idx_executions_status ON executions (branch)",
            "DROP TABLE plans",
            "ALTER TABLE executions DROP COLUMN run_id",
            'ALTER TABLE executions ALTER COLUMN correlation_id TYPE text COLLATE "default"',
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_executions_verdict'::regclass",
            "DELETE FROM schema_migrations WHERE version = 3",
        ],
    )
    @pytest.mark.parametrize("rows", [0, 5])
    def test_what_is_missing_is_completed(self, postgres_url: str, damage: str, rows: int) -> None:
        """A table, column, index, collation or record that is gone comes back; the check knew it was gone."""
        with connected(postgres_url) as connection:
            for number in range(rows):
                connection.execute(START, (f"exec_{number}", "t"))
            connection.execute(damage.encode())

            assert not is_current(connection)
        assert any(found.kind != "extra_column" for found in check(postgres_url))

        done = upgrade(postgres_url)

        assert done.completed or (3,) == done.applied
        assert_complete(postgres_url)

    def test_a_table_with_a_name_of_ours_stops_the_upgrade(self, empty_postgres_url: str) -> None:
        """It is not filled, extended or replaced; the error names it; nothing has changed."""
        with connected(empty_postgres_url) as connection:
            connection.execute("CREATE TABLE plans (day text)")

            with pytest.raises(MigrationFailed, match=r"nothing was changed.*table plans .*plan_id"):
                run_migrations(connection)

            assert ["plans"] == [*read_layout(connection).tables]


class TestCallers:
    def test_a_connection_of_the_callers_own_stays_as_it_was(self, empty_postgres_url: str) -> None:
        """A plain psycopg connection is enough, whatever rows it gives; it is idle afterwards."""
        with psycopg.connect(empty_postgres_url, row_factory=dict_row, prepare_threshold=3) as connection:
            connection.execute("SET statement_timeout = 7000")
            connection.commit()

            assert 0 == get_current_version(connection)
            assert NEWEST == run_migrations(connection)
            assert is_current(connection)
            assert f"127.0.0.1:{connection.info.port}/{connection.info.dbname}" in status(connection).database

            assert psycopg.pq.TransactionStatus.IDLE == connection.info.transaction_status
            assert (False, 3, dict_row) == (
                connection.autocommit,
                connection.prepare_threshold,
                connection.row_factory,
            )
            assert {"statement_timeout": "7s"} == connection.execute("SHOW statement_timeout").fetchone()

    def test_settings_come_back_after_work_outside_a_transaction(self, postgres: PostgresDatabases) -> None:
        """Time-outs are off while indexes are built, and the caller's again when they are."""
        with connected(postgres.version_0(20)) as connection:
            connection.execute("SET statement_timeout = 7000; SET client_connection_check_interval = 5000")

            assert NEWEST == run_migrations(connection)

            assert [("7s", "5s")] == connection.execute(
                "SELECT current_setting('statement_timeout'), current_setting('client_connection_check_interval')"
            ).fetchall()

    def test_a_connection_inside_a_transaction_is_refused(self, empty_postgres_url: str) -> None:
        """The caller's transaction is neither committed nor rolled back; looking is possible."""
        with psycopg.connect(empty_postgres_url) as connection:
            connection.execute("CREATE TABLE customers (name text)")

            with pytest.raises(InvalidInput, match="open transaction; commit or roll it back"):
                run_migrations(connection)

            assert 0 == get_current_version(connection)
            assert psycopg.pq.TransactionStatus.INTRANS == connection.info.transaction_status
            connection.commit()
            assert NEWEST == run_migrations(connection)

    def test_what_is_no_connection_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="sqlite3 or psycopg"):
            run_migrations(object())  # type: ignore[arg-type]

    def test_init_and_get_connection_work_together(self, empty_postgres_url: str) -> None:
        """The two documented entry points: make a database, open it, read rows by name."""
        init_executor_db(empty_postgres_url)
        with get_db_connection(empty_postgres_url) as connection:
            connection.execute(START, ("exec_1", "t"))

            assert "exec_1" == connection.execute("SELECT * FROM executions").fetchone()["execution_id"]

    def test_an_older_database_may_be_refused(self, postgres: PostgresDatabases) -> None:
        """With `migrate=False` nothing is changed."""
        url = postgres.version_0(3)
        before = whole(url)

        with pytest.raises(SchemaOutdated, match="executor db upgrade"):
            ensure_current(url, migrate=False)

        assert before == whole(url)
        ensure_current(url)
        ensure_current(url, migrate=False)

    def test_a_backup_names_the_command_that_makes_one(
        self, postgres: PostgresDatabases, tmp_path: Path
    ) -> None:
        """It can be run as it is printed, and what it wrote is restored into an empty database, complete."""
        url, restored = postgres.version_0(30, collated=True), postgres.empty()
        run_migrations(url)
        with pytest.raises(InvalidSettings, match="pg_dump --format=custom") as refusal:
            backup(url, tmp_path / "x.dump")

        if postgres.server is None or not (find_binaries() / "pg_dump").exists():
            return
        program, *arguments = shlex.split(str(refusal.value).partition("does it: ")[2])
        subprocess.run([find_binaries() / program, *arguments], check=True)
        subprocess.run(
            [find_binaries() / "pg_restore", "--exit-on-error", f"--dbname={restored}", tmp_path / "x.dump"],
            check=True,
        )

        assert_complete(restored)
        assert values_of(url) == values_of(restored)


def fail_late(op: Operations) -> None:
    op.add_column("executions", Column("half", Text))
    op.execute("DELETE FROM executions")
    raise RuntimeError("out of ideas")


class TestFailures:
    def test_a_step_that_raises_leaves_a_small_database_as_it_was(
        self, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All in one transaction: the error names the step and the reason."""
        broken = Migration(NEWEST + 1, "never works", fail_late, fail_late)
        monkeypatch.setattr("executor.migrations.MIGRATIONS", (*MIGRATIONS, broken))
        before = whole(postgres_url)

        with pytest.raises(MigrationFailed, match=r"never works\) failed, nothing was changed: out of ideas"):
            run_migrations(postgres_url)

        assert before == whole(postgres_url)

    def test_a_step_that_raises_after_indexes_were_built_keeps_what_is_complete(
        self, postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The error says which version stays; the step itself left nothing; the next upgrade goes on."""
        url = postgres.version_0(20)
        values, columns = values_of(url), old_columns(url)
        broken = Migration(4, "never works", fail_late, fail_late)
        with monkeypatch.context() as patch:
            patch.setattr("executor.migrations.MIGRATIONS", (*MIGRATIONS[:3], broken, *MIGRATIONS[4:]))
            with pytest.raises(MigrationFailed, match=r"failed, it stays at version (\d)") as failure:
                run_migrations(url)

        with connected(url) as connection:
            assert failure.value.kept == get_current_version(connection)
            assert "half" not in postgresql.columns_of(connection, "executions")
        assert values == values_of(url, columns)
        assert NEWEST - (failure.value.kept or 0) == run_migrations(url)
        assert [] == [found for found in check(url) if found.harmful]

    def test_a_newer_database_is_left_alone(self, postgres_url: str) -> None:
        """Every door says which executor is needed."""
        with connected(postgres_url) as connection:
            connection.execute("INSERT INTO schema_migrations VALUES (99, 'from the future', 't')")
        before = whole(postgres_url)

        doors: tuple[Callable[[str], object], ...] = (
            run_migrations,
            ensure_current,
            status,
            check,
            pending,
            rollback_migration,
        )
        for door in doors:
            with pytest.raises(SchemaTooNew, match="version 99"):
                door(postgres_url)

        assert before == whole(postgres_url)

    def test_a_read_only_database_is_refused(self, postgres: PostgresDatabases) -> None:
        """A standby, or a server that was told so: the error says it, a current database can be used."""
        url = postgres.version_0(3)
        with connected(url) as connection:
            connection.execute("SET default_transaction_read_only = on")

            with pytest.raises(DatabaseUnavailable, match="read-only"):
                run_migrations(connection)
            assert 0 == get_current_version(connection)

    def test_a_user_who_may_create_nothing_is_told(self, postgres: PostgresDatabases) -> None:
        """Nothing but a grant is missing."""
        url = postgres.empty()
        with connected(url) as connection:
            connection.execute("CREATE ROLE guest; REVOKE ALL ON SCHEMA public FROM public")
            connection.execute("GRANT USAGE ON SCHEMA public TO guest; SET ROLE guest")
            try:
                with pytest.raises(DatabaseUnavailable, match=r"permission denied.*GRANT"):
                    run_migrations(connection)
            finally:
                connection.execute("RESET ROLE; DROP OWNED BY guest; DROP ROLE guest")

    def test_somebody_who_never_ends_makes_it_a_try_again(self, postgres_url: str) -> None:
        """Another migration, or a transaction in our tables; nothing stays locked afterwards."""
        with connected(postgres_url) as other, connected(postgres_url) as connection:
            with (
                exclusive(other, "other"),
                pytest.raises(TryAgain, match="another process upgrades it"),
                exclusive(connection, "the database", wait=0),
            ):
                pass
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM executions")
            with (
                pytest.raises(TryAgain, match="a long transaction uses its tables"),
                exclusive(connection, "the database", wait=0),
            ):
                pass
            other.execute("COMMIT")
            with exclusive(connection, "the database", wait=0):
                pass
            assert [] == locks_of(connection)


def locks_of(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT locktype FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    ).fetchall()


class TestPooler:
    @pytest.fixture(autouse=True)
    def pooled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(postgresql, "is_pooled", lambda connection: True)

    def test_a_new_database_can_be_made_through_a_pooler(self, empty_postgres_url: str) -> None:
        """One transaction does not care; no lock of a session is left behind."""
        with connected(empty_postgres_url) as connection:
            assert NEWEST == run_migrations(connection)
            assert [] == locks_of(connection)

    def test_a_large_upgrade_through_a_pooler_asks_for_the_server(self, postgres: PostgresDatabases) -> None:
        """Before anything was changed."""
        url = postgres.version_0(3)
        before = whole(url)

        with pytest.raises(DatabaseUnavailable, match="EXECUTOR_DATABASE_DIRECT_URL"):
            run_migrations(url)

        assert before == whole(url)

    def test_the_direct_url_is_taken_for_migrations(
        self, postgres: PostgresDatabases, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The other URL leads nowhere here."""
        pooler = "postgresql://ann@127.0.0.1:1/work"
        monkeypatch.setenv("EXECUTOR_DATABASE_URL", pooler)
        monkeypatch.setenv("EXECUTOR_DATABASE_DIRECT_URL", postgres.empty())

        assert NEWEST == run_migrations(pooler)
        assert (NEWEST, pooler) == (status(pooler).current, status(pooler).database)


class TestOthers:
    @pytest.fixture
    def running(self) -> Iterator[Callable[[Callable[[], object]], threading.Thread]]:
        threads: list[threading.Thread] = []

        def start(work: Callable[[], object]) -> threading.Thread:
            threads.append(threading.Thread(target=work))
            threads[-1].start()
            return threads[-1]

        yield start
        for thread in threads:
            thread.join(60)

    def test_others_read_and_write_while_an_index_is_built(
        self, postgres: PostgresDatabases, running: Callable[..., threading.Thread]
    ) -> None:
        """The building waits for an old transaction; others do not wait for the building."""
        url = postgres.version_0(200, collated=True)
        with connected(url) as old, connected(url) as reader:
            # A snapshot in which rows are older than the index: the server waits for it to be given up.
            old.execute("CREATE TABLE unrelated (n integer)")
            old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            old.execute("SELECT count(*) FROM unrelated")
            upgrading = running(lambda: run_migrations(url))
            wait_until(reader, "SELECT EXISTS (SELECT FROM pg_stat_progress_create_index)")
            reader.execute("SET lock_timeout = '10s'")

            assert [(200,)] == reader.execute("SELECT count(*) FROM executions").fetchall()
            reader.execute(START, ("exec_meanwhile", "t"))
            reader.execute("UPDATE executions SET status = 'failed' WHERE execution_id = 'exec_meanwhile'")

            assert upgrading.is_alive()
            old.execute("COMMIT")
            upgrading.join(60)
            assert is_current(reader)
            assert [(201,)] == reader.execute("SELECT count(*) FROM executions").fetchall()

    def test_an_upgrade_that_waits_for_a_reader_lets_other_readers_through(
        self, postgres: PostgresDatabases, running: Callable[..., threading.Thread]
    ) -> None:
        """Somebody reads for long; those who come after the upgrade has begun to wait are served nevertheless."""
        url = postgres.version_0(5)
        with connected(url) as long, connected(url) as reader:
            long.execute("BEGIN")
            long.execute("SELECT count(*) FROM executions")
            upgrading = running(lambda: run_migrations(url))
            wait_until(
                reader,
                "SELECT EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted)",
            )
            reader.execute("SET lock_timeout = '10s'")
            for _ in range(5):
                assert [(5,)] == reader.execute("SELECT count(*) FROM executions").fetchall()

            assert upgrading.is_alive()
            long.execute("COMMIT")
            upgrading.join(60)
            assert is_current(reader)

    def test_a_server_connection_may_be_ended_while_it_builds_an_index(
        self, postgres: PostgresDatabases, running: Callable[..., threading.Thread]
    ) -> None:
        """The error says try again, the check names the index that is of no use, and the next upgrade drops and
        builds it anew."""
        url = postgres.version_0(200, collated=True)
        values, columns = values_of(url), old_columns(url)
        errors: list[BaseException] = []

        def run() -> None:
            try:
                run_migrations(url)
            except TryAgain as error:
                errors.append(error)

        with connected(url) as old, connected(url) as other:
            old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            old.execute("SELECT count(*) FROM notes")
            upgrading = running(run)
            wait_until(other, "SELECT EXISTS (SELECT FROM pg_index WHERE NOT indisvalid)")
            wait_until(
                other, "SELECT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%')"
            )
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index")
            upgrading.join(60)
            old.execute("COMMIT")

        assert 1 == len(errors)
        assert {"invalid_index"} <= {found.kind for found in check(url)}
        run_migrations(url)
        assert [] == check(url)
        assert not not_valid(url)
        assert values == values_of(url, columns)


def not_valid(url: str) -> list[tuple[Any, ...]]:
    with connected(url) as connection:
        return connection.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
        ).fetchall()


class TestDowngrade:
    def test_down_and_up_again_keeps_all_rows(self, postgres: PostgresDatabases) -> None:
        """To each version, which is complete then; every old value is identical both times."""
        url = postgres.version_0(50, collated=True)
        values, columns = values_of(url), old_columns(url)
        run_migrations(url)
        for target in reversed(range(NEWEST)):
            done = rollback_migration(url, target)

            assert (target + 1, target, None) == (done.from_version, done.to_version, done.copy)
            assert [] == check(url)
        assert values == values_of(url)
        assert old_columns(url) == columns
        assert NEWEST == run_migrations(url)
        assert values == values_of(url, columns)

    def test_it_says_what_is_lost_and_that_there_is_no_copy(self, postgres_url: str) -> None:
        """Preview and deed name the same losses, and both the command that saves them first."""
        with connected(postgres_url) as connection:
            connection.execute(START, ("exec_1", "t"))
            connection.execute("UPDATE executions SET title = 'x', trigger_kind = 'retry'")
            connection.execute("INSERT INTO plans VALUES ('p', 'c', '{}', 't')")

        preview = preview_rollback(postgres_url)
        done = rollback_migration(postgres_url)

        lost = {Loss("executions", "title", 1), Loss("executions", "trigger_kind", 1), Loss("plans", None, 1)}
        assert lost == set(preview.losses) == set(done.losses)
        assert "pg_dump" in preview.advice

    @pytest.mark.parametrize(
        ("own", "named"),
        [
            ("CREATE VIEW mine AS SELECT title FROM executions", "view mine: .*title"),
            ("CREATE VIEW mine AS SELECT document FROM plans", "view mine: .*plans"),
            ("CREATE INDEX mine ON executions (lower(branch))", "index mine: .*would go"),
            ("CREATE INDEX mine ON changesets (created_at)", "index mine: .*would go"),
            ("ALTER TABLE executions ADD CONSTRAINT mine CHECK (attempt > 0)", "constraint mine: .*would go"),
            (
                'CREATE TABLE mine (plan text COLLATE "C", chain text COLLATE "C",'
                " CONSTRAINT mine_fk FOREIGN KEY (plan, chain) REFERENCES plans (plan_id, correlation_id))",
                "constraint mine_fk",
            ),
            (
                "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
                "CREATE TRIGGER mine AFTER DELETE ON plans FOR EACH ROW EXECUTE FUNCTION f()",
                "trigger mine: .*would go",
            ),
        ],
    )
    def test_what_the_users_own_objects_need_is_not_taken_away(
        self, postgres_url: str, own: str, named: str
    ) -> None:
        """It is named, and nothing has changed."""
        with connected(postgres_url) as connection:
            connection.execute(own.encode())
        before = whole(postgres_url)

        with pytest.raises(DowngradeBlocked, match=named):
            rollback_migration(postgres_url)

        assert before == whole(postgres_url)
