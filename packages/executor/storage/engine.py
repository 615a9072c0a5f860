"""What the file of a database brand has to offer the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeVar

from executor.storage._statements import Bound, Statements

T = TypeVar("T")

Row = tuple[Any, ...]
Durability = Literal["normal", "full"]


class Cursor(Protocol):
    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A driver's connection inside a transaction of the engine.

    An answer is read before the next statement is run.
    """

    def execute(self, text: str, parameters: Sequence[Any], /) -> Cursor: ...
    def executemany(self, text: str, rows: Iterable[Sequence[Any]], /) -> object: ...


class Watch(Protocol):
    """Tells that something may have been committed since it was last asked, or since it was made.

    By one thread at a time. Whoever waits reads by a cursor: a wait may end for nothing, and after trouble with
    the connection only with the time.
    """

    def wait(self, seconds: float) -> bool:
        """Returns as soon as something was committed by anybody; False when time is up."""
        ...

    def close(self) -> None: ...


class Engine(Protocol):
    """Kept connections to one database that has the newest schema.

    Thread-safe, and usable in a forked child, which gets connections of its own. Errors of the driver
    come out as errors of ours.
    """

    @property
    def sql(self) -> Statements: ...

    @property
    def IntegrityError(self) -> type[Exception]:
        """What `write` raises when a key is taken."""
        ...

    @property
    def walk(self) -> str:
        """What makes a list walk along the times, which finds a page of frequent rows at once.

        Stands behind the table. A planner that guesses instead reads and sorts all rows for every page, as
        soon as a filter or two look selective.
        """
        ...

    @property
    def merges_parts(self) -> bool:
        """Whether the parts of an ordered UNION ALL are read only as far as its limit needs them."""
        ...

    @property
    def is_remote(self) -> bool:
        """Whether each statement is a journey to a server, which costs more than most answers."""
        ...

    def query(self, statement: Bound) -> list[Row]:
        """One statement that reads."""
        ...

    def read(self, work: Callable[[Connection], T]) -> T:
        """Several statements that see one moment. `work` may be called twice and must not write."""
        ...

    def write(
        self, work: Callable[[Connection], T], done: Callable[[Connection], T | None] | None = None
    ) -> T:
        """One transaction: committed when this returns, undone when it raises.

        `work` may be called again after its writes were undone, and may share the transaction with the
        `work` of other threads when these come at the same time. When the connection is lost during the
        commit, `work` is called again, too: where doing it twice is not the same as once, `done` looks
        for what it wrote and gives what `work` gave then, or None.
        """
        ...

    def import_executions(self, connection: Connection, rows: Iterable[Sequence[Any]], count: int) -> None:
        """Inserts `count` new executions, given in the order of IMPORT_EXECUTION_PARAMETERS."""
        ...

    def append(self, connection: Connection, statement: Bound) -> None:
        """Runs a statement that appends an event, at the latest before the commit.

        Afterwards `connection` reads and locks nothing more.
        """
        ...

    def number_events(self, connection: Connection) -> None:
        """From here to the commit nobody else gives a position to an event."""
        ...

    def hold_contents(self, connection: Connection) -> None:
        """From here to the commit nobody else keeps contents; what others kept before is seen."""
        ...

    def path_matches(self, pattern: str) -> Bound:
        """A condition: any affected path matches a regular expression from its beginning."""
        ...

    def text_occurs(self, text: str) -> Bound:
        """A condition: `text`, in lower case, occurs in id, title, a path or the error message."""
        ...

    def text_list(self, values: Sequence[str]) -> str:
        """Several texts as the one parameter that `one_of` and `none_of` clauses take."""
        ...

    def watch(self) -> Watch:
        """Tells of commits from now on."""
        ...

    def close(self) -> None: ...
