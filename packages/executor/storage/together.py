"""Several statements to PostgreSQL in one exchange.

The pipeline of the driver looks at the network after each statement, which costs the client twice what it saves.
Here all are written first, then all answers are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

import psycopg
from psycopg.adapt import Transformer
from psycopg.generators import fetch, send
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGresult

Row = tuple[Any, ...]
# As the generated modules have it: `%s` stands for a parameter, `%%` for a percent sign.
Statement: TypeAlias = "tuple[str, Sequence[Any]]"

_FAILED: Final = (ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED)
_PLACE: Final = re.compile("%([%s])")


class Answer:
    """What a statement gave, in the manner of a cursor."""

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rows: list[Row], rowcount: int) -> None:
        self._rows = iter(rows)
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    def fetchone(self) -> Row | None:
        return next(self._rows, None)

    def fetchall(self) -> list[Row]:
        return list(self._rows)


def send_together(connection: psycopg.Connection[Any], statements: Sequence[Statement]) -> list[Answer]:
    """Runs them in order; what follows one that fails is not run.

    The caller holds the lock of the connection. Raises the driver's error of the one that failed.
    """
    server = connection.pgconn
    server.enter_pipeline_mode()
    try:
        for text, parameters in statements:
            query, values, formats = _numbered(text), *_dumped(parameters)
            server.send_query_params(query, values, None, formats)
        server.pipeline_sync()
        results = connection.wait(_answers(server, len(statements)))
        server.exit_pipeline_mode()
    except BaseException:
        # Where in the exchange it stands, nobody knows.
        connection.close()
        raise
    for result in results:
        if result.status in _FAILED:
            raise psycopg.errors.error_from_result(result, encoding=connection.info.encoding)
    return [_answer(connection, result) for result in results]


def _answers(server: Any, number: int) -> Any:
    """A generator for `Connection.wait`."""
    yield from send(server)
    results = []
    for _ in range(number):
        results.append((yield from fetch(server)))
        # Each answer ends with an empty one, the exchange with a mark.
        yield from fetch(server)
    yield from fetch(server)
    return results


def _answer(connection: psycopg.Connection[Any], result: PGresult) -> Answer:
    rows: list[Row] = []
    if result.status == ExecStatus.TUPLES_OK and result.ntuples:
        transformer = Transformer(connection)
        transformer.set_pgresult(result)
        rows = transformer.load_rows(0, result.ntuples, tuple)
    return Answer(rows, result.command_tuples or 0)


@lru_cache(maxsize=512)
def _numbered(text: str) -> bytes:
    """The statement with `$1`, `$2` and so on, which is what the server knows."""
    number = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal number
        if match[1] == "%":
            return "%"
        number += 1
        return f"${number}"

    return _PLACE.sub(replaced, text).encode()


def _dumped(parameters: Sequence[Any]) -> tuple[list[bytes | None], list[Format]]:
    """Each as text without a type, which the statement says; a text with NUL, which equals nothing, as NULL."""
    values: list[bytes | None] = []
    for value in parameters:
        if value is None or isinstance(value, bytes):
            values.append(value)
        elif isinstance(value, str):
            values.append(None if "\0" in value else value.encode())
        else:
            values.append(repr(value).encode())
    return values, [Format.BINARY if isinstance(value, bytes) else Format.TEXT for value in parameters]
