"""Processes that open a database and are killed while they do, or do it at the same instant.

`Migrators` starts one program that imports everything once and forks a process for every job, so that a
job costs milliseconds. Run as a program, this file is that program; it has a single thread.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

# A process says these as it goes.
BEGAN, COMMITTED = b"B", b"C"

# Statements that change something on a server, if only a lock.
SERVER_STATEMENTS = (
    *("BEGIN", "COMMIT", "CREATE", "ALTER", "DROP", "INSERT", "DELETE", "LOCK"),
    *("SELECT pg_try_advisory", "SELECT pg_advisory"),
)


@dataclass(frozen=True)
class Opened:
    """How one process fared. `recorded` counts the ledger rows it wrote, `error` is None or its text."""

    recorded: int
    error: str | None


class Migrators:
    def __enter__(self) -> Self:
        self._program = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._program.communicate()
        assert self._program.returncode == 0

    def killed_at(self, db: Path, statement: int) -> bool:
        """Opens the database and dies by SIGKILL before the n-th statement; False when it ends before that."""
        return bool(self._ask("killed_at", str(db), statement))

    def killed_after(self, db: Path, seconds: float) -> bool:
        """Dies by SIGKILL this long after the transaction began; whether it had not been committed then."""
        return bool(self._ask("killed_after", str(db), seconds))

    def seconds_inside(self, db: Path) -> float:
        """How long the transaction of an upgrade takes that nobody disturbs."""
        return float(self._ask("seconds_inside", str(db)))

    def race(self, db: Path | str, processes: int) -> list[Opened]:
        """All open the database, a file or a URL, at the same instant, and each writes one execution."""
        return [Opened(*answer) for answer in self._ask("race", str(db), processes)]

    def server_killed_at(self, url: str, statement: int) -> bool:
        """`killed_at` for a database of a server; statements that only look do not count."""
        return bool(self._ask("server_killed_at", url, statement))

    def _ask(self, *request: object) -> Any:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps(request) + "\n")
        self._program.stdin.flush()
        return json.loads(self._program.stdout.readline())


def killed_at(db: str, statement: int) -> bool:
    seen = 0

    def count(sql: str) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    child, _ = forked(lambda _: open_traced(db, count))
    return died(child)


def server_killed_at(url: str, statement: int) -> bool:
    from executor.migrations import ensure_current

    seen = 0

    def count(sql: str) -> None:
        nonlocal seen
        seen += sql.startswith(SERVER_STATEMENTS)
        if seen == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    def upgrade(_: int) -> None:
        traced_cursors(count)
        ensure_current(url)

    child, _ = forked(upgrade)
    return died(child)


def killed_after(db: str, seconds: float) -> bool:
    child, reader = forked(lambda out: open_traced(db, reporting(out), out))
    assert os.read(reader, 1) == BEGAN
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    said = os.read(reader, 100)
    os.close(reader)
    return COMMITTED not in said


def seconds_inside(db: str) -> float:
    child, reader = forked(lambda out: open_traced(db, reporting(out), out))
    assert os.read(reader, 1) == BEGAN
    began = time.monotonic()
    assert os.read(reader, 1) == COMMITTED
    seconds = time.monotonic() - began
    os.waitpid(child, 0)
    os.close(reader)
    return seconds


def race(db: str, processes: int) -> list[tuple[int, str | None]]:
    starting_line, start = os.pipe()
    runners = []
    for number in range(processes):

        def run(out: int, number: int = number) -> None:
            os.close(start)
            # Ends for all at once, when the only writer is closed.
            os.read(starting_line, 1)
            os.write(out, json.dumps(open_and_write(db, number)).encode())

        runners.append(forked(run))
    os.close(starting_line)
    os.close(start)
    answers = []
    for child, reader in runners:
        with os.fdopen(reader, "rb") as pipe:
            answers.append(tuple(json.loads(pipe.read())))
        os.waitpid(child, 0)
    return answers


def open_and_write(db: str, number: int) -> tuple[int, str | None]:
    if "://" in db:
        return open_and_write_to_server(db, number)
    from executor.errors import ExecutorError
    from executor.migrations.runner import open_current

    recorded = 0

    def count(sql: str) -> None:
        nonlocal recorded
        recorded += sql.startswith("INSERT INTO schema_migrations")

    try:
        traced_connections(count)
        connection = open_current(db)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "INSERT INTO executions (execution_id, plan_id, changeset_id, decision_id, checksum, verdict, status,"
            " started_at, run_id) VALUES (?, 'p', 'c', 'd', 's', 'allow', 'pending', 't', 'race')",
            (f"exec_of_{number}",),
        )
        connection.execute("COMMIT")
        connection.close()
    except (ExecutorError, sqlite3.Error) as error:
        return recorded, repr(error)
    return recorded, None


def open_and_write_to_server(url: str, number: int) -> tuple[int, str | None]:
    import psycopg

    from executor.errors import ExecutorError
    from executor.migrations import ensure_current
    from executor.migrations.server import connect

    recorded = 0

    def count(sql: str) -> None:
        nonlocal recorded
        recorded += sql.startswith("INSERT INTO schema_migrations")

    try:
        traced_cursors(count)
        ensure_current(url)
        with connect(url) as connection:
            connection.execute(
                "INSERT INTO executions (execution_id, plan_id, changeset_id, decision_id, checksum, verdict,"
                " status, started_at, run_id) VALUES (%s, 'p', 'c', 'd', 's', 'allow', 'pending', 't', 'race')",
                (f"exec_of_{number}",),
            )
    except (ExecutorError, psycopg.Error) as error:
        return recorded, repr(error)
    return recorded, None


def traced_cursors(trace: Callable[[str], None]) -> None:
    """From now on every PostgreSQL connection of this process tells its statements, each before it runs."""
    from psycopg import Cursor

    execute = Cursor.execute

    def execute_traced(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        trace((query.decode() if isinstance(query, bytes) else str(query)).strip())
        return execute(self, query, *args, **options)

    Cursor.execute = execute_traced  # type: ignore[method-assign]


def open_traced(db: str, trace: Callable[[str], None], out: int | None = None) -> None:
    from executor.migrations.runner import open_current

    traced_connections(trace)
    open_current(db).close()
    if out is not None:
        os.write(out, COMMITTED)


def reporting(out: int) -> Callable[[str], None]:
    committing = False

    def report(sql: str) -> None:
        nonlocal committing
        if committing:
            os.write(out, COMMITTED)
            committing = False
        if sql == "BEGIN IMMEDIATE":
            os.write(out, BEGAN)
        committing = sql == "COMMIT"

    return report


def traced_connections(trace: Callable[[str], None]) -> None:
    """From now on every connection of this process tells its statements, each before it runs."""
    connect = sqlite3.connect

    def connect_traced(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        connection.set_trace_callback(trace)
        return connection

    sqlite3.connect = connect_traced  # type: ignore[assignment]


def forked(job: Callable[[int], None]) -> tuple[int, int]:
    """The process that does the job, and where to read what it writes to the descriptor it is given."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return child, reader
    os.close(reader)
    code = 1
    try:
        job(writer)
        code = 0
    finally:
        # Not through the parent's exit handlers and buffers.
        os._exit(code)


def died(child: int) -> bool:
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status) == signal.SIGKILL
    assert os.WEXITSTATUS(status) == 0
    return False


JOBS: dict[str, Callable[..., object]] = {
    job.__name__: job for job in (killed_at, killed_after, seconds_inside, race, server_killed_at)
}


def main() -> None:
    # What an upgrade imports, once for all children.
    import psycopg.conninfo  # noqa: F401
    import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401

    from executor.migrations import postgresql, run_migrations  # noqa: F401

    with sqlite3.connect(":memory:") as connection:
        run_migrations(connection, 1)
    connection.close()
    for line in sys.stdin:
        name, *values = json.loads(line)
        sys.stdout.write(json.dumps(JOBS[name](*values)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
