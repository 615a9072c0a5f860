"""What SQLite can do: the bare driver, one kept connection, prepared statements, a good schema.

Nothing here is a product design: it is a yardstick that the store is divided by. Rows are plain tuples.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal

from benchmarks.baseline.dataset import COLUMNS, PLACE, Row, timestamp

Synchronous = Literal["NORMAL", "FULL"]

_TYPED: Final = {
    "execution_id": "TEXT PRIMARY KEY",
    **dict.fromkeys(
        ("plan_id", "changeset_id", "decision_id", "checksum", "verdict", "status"), "TEXT NOT NULL"
    ),
    "started_at": "TEXT NOT NULL",
    "duration_seconds": "REAL",
    **dict.fromkeys(
        ("files_changed", "verification_passed", "health_checks_passed", "rolled_back"), "INTEGER DEFAULT 0"
    ),
    "created_at": "TEXT NOT NULL",
    "correlation_id": "TEXT NOT NULL",
    "trigger_kind": "TEXT NOT NULL DEFAULT 'manual'",
    "attempt": "INTEGER",
}
_INDEXES: Final = """
CREATE INDEX IF NOT EXISTS ix_parent ON executions(parent_execution_id, started_at, execution_id);
CREATE INDEX IF NOT EXISTS ix_corr ON executions(correlation_id, started_at);
CREATE INDEX IF NOT EXISTS ix_started ON executions(started_at DESC, execution_id);
CREATE INDEX IF NOT EXISTS ix_status ON executions(status, started_at DESC, execution_id);
"""
_START: Final = (
    "INSERT INTO executions(execution_id,plan_id,changeset_id,decision_id,checksum,verdict,status,risk_level,"
    "affected_paths,started_at,artifact_path,created_at,correlation_id,parent_execution_id,trigger_kind,run_id)"
    " VALUES(?,?,?,?,?,?,'pending',?,?,?,?,?,?,?,?,?)"
)
_END: Final = (
    "UPDATE executions SET status=?,ended_at=?,duration_seconds=?,files_changed=?,verification_passed=?,"
    "health_checks_passed=?,rolled_back=?,error_message=?,error_step=? WHERE execution_id=?"
)
_COUNT: Final = "SELECT count(*) FROM (SELECT 1 FROM executions WHERE status=? LIMIT ?)"
_KIB_CACHED: Final = 64 * 1024


class Limit:
    """One connection to one file. Answers hold `columns`, which a new file gets as its table."""

    def __init__(
        self,
        path: Path,
        *,
        synchronous: Synchronous = "NORMAL",
        columns: Sequence[str] = COLUMNS,
        timeout: float = 30.0,
    ) -> None:
        self.columns = tuple(columns)
        self._db = sqlite3.connect(path, timeout=timeout, isolation_level=None, cached_statements=256)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA synchronous={synchronous}")
        self._db.execute(f"PRAGMA cache_size=-{_KIB_CACHED}")
        table = ",".join(f"{name} {_TYPED.get(name, 'TEXT')}" for name in self.columns)
        self._db.executescript(f"CREATE TABLE IF NOT EXISTS executions({table});{_INDEXES}")
        self._name_statements()

    def _name_statements(self) -> None:
        listed = ",".join(self.columns)
        of_e = ",".join(f"e.{name}" for name in self.columns)
        marks = ",".join("?" * len(self.columns))
        page = f"SELECT {listed} FROM executions WHERE status=?"
        self._insert = f"INSERT INTO executions({listed}) VALUES({marks})"
        self._one = f"SELECT {listed} FROM executions WHERE execution_id=?"
        # CROSS JOIN pins the join order, the recursive table first: with statistics a newer SQLite would
        # scan the table of a small database.
        self._ancestors = (
            "WITH RECURSIVE a(id,parent,d) AS ("
            " SELECT execution_id,parent_execution_id,0 FROM executions WHERE execution_id=?"
            " UNION ALL SELECT e.execution_id,e.parent_execution_id,a.d+1 FROM a CROSS JOIN executions e"
            " WHERE e.execution_id=a.parent AND a.d<10000)"
            f" SELECT {of_e} FROM a CROSS JOIN executions e"
            " WHERE e.execution_id=a.id AND a.d>0 ORDER BY a.d DESC"
        )
        self._descendants = (
            "WITH RECURSIVE t(id,d) AS ("
            " SELECT ?,0 UNION ALL SELECT e.execution_id,t.d+1 FROM t CROSS JOIN executions e"
            " WHERE e.parent_execution_id=t.id AND t.d<10000)"
            f" SELECT {of_e} FROM t CROSS JOIN executions e WHERE e.execution_id=t.id AND t.d>0"
        )
        self._siblings = (
            f"SELECT {listed} FROM executions"
            " WHERE parent_execution_id=? AND execution_id<>? ORDER BY started_at"
        )
        self._chain = f"SELECT {listed} FROM executions WHERE correlation_id=? ORDER BY started_at"
        self._page = f"{page} ORDER BY started_at DESC,execution_id LIMIT ? OFFSET ?"
        # "a<? OR (a=? AND b>?)" cannot be sought for; the redundant bound makes it a seek.
        self._page_after = (
            f"{page} AND started_at<=? AND (started_at<? OR execution_id>?)"
            " ORDER BY started_at DESC,execution_id LIMIT ?"
        )

    def close(self) -> None:
        self._db.close()

    # Writing.

    def start(self, row: Row, now: str) -> None:
        values = (
            *(row[0], row[1], row[2], row[3], row[4], row[5], row[7], row[8], now, row[16], now),
            *(row[20], row[21], row[22], row[23]),
        )
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(_START, values)
        self._db.execute("COMMIT")

    def end(self, row: Row, now: str) -> None:
        values = (row[6], now, 4.5, 3, row[13], row[14], row[15], row[17], row[18], row[0])
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(_END, values)
        self._db.execute("COMMIT")

    def record(self, row: Row) -> None:
        """A start and an end, a commit each."""
        self.start(row, timestamp(time.time()))
        self.end(row, timestamp(time.time()))

    def bulk(self, rows: Iterable[Row]) -> None:
        """All of them in one transaction, in the order of the columns."""
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(self._insert, rows)
        self._db.execute("COMMIT")

    # Reading.

    def size(self) -> int:
        (count,) = self._db.execute("SELECT count(*) FROM executions").fetchone()
        return int(count)

    def get(self, execution_id: str) -> Row:
        found: Row = self._db.execute(self._one, (execution_id,)).fetchone()
        return found

    def lineage(self, execution_id: str) -> tuple[Row, list[Row], list[Row], list[Row]]:
        """The execution, its ancestors, descendants and siblings."""
        own = self.get(execution_id)
        ancestors = self._db.execute(self._ancestors, (execution_id,)).fetchall()
        descendants = self._db.execute(self._descendants, (execution_id,)).fetchall()
        parent = own[PLACE["parent_execution_id"]]
        siblings = self._db.execute(self._siblings, (parent, execution_id)).fetchall() if parent else []
        return own, ancestors, descendants, siblings

    def chain(self, correlation_id: str) -> list[Row]:
        return self._db.execute(self._chain, (correlation_id,)).fetchall()

    def page(self, status: str, size: int, offset: int = 0) -> list[Row]:
        return self._db.execute(self._page, (status, size, offset)).fetchall()

    def page_after(self, status: str, started_at: str, execution_id: str, size: int) -> list[Row]:
        values = (status, started_at, started_at, execution_id, size)
        return self._db.execute(self._page_after, values).fetchall()

    def count(self, status: str, at_most: int) -> int:
        (count,) = self._db.execute(_COUNT, (status, at_most)).fetchone()
        return int(count)
