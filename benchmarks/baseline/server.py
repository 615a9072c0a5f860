"""What PostgreSQL can do: psycopg alone, one kept connection, prepared statements written by hand.

The yardstick of `limit.py` once more, for the server: the same table, the same indexes, the same questions.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import psycopg

from benchmarks.baseline.dataset import COLUMNS, PLACE, Row, timestamp

_KEY: Final = 'TEXT COLLATE "C"'
_TYPED: Final = {
    "execution_id": f"{_KEY} PRIMARY KEY",
    **dict.fromkeys(
        ("plan_id", "changeset_id", "decision_id", "checksum", "verdict", "status"), f"{_KEY} NOT NULL"
    ),
    "started_at": f"{_KEY} NOT NULL",
    "duration_seconds": "DOUBLE PRECISION",
    "files_changed": "BIGINT DEFAULT 0",
    **dict.fromkeys(("verification_passed", "health_checks_passed", "rolled_back"), "INTEGER DEFAULT 0"),
    "created_at": f"{_KEY} NOT NULL",
    "correlation_id": f"{_KEY} NOT NULL",
    "parent_execution_id": _KEY,
    "trigger_kind": f"{_KEY} NOT NULL DEFAULT 'manual'",
    "attempt": "BIGINT",
}
_INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS ix_parent ON executions(parent_execution_id, started_at, execution_id)",
    "CREATE INDEX IF NOT EXISTS ix_corr ON executions(correlation_id, started_at)",
    "CREATE INDEX IF NOT EXISTS ix_started ON executions(started_at DESC, execution_id)",
    "CREATE INDEX IF NOT EXISTS ix_status ON executions(status, started_at DESC, execution_id)",
)
_START: Final = (
    "INSERT INTO executions(execution_id,plan_id,changeset_id,decision_id,checksum,verdict,status,risk_level,"
    "affected_paths,started_at,artifact_path,created_at,correlation_id,parent_execution_id,trigger_kind,run_id)"
    " VALUES(%s,%s,%s,%s,%s,%s,'pending',%s,%s,%s,%s,%s,%s,%s,%s,%s)"
)
_END: Final = (
    "UPDATE executions SET status=%s,ended_at=%s,duration_seconds=%s,files_changed=%s,verification_passed=%s,"
    "health_checks_passed=%s,rolled_back=%s,error_message=%s,error_step=%s WHERE execution_id=%s"
)
_COUNT: Final = "SELECT count(*) FROM (SELECT 1 FROM executions WHERE status=%s LIMIT %s) AS counted"


class ServerLimit:
    """One connection to one database. Answers hold `columns`, which a new database gets as its table."""

    def __init__(self, url: str, *, durable: bool, columns: Sequence[str] = COLUMNS) -> None:
        self.columns = tuple(columns)
        self._db = psycopg.connect(url, autocommit=True, prepare_threshold=0)
        self._cursor = self._db.cursor()
        if durable:
            self._run("SET synchronous_commit = on")
        table = ",".join(f"{name} {_TYPED.get(name, 'TEXT')}" for name in self.columns)
        # Several processes open a new database at once, which CREATE … IF NOT EXISTS alone does not bear.
        with self._db.transaction():
            self._run("SELECT pg_advisory_xact_lock(1)")
            self._run(f"CREATE TABLE IF NOT EXISTS executions({table})")
            for index in _INDEXES:
                self._run(index)
        self._name_statements()

    def _name_statements(self) -> None:
        listed = ",".join(self.columns)
        of_e = ",".join(f"e.{name}" for name in self.columns)
        page = f"SELECT {listed} FROM executions WHERE status=%s"
        self._copy = f"COPY executions({listed}) FROM STDIN"
        self._one = f"SELECT {listed} FROM executions WHERE execution_id=%s"
        self._ancestors = (
            "WITH RECURSIVE a(id,parent,d) AS ("
            " SELECT execution_id,parent_execution_id,0 FROM executions WHERE execution_id=%s"
            " UNION ALL SELECT e.execution_id,e.parent_execution_id,a.d+1 FROM a JOIN executions e"
            " ON e.execution_id=a.parent WHERE a.d<10000)"
            f" SELECT {of_e} FROM a JOIN executions e ON e.execution_id=a.id WHERE a.d>0 ORDER BY a.d DESC"
        )
        self._descendants = (
            "WITH RECURSIVE t(id,d) AS ("
            ' SELECT %s::text COLLATE "C",0 UNION ALL SELECT e.execution_id,t.d+1 FROM t JOIN executions e'
            " ON e.parent_execution_id=t.id WHERE t.d<10000)"
            f" SELECT {of_e} FROM t JOIN executions e ON e.execution_id=t.id WHERE t.d>0"
        )
        self._siblings = (
            f"SELECT {listed} FROM executions"
            " WHERE parent_execution_id=%s AND execution_id<>%s ORDER BY started_at"
        )
        self._chain = f"SELECT {listed} FROM executions WHERE correlation_id=%s ORDER BY started_at"
        self._page = f"{page} ORDER BY started_at DESC,execution_id LIMIT %s OFFSET %s"
        self._page_after = (
            f"{page} AND started_at<=%s AND (started_at<%s OR execution_id>%s)"
            " ORDER BY started_at DESC,execution_id LIMIT %s"
        )

    def close(self) -> None:
        self._db.close()

    def _run(self, statement: str, values: Sequence[Any] = ()) -> psycopg.Cursor[Row]:
        return self._cursor.execute(statement, values or None)

    # Writing.

    def record(self, row: Row) -> None:
        """A start and an end, a commit each."""
        now = timestamp(time.time())
        self._run(
            _START,
            (
                *(row[0], row[1], row[2], row[3], row[4], row[5], row[7], row[8], now, row[16], now),
                *(row[20], row[21], row[22], row[23]),
            ),
        )
        self._run(
            _END,
            (
                *(row[6], timestamp(time.time()), 4.5, 3, row[13], row[14], row[15]),
                *(row[17], row[18], row[0]),
            ),
        )

    def bulk(self, rows: Iterable[Row]) -> None:
        """All of them in one transaction, in the order of the columns."""
        with self._cursor.copy(self._copy) as copy:
            for row in rows:
                copy.write_row(row)

    # Reading.

    def size(self) -> int:
        (count,) = self._run("SELECT count(*) FROM executions").fetchall()[0]
        return int(count)

    def get(self, execution_id: str) -> Row:
        return self._run(self._one, (execution_id,)).fetchall()[0]

    def lineage(self, execution_id: str) -> tuple[Row, list[Row], list[Row], list[Row]]:
        """The execution, its ancestors, descendants and siblings."""
        own = self.get(execution_id)
        ancestors = self._run(self._ancestors, (execution_id,)).fetchall()
        descendants = self._run(self._descendants, (execution_id,)).fetchall()
        parent = own[PLACE["parent_execution_id"]]
        siblings = self._run(self._siblings, (parent, execution_id)).fetchall() if parent else []
        return own, ancestors, descendants, siblings

    def chain(self, correlation_id: str) -> list[Row]:
        return self._run(self._chain, (correlation_id,)).fetchall()

    def page(self, status: str, size: int, offset: int = 0) -> list[Row]:
        return self._run(self._page, (status, size, offset)).fetchall()

    def page_after(self, status: str, started_at: str, execution_id: str, size: int) -> list[Row]:
        return self._run(self._page_after, (status, started_at, started_at, execution_id, size)).fetchall()

    def count(self, status: str, at_most: int) -> int:
        (count,) = self._run(_COUNT, (status, at_most)).fetchall()[0]
        return int(count)
