"""PostgreSQL, measured against psycopg with statements written by hand."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg

from benchmarks.baseline.dataset import OLD_COLUMNS
from benchmarks.baseline.server import ServerLimit
from executor.migrations import run_migrations
from executor.storage.engine import Durability
from executor.storage.store import ExecutionStore
from executor.testing.postgres import URL_VARIABLE, PostgresServer

# As a server comes, but for a cache that holds what is asked; nothing that makes a commit cheaper.
_SETTINGS: Final = ("-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB", "-c", "log_min_messages=fatal")


class PostgresqlEngine:
    """Databases on the server that the tests' variable names, else on one of its own while `running`."""

    name: Final = "postgresql"

    _url = ""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Raises PostgresMissing when there is no server and none can be started."""
        with ExitStack() as stack:
            named = os.environ.get(URL_VARIABLE)
            self._url = named or stack.enter_context(PostgresServer(settings=_SETTINGS)).url
            yield

    def versions(self) -> Mapping[str, str]:
        (version,) = self._administer("SHOW server_version")
        return {"PostgreSQL": str(version).split()[0], "psycopg": psycopg.__version__}

    def place(self, directory: Path, label: str) -> str:
        name = f"bench_{label}".replace("-", "_")
        self._administer(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._administer(f"CREATE DATABASE {name}")
        return urlsplit(self._url)._replace(path=f"/{name}").geturl()

    def baseline(self, place: str, *, durability: Durability, columns: Sequence[str]) -> ServerLimit:
        return ServerLimit(place, durable=durability == "full", columns=columns)

    def store(self, place: str, *, durability: Durability) -> ExecutionStore:
        # Only the identity of a workspace is taken from there.
        workspace = Path(tempfile.gettempdir(), _name_of(place) + ".workspace")
        workspace.mkdir(exist_ok=True)
        return ExecutionStore(workspace, url=place, durability=durability)

    def backdate(self, place: str) -> None:
        with psycopg.connect(place) as connection:
            connection.execute("UPDATE schema_migrations SET applied_at = '2000-01-01 00:00:00'")

    def settle(self, place: str) -> None:
        """What autovacuum does a minute after so many rows: statistics, and the map of visible pages."""
        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")

    def make_old(self, place: str, executions: int) -> None:
        run_migrations(place, 0)
        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute("DROP TABLE schema_migrations")
            connection.execute(
                f"INSERT INTO executions ({', '.join(OLD_COLUMNS)}) "
                "SELECT 'old_' || n, 'plan_' || n, 'cs_' || n, 'dec_' || n, 'sum' || n, 'allow', 'completed', "
                "'[\"src/file_' || n || '.py\"]', "
                "to_char(timestamp '2026-01-01' + n * interval '1 s', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') "
                "FROM generate_series(0, %s::integer - 1) AS n",
                (executions,),
            )

    @contextmanager
    def old_reader(self, place: str) -> Iterator[Callable[[int], object]]:
        with psycopg.connect(place, autocommit=True) as connection:
            yield lambda number: connection.execute(
                "SELECT plan_id, status FROM executions WHERE execution_id = %s", (f"old_{number}",)
            ).fetchall()

    def bytes_used(self, place: str) -> int:
        with psycopg.connect(place) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return int(row[0])

    def discard(self, place: str) -> None:
        self._administer(f"DROP DATABASE IF EXISTS {_name_of(place)} WITH (FORCE)")

    def _administer(self, statement: str) -> tuple[Any, ...]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return (cursor.fetchone() or ()) if cursor.description else ()


def _name_of(place: str) -> str:
    return urlsplit(place).path.strip("/")
