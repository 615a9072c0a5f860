"""PostgreSQL databases for tests: one server for a process of the test run, a database for a test.

A pytest plugin, which `conftest.py` loads. Without any PostgreSQL the tests are skipped with the sentence that
says how to get one, and fail with it where CI=true.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from executor.migrations import run_migrations
from executor.migrations.postgresql import columns_of
from executor.testing.postgres import URL_VARIABLE, PostgresMissing, PostgresServer
from support.databases import KEPT
from support.phases import skip_phase

OLD_TABLES = ("executions", "execution_steps", "notes")


class PostgresDatabases:
    """Makes databases on a server and drops them."""

    def __init__(self, url: str, server: PostgresServer | None = None) -> None:
        self.url = url
        self.server = server
        self._prefix = f"executor_test_{secrets.token_hex(4)}"
        self._count = 0
        self._template: str | None = None

    def url_of(self, name: str) -> str:
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def empty(self) -> str:
        """The URL of a new database."""
        return self._make("template0")

    def current(self) -> str:
        """The URL of a new database with the newest schema."""
        if self._template is None:
            url = self.empty()
            run_migrations(url)
            self._template = name_in(url)
        return self._make(self._template)

    def version_0(self, count: int, *, collated: bool = False) -> str:
        """The URL of a new database of version 0, with a table and a view of the user's, and `count` executions.

        Its text sorts as the database does; with `collated` by bytes, as the base step has it.
        """
        url = self.empty()
        with connected(url) as connection:
            if collated:
                run_migrations(connection, 0)
                connection.execute("DROP TABLE schema_migrations")
                connection.execute("CREATE TABLE notes (author TEXT, about TEXT REFERENCES executions)")
            else:
                connection.execute((KEPT / "postgresql_version_0.sql").read_bytes())
            fill(connection, count)
        return url

    def drop(self, url: str) -> None:
        with connected(self.url) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name_in(url)} WITH (FORCE)".encode())

    def close(self) -> None:
        for number in range(self._count):
            with suppress(psycopg.Error):
                self.drop(self.url_of(f"{self._prefix}_{number}"))

    def _make(self, template: str) -> str:
        name = f"{self._prefix}_{self._count}"
        self._count += 1
        with connected(self.url) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return self.url_of(name)


def hurried(databases: PostgresDatabases, url: str) -> str:
    """Gives the database time-outs of 0.2 s, and its URL back."""
    with connected(databases.url) as connection:
        for (name,) in connection.execute(
            "SELECT name FROM pg_settings WHERE name IN"
            " ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')"
        ).fetchall():
            connection.execute(f"ALTER DATABASE {name_in(url)} SET {name} = '200ms'".encode())
    return url


def connected(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    """In autocommit mode; a `with` block closes it."""
    return psycopg.connect(url, autocommit=True)


def name_in(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def fill(connection: psycopg.Connection[Any], count: int) -> None:
    """Adds executions with steps and notes, some values missing, some odd."""
    connection.execute(
        """INSERT INTO executions (execution_id, plan_id, changeset_id, decision_id, checksum, verdict, status,
            risk_level, affected_paths, started_at, duration_seconds, error_message)
        SELECT CASE WHEN n %% 2 = 0 THEN 'exec_' ELSE 'Exec-' END || n, 'plan_' || n %% 97, 'cs_' || n %% 89,
            'dec_' || n, md5(n::text), (ARRAY['allow', 'deny', 'need_approval'])[n %% 3 + 1],
            (ARRAY['completed', 'failed', 'rolled_back', 'pending'])[n %% 4 + 1],
            (ARRAY[NULL, 'low', 'high'])[n %% 3 + 1], '["src/größe_' || n || '.py"]',
            to_char(timestamp '2024-01-01' + n * interval '1.5 s', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            CASE WHEN n %% 7 > 0 THEN n / 3.0 END,
            CASE WHEN n %% 5 = 0 THEN 'Zeile 1' || chr(10) || chr(9) || chr(1) || chr(65039) || chr(127881) END
        FROM generate_series(0, %s::integer - 1) AS n""",
        (count,),
    )
    connection.execute(
        """INSERT INTO execution_steps (execution_id, step_num, step_name, status, started_at)
        SELECT execution_id, 1, 'apply', 'completed', started_at FROM executions WHERE files_changed = 0
        ORDER BY execution_id COLLATE "C" LIMIT %s""",
        (count // 10,),
    )
    connection.execute(
        "INSERT INTO notes (author, about) SELECT 'me', execution_id FROM executions ORDER BY started_at LIMIT 3"
    )


def values_of(url: str, columns: dict[str, list[str]] | None = None) -> dict[str, tuple[int, str]]:
    """Table to number and digest of the rows of version 0; `columns` are those that count, by default all."""
    found = {}
    with connected(url) as connection:
        for table in columns or OLD_TABLES:
            counted = ", ".join(columns[table] if columns else columns_of(connection, table))
            ((number, digest),) = connection.execute(
                f"""SELECT count(*), md5(coalesce(string_agg(row_text, chr(10) ORDER BY row_text COLLATE "C"), ''))
                FROM (SELECT ROW({counted})::text AS row_text FROM {table}) AS rows""".encode()
            ).fetchall()
            found[table] = number, digest
    return found


def old_columns(url: str) -> dict[str, list[str]]:
    with connected(url) as connection:
        return {table: columns_of(connection, table) for table in OLD_TABLES}


def wait_until(connection: psycopg.Connection[Any], question: str) -> None:
    """Asks until the answer is true."""
    for _ in range(6_000):
        if connection.execute(question.encode()).fetchone() == (True,):
            return
        connection.execute("SELECT pg_sleep(0.01)")
    raise AssertionError(f"never: {question}")


def new_server() -> PostgresServer:
    """One that is not started yet. Without any PostgreSQL the test is skipped, and in CI fails."""
    try:
        return PostgresServer()
    except PostgresMissing as missing:
        skip_phase(str(missing))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresDatabases]:
    """A server; started at the first test that wants one, gone with the process."""
    named = os.environ.get(URL_VARIABLE)
    if named:
        databases = PostgresDatabases(named)
        yield databases
        databases.close()
        return
    with new_server() as server:
        yield PostgresDatabases(server.url, server)


@pytest.fixture
def postgres_url(postgres: PostgresDatabases) -> Iterator[str]:
    """A database with the newest schema."""
    url = postgres.current()
    yield url
    postgres.drop(url)


@pytest.fixture
def empty_postgres_url(postgres: PostgresDatabases) -> Iterator[str]:
    """A database with nothing in it."""
    url = postgres.empty()
    yield url
    postgres.drop(url)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m postgres` chooses, and `-m "not postgres"` leaves out, what needs the server."""
    for item in items:
        if "postgres" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.postgres)
