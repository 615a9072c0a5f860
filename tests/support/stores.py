"""Stores for tests, and what lies behind them."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

from executor.storage.store import ExecutionStore
from executor.testing.harness import LONG_AGO, StoreHarness

_TABLES = (
    *("approvals", "test_results", "tokens", "step_logs"),
    *("execution_steps", "executions", "execution_events", "execution_links", "plans", "changesets"),
    *("decisions", "contents", "workspaces"),
)


class SqliteHarness(StoreHarness):
    """A database file in a workspace of its own."""

    ids_may_be_missing = True

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.workspace = folder / "workspace"
        self._other_workspace = folder / "other"
        self.workspace.mkdir()
        self._other_workspace.mkdir()
        self._store = ExecutionStore(self.workspace, clock=self.clock)
        self._given = [self._store]
        self._behind = sqlite3.connect(self.path, isolation_level=None, timeout=30)

    @property
    def path(self) -> Path:
        return self._store.db_path

    def store(self) -> ExecutionStore:
        return self._store

    def another_store(self) -> ExecutionStore:
        return self._give(ExecutionStore(self.workspace, clock=self.clock))

    def other_workspace(self) -> ExecutionStore:
        return self._give(
            ExecutionStore(self._other_workspace, url=f"sqlite:///{self.path}", clock=self.clock)
        )

    def _give(self, store: ExecutionStore) -> ExecutionStore:
        self._given.append(store)
        return store

    def empty(self) -> ExecutionStore:
        self._behind.execute("BEGIN IMMEDIATE")
        for table in _TABLES:
            self._behind.execute(f"DELETE FROM {table}")
        self._behind.execute("COMMIT")
        self.set_upgraded_at(LONG_AGO)
        return self._store

    def write_behind(self, rows: Iterable[Mapping[str, Any]], table: str = "executions") -> None:
        write_rows(self._behind, rows, table)

    def set_upgraded_at(self, text: str) -> None:
        self._behind.execute("UPDATE schema_migrations SET applied_at = ? WHERE version = 1", (text,))

    def close(self) -> None:
        self._behind.close()
        for store in self._given:
            store.close()


def _columns(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row)


def write_rows(
    connection: sqlite3.Connection, rows: Iterable[Mapping[str, Any]], table: str = "executions"
) -> None:
    """Inserts rows in one transaction; a column that is not given has its default."""
    connection.execute("BEGIN IMMEDIATE")
    for columns, alike in groupby(rows, key=_columns):
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        connection.executemany(
            f"INSERT INTO {table} ({names}) VALUES ({marks})", (tuple(row.values()) for row in alike)
        )
    connection.execute("COMMIT")


def query(path: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """What a connection of someone else sees."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql, values).fetchall()
