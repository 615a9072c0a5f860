"""Statements that go to PostgreSQL in one exchange answer as they would one by one."""

from collections.abc import Iterator

import psycopg
import pytest

from executor.storage.together import send_together
from support.postgres import connected

pytestmark = pytest.mark.postgres


@pytest.fixture
def connection(postgres_url: str) -> Iterator[psycopg.Connection]:
    with connected(postgres_url) as connection:
        yield connection


def test_every_kind_of_value_goes_there_and_back(connection: psycopg.Connection) -> None:
    values = ("ü ' \\ %s $1", None, 7, -0.25, b"\0\xff", "")
    casts = ("TEXT", "TEXT", "BIGINT", "DOUBLE PRECISION", "BYTEA", "TEXT")
    text = "SELECT " + ", ".join(f"%s::{cast}" for cast in casts) + ", '100 %%', 1 <> 0"

    _, answer = send_together(connection, [("BEGIN", ()), (text, values)])

    assert [(*values, "100 %", True)] == answer.fetchall()


def test_a_text_with_nul_equals_nothing(connection: psycopg.Connection) -> None:
    (answer,) = send_together(connection, [("SELECT %s::TEXT = %s::TEXT", ("a\0", "a\0"))])

    assert (None,) == answer.fetchone()
    assert answer.fetchone() is None


def test_rows_that_are_written_are_counted(connection: psycopg.Connection) -> None:
    statements = [
        ("CREATE TEMPORARY TABLE numbers (n BIGINT)", ()),
        ("INSERT INTO numbers SELECT * FROM generate_series(1, %s::BIGINT)", (3,)),
        ("SELECT n FROM numbers ORDER BY n", ()),
    ]

    _, written, read = send_together(connection, statements)

    assert (3, [(1,), (2,), (3,)]) == (written.rowcount, list(read))


def test_nothing_is_run_after_a_statement_that_fails(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TEMPORARY TABLE numbers (n BIGINT)")
    insert = "INSERT INTO numbers VALUES (1)"

    with pytest.raises(psycopg.errors.DivisionByZero):
        send_together(connection, [("BEGIN", ()), (insert, ()), ("SELECT 1 / 0", ()), ("COMMIT", ())])

    assert psycopg.pq.TransactionStatus.INERROR == connection.info.transaction_status
    connection.execute("ROLLBACK")
    assert [] == connection.execute("SELECT n FROM numbers").fetchall()


def test_a_connection_that_is_lost_says_so(connection: psycopg.Connection, postgres_url: str) -> None:
    with connected(postgres_url) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))

    with pytest.raises(psycopg.OperationalError):
        send_together(connection, [("BEGIN", ()), ("SELECT 1", ())])

    assert connection.closed
