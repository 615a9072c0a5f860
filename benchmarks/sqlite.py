"""SQLite, measured against `sqlite3` alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Final

from benchmarks.baseline.dataset import OLD_COLUMNS
from benchmarks.baseline.limit import Limit, Synchronous
from executor.migrations import run_migrations
from executor.storage.engine import Durability
from executor.storage.store import ExecutionStore

_SYNCHRONOUS: Final[Mapping[str, Synchronous]] = {"normal": "NORMAL", "full": "FULL"}
_BESIDE: Final = ("", "-wal", "-shm")


class SqliteEngine:
    name: Final = "sqlite"

    def running(self) -> AbstractContextManager[None]:
        return nullcontext()

    def versions(self) -> Mapping[str, str]:
        return {"SQLite": sqlite3.sqlite_version}

    def place(self, directory: Path, label: str) -> str:
        return str(directory / f"{label}.db")

    def baseline(self, place: str, *, durability: Durability, columns: Sequence[str]) -> Limit:
        return Limit(Path(place), synchronous=_SYNCHRONOUS[durability], columns=columns)

    def store(self, place: str, *, durability: Durability) -> ExecutionStore:
        workspace = Path(place).with_suffix(".workspace")
        workspace.mkdir(exist_ok=True)
        return ExecutionStore(workspace, url=f"sqlite:///{place}", durability=durability)

    def backdate(self, place: str) -> None:
        with closing(sqlite3.connect(place)) as connection, connection:
            connection.execute("UPDATE schema_migrations SET applied_at = '2000-01-01 00:00:00'")

    def settle(self, place: str) -> None:
        """Nothing: SQLite gathers statistics only when somebody asks for them."""

    def make_old(self, place: str, executions: int) -> None:
        with closing(sqlite3.connect(place)) as connection, connection:
            run_migrations(connection, 0)
            connection.execute("DROP TABLE schema_migrations")
            connection.execute(
                "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?) "
                f"INSERT INTO executions ({', '.join(OLD_COLUMNS)}) "
                "SELECT 'old_' || n, 'plan_' || n, 'cs_' || n, 'dec_' || n, 'sum' || n, 'allow', 'completed', "
                "'[\"src/file_' || n || '.py\"]', "
                "strftime('%Y-%m-%dT%H:%M:%f', 1767225600 + n, 'unixepoch') || '000Z' FROM numbers",
                (executions,),
            )

    @contextmanager
    def old_reader(self, place: str) -> Iterator[Callable[[int], object]]:
        with closing(sqlite3.connect(place, timeout=600)) as connection:
            yield lambda number: connection.execute(
                "SELECT plan_id, status FROM executions WHERE execution_id = ?", (f"old_{number}",)
            ).fetchall()

    def bytes_used(self, place: str) -> int:
        return sum(
            file.stat().st_size for file in (Path(place + ending) for ending in _BESIDE) if file.exists()
        )

    def discard(self, place: str) -> None:
        for ending in _BESIDE:
            Path(place + ending).unlink(missing_ok=True)
