"""The rows about HTTP: a server in a process of its own, asked over one kept connection."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from benchmarks.baseline.dataset import execution_id
from benchmarks.recording import recorder
from benchmarks.results import BASELINE, STORE, Shape
from benchmarks.timing import Sample
from benchmarks.works import (
    HTTP_APPEARS,
    HTTP_DETAIL,
    HTTP_HOLD,
    HTTP_LINEAGE,
    HTTP_LIST,
    HTTP_STREAMS,
    PAGE,
    STATUS,
    Case,
    Databases,
    Settings,
    Work,
)
from executor.models.decision import GovernanceDecision, RuleOutcome, RuleResult
from executor.models.execution import RiskLevel, StepName, TriggerKind, Verdict
from executor.models.plan import ChangePlan, Check, DriftRule, RiskReason
from executor.storage.store import ExecutionStore

ROOT: Final = Path(__file__).resolve().parent.parent
HOLD_LIMIT_SECONDS: Final = 0.010
APPEARS_LIMIT_SECONDS: Final = 0.5
# A browser sends as much, or more.
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "benchmarks",
    "Sec-Fetch-Site": "same-origin",
}
_STEPS: Final = (StepName.VALIDATE, StepName.BACKUP, StepName.APPLY, StepName.VERIFY, StepName.HEALTH)
_DETAILED: Final = "exec_detailed_{}"
_WRITES: Final = 20
_MOST_REPEATS: Final = 2_000
_PATIENCE_SECONDS: Final = 60


class Server:
    """A process that serves one database, as the baseline or as the API does."""

    def __init__(self, subject: str, place: str, workspace: Path) -> None:
        paths = os.pathsep.join(map(str, (ROOT, ROOT / "packages", ROOT / "apps" / "core-api")))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.web_server", subject, place, str(workspace)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._said("ready"))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def asked(self, word: Literal["cpu", "watch", "hold"]) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._said(word)

    def _said(self, word: str) -> str:
        assert self._process.stdout is not None
        said = self._process.stdout.readline().split()
        if not said or said[0] != word:
            raise RuntimeError(f"a server said {' '.join(said)!r} in place of {word!r}")
        return said[-1]

    def connected(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_SECONDS)


def get(connection: HTTPConnection, path: str) -> bytes:
    connection.request("GET", path, headers=_HEADERS)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
    return body


def http_cases(databases: Databases, settings: Settings, stack: ExitStack) -> Iterator[Case]:
    """Questions over HTTP to the database of the store; `stack` closes the servers."""
    store = stack.enter_context(databases.store())
    workspace = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench.")))
    detailed = [_DETAILED.format(number) for number in range(5)]
    for name in detailed:
        _record_in_detail(store, name)
    servers: dict[str, Server] = {}

    def server(subject: str) -> Server:
        # Rows that are not measured need none.
        if subject not in servers:
            servers[subject] = Server(subject, databases.stored, workspace)
            stack.callback(servers[subject].close)
        return servers[subject]

    chain = settings.shapes.chain // 2
    lists = [f"/executions?status={STATUS}&limit={PAGE}"]
    details = [f"/executions/{name}" for name in detailed]
    lineages = [f"/executions/{execution_id(root + chain)}/lineage" for root in databases.families.chains]
    for work, paths in ((HTTP_LIST, lists), (HTTP_DETAIL, details), (HTTP_LINEAGE, lineages)):
        yield _reading(work, paths, server, settings.slice_seconds)
    parent = execution_id(databases.families.parents[0])
    yield _hold(parent, details[0], server)
    writes = min(_WRITES, settings.records_a_round)
    yield _appears(databases, store, server, writes)
    yield _streams(databases, store, server, writes, settings.streams)


def _record_in_detail(store: ExecutionStore, name: str) -> None:
    """A completed execution with all that is kept beside one."""
    plan_id, changeset_id, decision_id = f"plan_{name}", f"cs_{name}", f"dec_{name}"
    now = "2026-01-01T00:00:00.000000Z"
    plan = ChangePlan(
        plan_id=plan_id,
        changeset_id=changeset_id,
        workspace_id=store.workspace_id,
        trigger_kind=TriggerKind.MANUAL,
        title="Round to the nearest cent",
        why="Totals are one cent off",
        scope=("src/money.py", "tests/test_money.py"),
        proposed_risk=RiskLevel.LOW,
        risk_reasons=(RiskReason(level=RiskLevel.LOW, reason="2 files, 9 lines"),),
        verification=(Check(name="tests", argv=("pytest", "-q")),),
        health_checks=(),
        rollback="restore",
        drift=DriftRule.FAIL,
        created_at=now,
    )
    rules = ("paths", "limits", "secrets", "checks", "trigger")
    decision = GovernanceDecision(
        plan_id=plan_id,
        changeset_id=changeset_id,
        decision_id=decision_id,
        workspace_id=store.workspace_id,
        changeset_checksum="0" * 64,
        policy_name="built-in",
        policy_hash="0" * 64,
        verdict=Verdict.ALLOW,
        proposed_risk=RiskLevel.LOW,
        effective_risk=RiskLevel.LOW,
        rules=tuple(RuleResult(rule=rule, outcome=RuleOutcome.PASS) for rule in rules),
        base=(),
        decided_at=now,
    )
    store.record_execution_start(
        execution_id=name,
        plan_id=plan_id,
        changeset_id=changeset_id,
        decision_id=decision_id,
        checksum=decision.changeset_checksum,
        verdict="allow",
        risk_level="low",
        affected_paths=list(plan.scope),
        artifact_path=f"/srv/app/.executor/executions/{name}",
        title=plan.title,
        plan=plan,
        decision=decision,
    )
    for number, step in enumerate(_STEPS, 1):
        step_id = store.record_step_start(name, number, step, f"steps/{number:02}.log")
        store.record_step_end(step_id, "completed", 0.25)
    store.record_execution_end(name, "completed", 1.5, 2, True, True)


# What a request costs.


def _reading(work: Work, paths: Sequence[str], server: Callable[[str], Server], slice_seconds: float) -> Case:
    case = Case(work, {}, {})
    ids: dict[str, list[set[str]]] = {}
    for name in (BASELINE, STORE):
        case.subjects[name] = _asking(work, paths, server, name, slice_seconds, case, ids)
    return case


def _asking(
    work: Work,
    paths: Sequence[str],
    server: Callable[[str], Server],
    name: str,
    slice_seconds: float,
    case: Case,
    ids: dict[str, list[set[str]]],
) -> Callable[[int], Sample]:
    times = 0

    def begin(connection: HTTPConnection) -> int:
        found = [_records(orjson.loads(get(connection, path))) for path in paths]
        case.answers[name] = Shape(sum(map(len, found)), len(found[0][0]))
        ids[name] = [{record["execution_id"] for record in records} for records in found]
        assert all(given == ids[name] for given in ids.values()), f"{work.key}: other executions"
        began = time.perf_counter()
        for path in paths:
            get(connection, path)
        # Five slices: of a request over HTTP there are fewer to take the mean of.
        return max(1, min(_MOST_REPEATS, round(5 * slice_seconds / (time.perf_counter() - began))))

    def ask(number: int) -> Sample:
        nonlocal times
        with closing(server(name).connected()) as connection:
            times = times or begin(connection)
            get(connection, paths[0])
            wall, cpu = time.perf_counter(), float(server(name).asked("cpu"))
            for _ in range(times):
                for path in paths:
                    get(connection, path)
            used, units = float(server(name).asked("cpu")) - cpu, times * len(paths)
            return Sample((time.perf_counter() - wall) / units, used / units)

    return ask


def _records(answer: dict[str, Any]) -> list[dict[str, Any]]:
    if "executions" in answer:
        return list(answer["executions"])
    if "ancestors" in answer:
        return [answer["execution"], *answer["ancestors"], *answer["descendants"], *answer["siblings"]]
    detail = answer["execution"]
    # What a detail holds beside the record counts as columns.
    beside = {f"{name} {n}": item for name in ("steps", "links") for n, item in enumerate(answer[name])}
    beside |= {name: answer[name] for name in ("plan", "decision", "approval") if answer[name]}
    return [{**detail, **beside}]


# The event loop.


def _hold(parent: str, detail: str, server: Callable[[str], Server]) -> Case:
    """Two clients at once; the answers of both are as large as they come."""
    large = [f"/executions/{parent}/lineage?limit=10000", "/executions?limit=500", detail]
    plans = [large * 3, [detail, *large[::-1]] * 3]

    def ask(number: int) -> Sample:
        asked = server(STORE)
        asked.asked("watch")
        clients = [threading.Thread(target=_get_all, args=(asked, paths)) for paths in plans]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        return Sample(float(asked.asked("hold")), None)

    return Case(HTTP_HOLD, {BASELINE: _limit(HOLD_LIMIT_SECONDS), STORE: ask}, {})


def _limit(seconds: float) -> Callable[[int], Sample]:
    return lambda number: Sample(seconds, None)


def _get_all(server: Server, paths: Sequence[str]) -> None:
    connection = server.connected()
    for path in paths:
        get(connection, path)
    connection.close()


# Streams.


class Stream:
    """One client of the live events, which notes what it was sent."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=_PATIENCE_SECONDS)
        request = f"GET /events/stream?type=execution_end HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"
        self.socket.sendall(request.encode())
        self._held = b""
        self.seen: list[str] = []
        while b"event: open" not in self._held:
            self._held += self.socket.recv(1 << 16)
        self._held = b""
        self.socket.setblocking(False)

    def take(self) -> None:
        """What has arrived: ids of executions that ended."""
        self._held += self.socket.recv(1 << 16)
        *lines, self._held = self._held.split(b"\n")
        self.seen += [orjson.loads(line[6:])["execution_id"] for line in lines if line.startswith(b"data: {")]


def _appears(
    databases: Databases, store: ExecutionStore, server: Callable[[str], Server], writes: int
) -> Case:
    case = Case(HTTP_APPEARS, {}, {})

    def ask(number: int) -> Sample:
        (stream,) = streams = [Stream(server(STORE))]
        worst = 0.0
        for row in databases.fresh_rows(writes):
            recorder(store, row)()
            worst = max(worst, _until(streams, [row[0]]))
            case.lost.append(int(stream.seen != [row[0]]))
            stream.seen.clear()
        stream.socket.close()
        return Sample(worst, None)

    case.subjects.update({BASELINE: _limit(APPEARS_LIMIT_SECONDS), STORE: ask})
    return case


def _streams(
    databases: Databases, store: ExecutionStore, server: Callable[[str], Server], writes: int, count: int
) -> Case:
    case = Case(HTTP_STREAMS, {}, {})

    def ask(number: int) -> Sample:
        streams = [Stream(server(STORE)) for _ in range(count)]
        written = databases.fresh_rows(writes)
        for row in written:
            recorder(store, row)()
        expected = [row[0] for row in written]
        seconds = _until(streams, expected)
        case.lost.append(sum(stream.seen != expected for stream in streams))
        for stream in streams:
            stream.socket.close()
        return Sample(seconds, None)

    case.subjects.update({BASELINE: _limit(APPEARS_LIMIT_SECONDS), STORE: ask})
    return case


def _until(streams: Sequence[Stream], expected: Sequence[str]) -> float:
    """Seconds from now until each stream has as many events as are expected; gives up after a minute."""
    began = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        waiting = 0
        for stream in streams:
            if len(stream.seen) < len(expected):
                selector.register(stream.socket, selectors.EVENT_READ, stream)
                waiting += 1
        while waiting and time.perf_counter() - began < _PATIENCE_SECONDS:
            for key, _ in selector.select(1.0):
                key.data.take()
                if len(key.data.seen) >= len(expected):
                    selector.unregister(key.fileobj)
                    waiting -= 1
    return time.perf_counter() - began
