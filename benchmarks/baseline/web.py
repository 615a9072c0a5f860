"""What HTTP can do: a bare ASGI function over the raw driver, one kept connection, hand-written SQL.

It answers in the shape of the API, from the same database, and does nothing else: nothing is checked, no error is
handled, no header is looked at, everything happens in the event loop.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from benchmarks.baseline.dataset import Row

_RECORD: Final = (
    *(
        "execution_id",
        "plan_id",
        "changeset_id",
        "decision_id",
        "checksum",
        "verdict",
        "status",
        "started_at",
    ),
    *("risk_level", "affected_paths", "ended_at", "duration_seconds", "files_changed"),
    *("verification_passed", "health_checks_passed", "rolled_back", "artifact_path", "error_message"),
    *("error_step", "created_at", "correlation_id", "parent_execution_id", "trigger_kind", "run_id"),
    *("workspace_id", "title", "actor", "attempt", "error_code", "base_commit", "branch", "session"),
)
_SUMMARY: Final = (
    *("execution_id", "plan_id", "title", "status", "verdict", "risk_level", "started_at", "ended_at"),
    *("duration_seconds", "files_changed", "attempt", "error_step", "correlation_id"),
    *("parent_execution_id", "trigger_kind", "run_id"),
)
_STEP: Final = (
    *("id", "execution_id", "step_num", "step_name", "status", "started_at", "ended_at", "duration_seconds"),
    *("error_code", "error_message", "log_ref", "metadata"),
)
_COUNTED: Final = 10_001
_R: Final = ",".join(_RECORD)
_S: Final = ",".join(f"e.{name}" for name in _SUMMARY)
_PAGE: Final = (
    f"SELECT {_R} FROM executions WHERE status=? ORDER BY started_at DESC,execution_id DESC LIMIT ?"
)
_COUNT: Final = f"SELECT count(*) FROM (SELECT 1 FROM executions WHERE status=? LIMIT {_COUNTED}) AS c"
_ONE: Final = f"SELECT {_R} FROM executions WHERE execution_id=?"
_NODE: Final = f"SELECT {_S} FROM executions e WHERE e.execution_id=?"
# CROSS JOIN pins the join order, the recursive table first.
_ANCESTORS: Final = (
    "WITH RECURSIVE a(id,parent,d) AS (SELECT execution_id,parent_execution_id,0 FROM executions"
    " WHERE execution_id=? UNION ALL SELECT e.execution_id,e.parent_execution_id,a.d+1 FROM a"
    f" CROSS JOIN executions e WHERE e.execution_id=a.parent AND a.d<20) SELECT {_S} FROM a"
    " CROSS JOIN executions e WHERE e.execution_id=a.id AND a.d>0 ORDER BY a.d DESC"
)
_DESCENDANTS: Final = (
    "WITH RECURSIVE t(id,d) AS (SELECT execution_id,0 FROM executions WHERE execution_id=?"
    " UNION ALL SELECT e.execution_id,t.d+1 FROM t"
    f" CROSS JOIN executions e WHERE e.parent_execution_id=t.id AND t.d<20) SELECT {_S} FROM t"
    " CROSS JOIN executions e WHERE e.execution_id=t.id AND t.d>0"
)
_SIBLINGS: Final = (
    f"SELECT {_S} FROM executions e WHERE e.parent_execution_id=? AND e.execution_id<>? ORDER BY e.started_at"
)
_STEPS: Final = f"SELECT {','.join(_STEP)} FROM execution_steps WHERE execution_id=? ORDER BY step_num"
_PLAN: Final = "SELECT document FROM plans WHERE plan_id=?"
_DECISION: Final = "SELECT document FROM decisions WHERE decision_id=?"
_APPROVAL: Final = "SELECT document FROM approvals WHERE execution_id=?"
_LINKS: Final = (
    "SELECT source_id,kind,target_id FROM execution_links WHERE source_id=?"
    " UNION SELECT source_id,kind,target_id FROM execution_links WHERE target_id=?"
)
_UNTRUNCATED: Final = {"ancestors": False, "descendants": False, "siblings": False}
_KIB_CACHED: Final = 64 * 1024

_Fetch = Callable[[str, Sequence[object]], list[Row]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class BareApp:
    """Lists by status, one execution, its lineage; every other path is one of these by mistake."""

    def __init__(self, place: str) -> None:
        """`place`: the path of a SQLite file, or the URL of a PostgreSQL database."""
        if "://" in place:
            import psycopg

            server = psycopg.connect(place, autocommit=True, prepare_threshold=1)
            self._fetch: _Fetch = lambda sql, values: server.execute(
                sql.replace("?", "%s").encode(), values
            ).fetchall()
        else:
            file = sqlite3.connect(place, isolation_level=None, cached_statements=256)
            file.execute(f"PRAGMA cache_size=-{_KIB_CACHED}")
            self._fetch = lambda sql, values: file.execute(sql, values).fetchall()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        path: str = scope["path"]
        _, _, execution_id, last = f"{path}///".split("/")[:4]
        if not execution_id:
            body = self._list(dict(parse_qsl(scope["query_string"].decode())))
        elif last == "lineage":
            body = self._lineage(execution_id)
        else:
            body = self._detail(execution_id)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _rows(self, sql: str, *values: object) -> list[Row]:
        return self._fetch(sql, values)

    def _list(self, query: dict[str, str]) -> bytes:
        limit = int(query["limit"])
        found = self._rows(_PAGE, query["status"], limit + 1)
        ((total,),) = self._rows(_COUNT, query["status"])
        last = found[limit - 1] if len(found) > limit else None
        return orjson.dumps(
            {
                "executions": [_execution(row) for row in found[:limit]],
                "total": total if total < _COUNTED else None,
                "total_at_least": None if total < _COUNTED else _COUNTED - 1,
                "limit": limit,
                "offset": 0,
                "next_cursor": f"{last[7]}/{last[0]}" if last else None,
            }
        )

    def _detail(self, execution_id: str) -> bytes:
        (row,) = self._rows(_ONE, execution_id)
        return orjson.dumps(
            {
                "execution": _execution(row),
                # What is completed needs no look at its family.
                "unresolved": row[6] != "completed",
                "steps": [dict(zip(_STEP, step, strict=True)) for step in self._rows(_STEPS, execution_id)],
                "plan": _document(self._rows(_PLAN, row[1])),
                "decision": _document(self._rows(_DECISION, row[3])),
                "approval": _document(self._rows(_APPROVAL, execution_id)),
                "links": [
                    dict(zip(("source_id", "kind", "target_id"), link, strict=True))
                    for link in self._rows(_LINKS, execution_id, execution_id)
                ],
                "artifact_path": row[16],
            }
        )

    def _lineage(self, execution_id: str) -> bytes:
        ((*own,),) = self._rows(_NODE, execution_id)
        parent = own[13]
        return orjson.dumps(
            {
                "execution": dict(zip(_SUMMARY, own, strict=True)),
                "ancestors": _summaries(self._rows(_ANCESTORS, execution_id)),
                "descendants": _summaries(self._rows(_DESCENDANTS, execution_id)),
                "siblings": _summaries(self._rows(_SIBLINGS, parent, execution_id)) if parent else [],
                "truncated": _UNTRUNCATED,
                "depth": 20,
                "limit": 1000,
            }
        )


async def _live(receive: Any, send: Send) -> None:
    for event in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{event}.complete"})


def _execution(row: Row) -> dict[str, Any]:
    shown = dict(zip(_RECORD, row, strict=True))
    shown["affected_paths"] = orjson.Fragment(row[9])
    shown["verification_passed"] = bool(row[13])
    shown["health_checks_passed"] = bool(row[14])
    shown["rolled_back"] = bool(row[15])
    return shown


def _summaries(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [dict(zip(_SUMMARY, row, strict=True)) for row in rows]


def _document(found: list[Row]) -> orjson.Fragment | None:
    return orjson.Fragment(found[0][0]) if found else None
