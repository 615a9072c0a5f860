"""Opening a PostgreSQL database, and what its errors mean."""

import socket
import sys
import threading

import psycopg
import pytest

from executor.errors import (
    DatabaseDamaged,
    DatabaseUnavailable,
    ExecutorError,
    InvalidSettings,
    TryAgain,
)
from executor.migrations import DatabaseTarget, ensure_current, status
from executor.migrations.server import (
    connect,
    connect_error,
    connection_options,
    database_error,
    is_disconnected,
    is_pooled,
    name_of,
    was_undone,
)
from support.postgres import PostgresDatabases, connected, name_in


class TestConnect:
    def test_connections_commit_by_themselves_and_speak_utf_8(self, postgres_url: str) -> None:
        """Rows are tuples; the server sees who it is."""
        with connect(postgres_url) as connection:
            assert connection.autocommit
            assert [("UTF8", "executor", "ü")] == connection.execute(
                "SELECT current_setting('client_encoding'), current_setting('application_name'), %s::text",
                ("ü",),
            ).fetchall()
            assert not is_pooled(connection)
            assert DatabaseTarget.parse(postgres_url).name == name_of(connection)

    def test_what_the_url_says_wins(self) -> None:
        """Time-outs have defaults; the URL and the variable of libpq change them."""
        target = DatabaseTarget.parse("postgresql://h/d?connect_timeout=3&application_name=mine")

        given = connection_options(target, environ={})
        alone = connection_options(DatabaseTarget.parse("postgresql://h/d"), environ={})
        by_variable = connection_options(
            DatabaseTarget.parse("postgresql://h/d"), environ={"PGCONNECT_TIMEOUT": "3"}
        )

        assert ("10", "executor") == (alone["connect_timeout"], alone["fallback_application_name"])
        assert "connect_timeout" not in given
        assert "connect_timeout" not in by_variable

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (("executor@", "nobody:hunter2@"), "user or password.*nobody"),
            (("/postgres", "/nowhere"), "nowhere does not exist; make it"),
            (("127.0.0.1", "nowhere.invalid"), "cannot be reached; check that the server runs"),
            (
                ("/postgres", "/postgres?service=hunter"),
                "no connection; correct the URL or what it names.*service",
            ),
            (("/postgres", "/postgres?sslmode=require"), "no encrypted connection; correct sslmode"),
            (
                ("/postgres", "/postgres?options=-cnothing%3D1"),
                "refused the connection; correct the URL.*nothing",
            ),
        ],
    )
    def test_who_or_what_is_wrong_is_named(
        self, postgres: PostgresDatabases, change: tuple[str, str], said: str
    ) -> None:
        """With what to do about it, and never with a password."""
        with pytest.raises(DatabaseUnavailable, match=said) as refusal:
            ensure_current(postgres.url_of("postgres").replace(*change))

        assert "hunter2" not in str(refusal.value)

    def test_a_server_that_does_not_run_is_named(self) -> None:
        """Nothing listens there."""
        with pytest.raises(DatabaseUnavailable, match=r"ann@127.0.0.1:1/work cannot be reached") as refusal:
            status("postgresql://ann:hunter2@127.0.0.1:1/work")

        assert "hunter2" not in str(refusal.value)

    @pytest.mark.parametrize("url", ["postgresql://h/d?hunter2=1", "postgresql://ann:hunter%zz2@h/d"])
    def test_what_the_driver_cannot_read_is_not_repeated(self, url: str) -> None:
        """Its own message quotes the URL; neither it nor its cause is shown."""
        with pytest.raises(InvalidSettings, match=r"option|%25") as refusal:
            connect(url)

        assert "hunter" not in str(refusal.value)
        assert refusal.value.__suppress_context__

    def test_a_path_is_no_server(self) -> None:
        with pytest.raises(InvalidSettings, match="postgresql://user@host"):
            connect("executor.db")

    def test_without_the_driver_the_command_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The driver is an extra."""
        monkeypatch.setitem(sys.modules, "psycopg", None)

        with pytest.raises(DatabaseUnavailable, match=r"pip install 'executor-graph\[postgresql\]'"):
            status("postgresql://h/d")

    def test_a_user_who_may_not_connect_is_told_by_the_server(self, postgres: PostgresDatabases) -> None:
        """Whatever its words are, in whatever language."""
        url = postgres.empty()
        with connected(postgres.url) as administrator:
            administrator.execute(f"REVOKE CONNECT ON DATABASE {name_in(url)} FROM public".encode())
            administrator.execute("CREATE ROLE stranger LOGIN")
            try:
                with pytest.raises(
                    DatabaseUnavailable, match=r"let the user in .permission denied for database"
                ):
                    connect(url.replace("executor@", "stranger@"))
            finally:
                administrator.execute("DROP ROLE stranger")

    def test_a_server_that_hangs_up_is_a_try_again(self) -> None:
        """As one does that is being stopped."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            hanging_up = threading.Thread(target=lambda: server.accept()[0].close())
            hanging_up.start()
            with pytest.raises(TryAgain, match="was lost; try again"):
                connect(f"postgresql://executor@127.0.0.1:{server.getsockname()[1]}/work?sslmode=disable")
            hanging_up.join()

    def test_a_missing_password_is_asked_for(self) -> None:
        cause = psycopg.OperationalError("connection failed: fe_sendauth: no password supplied")

        error = connect_error(cause, "the database")

        assert isinstance(error, DatabaseUnavailable)
        assert "PGPASSWORD" in str(error)

    def test_a_new_database_has_to_hold_all_text(self, postgres: PostgresDatabases) -> None:
        """Refused before anything is made; one that has our tables stays usable."""
        with connected(postgres.url) as administrator:
            administrator.execute(
                "CREATE DATABASE western TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc"
            )
        try:
            with pytest.raises(DatabaseUnavailable, match=r"encoded in LATIN1.*createdb"):
                ensure_current(postgres.url_of("western"))
            with connected(postgres.url_of("western")) as connection:
                assert [(0,)] == connection.execute(
                    "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
                ).fetchall()
        finally:
            postgres.drop(postgres.url_of("western"))

    def test_an_old_server_is_refused(self, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error says which version is needed."""
        monkeypatch.setattr("executor.migrations.server.OLDEST_SERVER", 990_000)

        with pytest.raises(DatabaseUnavailable, match="needs 14 or newer"):
            connect(postgres_url)

    def test_a_server_without_a_free_connection_is_a_try_again(self, postgres: PostgresDatabases) -> None:
        """There is no SQLSTATE for a connection that did not come about, only the server's words."""
        url = postgres.empty()
        with connected(postgres.url) as administrator:
            administrator.execute("CREATE ROLE one LOGIN CONNECTION LIMIT 0")
            try:
                with pytest.raises(TryAgain, match="too many connections"):
                    connect(url.replace("executor@", "one@"))
            finally:
                administrator.execute("DROP ROLE one")


class TestErrors:
    @pytest.mark.parametrize(
        ("state", "kind", "said"),
        [
            ("53100", DatabaseUnavailable, "disk of the server is full"),
            ("53200", DatabaseUnavailable, "memory"),
            ("53400", DatabaseUnavailable, "used up a resource"),
            ("22P05", DatabaseUnavailable, "UTF8"),
            ("25006", DatabaseUnavailable, "read-only"),
            ("26000", DatabaseUnavailable, "PREPARE_THRESHOLD=never"),
            ("42P05", DatabaseUnavailable, "PREPARE_THRESHOLD=never"),
            ("28P01", DatabaseUnavailable, "user or password"),
            ("3D000", DatabaseUnavailable, "createdb"),
            ("42501", DatabaseUnavailable, "GRANT"),
            ("57P04", DatabaseUnavailable, "dropped"),
            ("58030", DatabaseUnavailable, "read or write"),
            ("XX001", DatabaseDamaged, "damaged"),
            ("40001", TryAgain, "busy"),
            ("40P01", TryAgain, "busy"),
            ("55P03", TryAgain, "busy"),
            ("53300", TryAgain, "no free connection"),
            ("57014", TryAgain, "raise statement_timeout (in its words)"),
            ("57P01", TryAgain, "lost"),
            ("08006", TryAgain, "lost"),
        ],
    )
    def test_each_state_means_one_thing(
        self, postgres_url: str, state: str, kind: type[ExecutorError], said: str
    ) -> None:
        """Raised by the server: the error names the database, the remedy and the server's words."""
        with connected(postgres_url) as connection:
            with pytest.raises(psycopg.Error) as raised:
                connection.execute(
                    f"DO $$ BEGIN RAISE EXCEPTION 'in its words' USING ERRCODE = '{state}'; END $$".encode()
                )
            error = database_error(raised.value, "the database")

        assert isinstance(error, kind)
        assert said in str(error)
        assert "the database" in str(error)
        assert was_undone(raised.value) == (state in ("40001", "40P01", "55P03"))

    @pytest.mark.parametrize(
        "statement",
        ["SELECT 1/0", "SELECT nothing", "INSERT INTO schema_migrations VALUES (1, 'again', 't')"],
    )
    def test_an_error_of_a_statement_says_nothing_about_the_database(
        self, postgres_url: str, statement: str
    ) -> None:
        """It stays what it is."""
        with connected(postgres_url) as connection:
            with pytest.raises(psycopg.Error) as raised:
                connection.execute(statement.encode())

            assert database_error(raised.value, "the database") is None
            assert not is_disconnected(raised.value)

    def test_a_lost_connection_is_a_try_again(self, postgres_url: str) -> None:
        """At the statement that is cut off and at the next; nobody claims that a transaction was undone."""
        with connected(postgres_url) as connection, connected(postgres_url) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
            for _ in range(2):
                with pytest.raises(psycopg.Error) as raised:
                    connection.execute("SELECT 1")

                assert isinstance(database_error(raised.value, "the database"), TryAgain)
                assert is_disconnected(raised.value)
                assert not was_undone(raised.value)

    def test_a_statement_prepared_before_an_upgrade_is_a_try_again(self, postgres_url: str) -> None:
        """Its result has other columns now."""
        with connected(postgres_url) as connection, connected(postgres_url) as other:
            connection.execute("SELECT * FROM plans", prepare=True)
            other.execute("ALTER TABLE plans ADD COLUMN more text")
            with pytest.raises(psycopg.errors.FeatureNotSupported) as raised:
                connection.execute("SELECT * FROM plans", prepare=True)

            assert isinstance(database_error(raised.value, "the database"), TryAgain)
