"""The stream of events: whatever is written, by whom and whoever dies, each event comes once and in order."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from executor.storage.store import ExecutionStore
from executor.testing.factories import finish, start
from support.api import client, problem_of
from support.command import Repository


class Frame(NamedTuple):
    id: int
    event: str
    data: dict[str, Any]


class Workplace(NamedTuple):
    repository: Repository
    store: ExecutionStore


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def workplace(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workplace]:
    environ = {}
    if request.param == "postgresql":
        environ = {"EXECUTOR_DATABASE_URL": request.getfixturevalue("postgres_url")}
        monkeypatch.setenv("EXECUTOR_DATABASE_URL", environ["EXECUTOR_DATABASE_URL"])
    with ExecutionStore(tmp_path) as store:
        yield Workplace(Repository(tmp_path, environ), store)


@contextmanager
def serving(repository: Repository, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    process = repository.start("serve", "--port", str(port))
    assert process.stdout is not None
    try:
        url = process.stdout.readline()
        yield url.partition("/ui/")[0], process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err


@contextmanager
def streaming(base: str, last: int | None = None, **query: Any) -> Iterator[Iterator[Frame]]:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with (
        httpx2.Client(base_url=base, timeout=60) as client,
        client.stream("GET", "/events/stream", params=query, headers=headers) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield frames(answer.iter_lines())


def frames(lines: Iterator[str]) -> Iterator[Frame]:
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = value
        elif fields:
            yield Frame(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}


def positions(store: ExecutionStore) -> list[int]:
    return [event.position for event in store.read_events_after(0, 100_000)]


def test_what_others_write_appears_as_it_is_recorded(workplace: Workplace) -> None:
    """From the moment the stream is open; with `after` or `Last-Event-ID` from there on."""
    store = workplace.store
    finish(store, "before")
    with serving(workplace.repository) as (base, _), streaming(base) as live:
        opened = next(live)
        finish(store, "e1", title="größe")
        seen = [next(live), next(live)]
        with streaming(base, after=0) as replay:
            whole = [next(replay).id for _ in range(5)][1:]
        with streaming(base, last=seen[0].id, after=0) as resumed:
            rest = [next(resumed) for _ in range(2)][1:]

    lines = [event.to_dict() for event in store.list_events("e1")]
    assert ("open", {"position": opened.id}) == (opened.event, opened.data)
    assert ["execution_start", "execution_end"] == [frame.event for frame in seen]
    assert lines == [frame.data for frame in seen]
    assert positions(store) == whole
    assert seen[1:] == rest


def test_only_what_was_asked_for_comes(tmp_path: Path) -> None:
    """Everything asked for holds together; the last event passes every question."""
    questions: list[tuple[dict[str, Any], list[str]]] = [
        ({"correlation_id": "task/1"}, ["root", "child", "last", "last"]),
        ({"execution_id": ["child", "last"]}, ["child", "last", "last"]),
        ({"type": "execution_end"}, ["other", "last"]),
        ({"correlation_id": "task/1", "type": "execution_end"}, ["last"]),
    ]
    with ExecutionStore(tmp_path) as store:
        start(store, "root", correlation_id="task/1")
        start(store, "child", "root")
        finish(store, "other")
        finish(store, "last", "root")
        end = store.last_event_position()
    with serving(Repository(tmp_path)) as (base, _):
        for query, expected in questions:
            found = []
            with streaming(base, after=0, **query) as stream:
                next(stream)
                for frame in stream:
                    found.append(frame.data["execution_id"])
                    if frame.id == end:
                        break

            assert expected == found


def until_lost(base: str, last: int, kill: int) -> Iterator[Frame]:
    """The events that come until the connection is lost, which is soon after the fiftieth."""
    with suppress(httpx2.TransportError), streaming(base, last=last) as stream:
        for number, frame in enumerate(stream):
            if number == 50:
                os.kill(kill, signal.SIGKILL)
            if frame.event != "open":
                yield frame


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.full)])
def test_nothing_is_lost_or_doubled_while_writers_write_and_servers_die(
    workplace: Workplace, kills: int
) -> None:
    """Four writers; the client comes back with the last id it saw, as a browser does."""
    store = workplace.store
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    stop = threading.Event()

    def write(name: str) -> None:
        number = 0
        while not stop.is_set():
            finish(store, f"{name}-{number}")
            number += 1
            time.sleep(0.01)

    writers = [threading.Thread(target=write, args=(f"writer{n}",)) for n in range(4)]
    for writer in writers:
        writer.start()
    seen: list[int] = []
    last = 0
    try:
        for _ in range(kills):
            with serving(workplace.repository, port) as (base, process):
                for frame in until_lost(base, last, kill=process.pid):
                    seen.append(frame.id)
                    last = frame.id
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    end = store.last_event_position()
    with serving(workplace.repository, port) as (base, _), streaming(base, last=last) as stream:
        for frame in stream:
            if frame.event != "open":
                seen.append(frame.id)
            if frame.id >= end:
                break

    assert positions(store) == seen


def test_a_server_that_is_stopped_ends_its_streams(workplace: Workplace) -> None:
    """Without waiting for clients that would listen for ever."""
    with serving(workplace.repository) as (base, process), streaming(base) as stream:
        next(stream)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()

        assert [] == list(stream)
        process.wait(timeout=60)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ({"type": "nonsense"}, {}),
        ({"after": "-1"}, {}),
        ({"after": str(2**63)}, {}),
        ({}, {"Last-Event-ID": "abc"}),
        ({}, {"Last-Event-ID": "9" * 31}),
    ],
)
def test_what_is_no_position_is_refused(
    tmp_path: Path, query: dict[str, str], headers: dict[str, str]
) -> None:
    with client(tmp_path) as api:
        assert 422 == problem_of(api.get("/events/stream", params=query, headers=headers))[0]
