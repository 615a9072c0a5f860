"""Stores on a PostgreSQL database, and what lies behind them."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import psycopg

from executor.schema import metadata
from executor.storage.store import ExecutionStore
from executor.testing.harness import LONG_AGO, StoreHarness
from support.postgres import connected


class PostgresqlHarness(StoreHarness):
    """A database of a server, and two workspaces that use it."""

    nul_is_held = False

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__()
        self.url = url
        self.workspace = folder / "workspace"
        self._other_workspace = folder / "other"
        self.workspace.mkdir()
        self._other_workspace.mkdir()
        self._given: list[ExecutionStore] = []
        self._store = self.another_store()
        self._behind = connected(url)

    def store(self) -> ExecutionStore:
        return self._store

    def another_store(self) -> ExecutionStore:
        return self._give(self.workspace)

    def other_workspace(self) -> ExecutionStore:
        return self._give(self._other_workspace)

    def _give(self, workspace: Path) -> ExecutionStore:
        store = ExecutionStore(workspace, url=self.url, clock=self.clock)
        self._given.append(store)
        return store

    def empty(self) -> ExecutionStore:
        # DELETE makes no new files, as TRUNCATE does: it is the quicker one for a few rows.
        with self._behind.transaction():
            for table in reversed(metadata.sorted_tables):
                self._behind.execute(f"DELETE FROM {table.name}".encode())
        self.set_upgraded_at(LONG_AGO)
        return self._store

    def write_behind(self, rows: Iterable[Mapping[str, Any]], table: str = "executions") -> None:
        write_rows(self._behind, rows, table)

    def set_upgraded_at(self, text: str) -> None:
        self._behind.execute("UPDATE schema_migrations SET applied_at = %s WHERE version = 1", (text,))

    def close(self) -> None:
        self._behind.close()
        for store in self._given:
            store.close()


def write_rows(
    connection: psycopg.Connection[Any], rows: Iterable[Mapping[str, Any]], table: str = "executions"
) -> None:
    """Inserts rows in one transaction; a column that is not given has its default. NUL becomes its sign."""
    with connection.transaction(), connection.cursor() as cursor:
        for columns, alike in groupby(rows, key=tuple):
            statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
            with cursor.copy(statement.encode()) as copy:
                for row in alike:
                    copy.write_row([_storable(value) for value in row.values()])


def _storable(value: Any) -> Any:
    return value.replace("\0", "␀") if isinstance(value, str) else value
