"""What the contract suite needs to know of a backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from executor.storage.base import ExecutionStorage

# Later than nothing a test writes: unless a test says otherwise, every row counts as new.
LONG_AGO: Final = "2000-01-01 00:00:00"


class TickingClock:
    """A clock that moves on by a second whenever it is read."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.now = start

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


class StoreHarness(ABC):
    """One database and ways to look behind the store."""

    # Whether the primary key of `executions` takes NULL, as it does in databases of version 0 on SQLite.
    ids_may_be_missing = False

    # Whether text behind the store may hold NUL.
    nul_is_held = True

    def __init__(self) -> None:
        self.clock = TickingClock()

    @abstractmethod
    def store(self) -> ExecutionStorage:
        """The store under test, on this database, reading `self.clock`. The same one each time."""

    @abstractmethod
    def another_store(self) -> ExecutionStorage:
        """A second store on the same database, as another process of the same workspace has it."""

    @abstractmethod
    def other_workspace(self) -> ExecutionStorage:
        """A store on the same database for another workspace."""

    @abstractmethod
    def empty(self) -> ExecutionStorage:
        """Removes all rows, sets the upgrade to long ago, and returns the store."""

    @abstractmethod
    def write_behind(self, rows: Iterable[Mapping[str, Any]], table: str = "executions") -> None:
        """Inserts rows as other programs may: nothing is checked, columns not given have their default."""

    @abstractmethod
    def set_upgraded_at(self, text: str) -> None:
        """Says when version 1 of the schema was applied: UTC, `YYYY-MM-DD hh:mm:ss`."""

    @abstractmethod
    def close(self) -> None:
        """Closes every store that was given out."""
