"""What a database brand has to offer so that it can be measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from benchmarks.baseline.dataset import Row
from executor.storage.engine import Durability
from executor.storage.store import ExecutionStore


class Baseline(Protocol):
    """The bare driver over one database; `benchmarks/baseline/limit.py` says what each method does."""

    def close(self) -> None: ...
    def record(self, row: Row) -> None: ...
    def bulk(self, rows: Iterable[Row]) -> None: ...
    def size(self) -> int: ...
    def get(self, execution_id: str) -> Row: ...
    def lineage(self, execution_id: str) -> tuple[Row, list[Row], list[Row], list[Row]]: ...
    def chain(self, correlation_id: str) -> list[Row]: ...
    def page(self, status: str, size: int, offset: int = 0) -> list[Row]: ...
    def page_after(self, status: str, started_at: str, execution_id: str, size: int) -> list[Row]: ...
    def count(self, status: str, at_most: int) -> int: ...


class Engine(Protocol):
    """Databases of one brand. A place is the path or the URL of one, as text for other processes."""

    @property
    def name(self) -> str: ...

    def running(self) -> AbstractContextManager[None]:
        """Whatever has to run while databases are measured."""
        ...

    def versions(self) -> Mapping[str, str]:
        """Names and versions of what the measured times depend on."""
        ...

    def place(self, directory: Path, label: str) -> str:
        """Where a new database of that name will be; `directory` is removed at the end."""
        ...

    def baseline(self, place: str, *, durability: Durability, columns: Sequence[str]) -> Baseline:
        """The bare driver, with the table when there is none yet."""
        ...

    def store(self, place: str, *, durability: Durability) -> ExecutionStore: ...

    def backdate(self, place: str) -> None:
        """Makes a store's database believe that it had its newest schema before any execution started."""
        ...

    def settle(self, place: str) -> None:
        """Does what the database would do by itself some time after it was filled."""
        ...

    def make_old(self, place: str, executions: int) -> None:
        """A database of version 0 with so many executions, called `old_0`, `old_1` and so on."""
        ...

    def old_reader(self, place: str) -> AbstractContextManager[Callable[[int], object]]:
        """Reads one of these by its number, on a connection of its own that the block closes."""
        ...

    def bytes_used(self, place: str) -> int: ...

    def discard(self, place: str) -> None:
        """Removes a database that nothing has open."""
        ...
