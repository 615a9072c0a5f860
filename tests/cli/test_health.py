"""Health checks from `config.toml`, against real services on this host."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from support.command import GOOD_PATCH, VERIFY, Repository


class Service(ThreadingHTTPServer):
    """Answers `/ok`, `/broken`, `/elsewhere` (a redirect to another host), and `/slow` never."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[str] = []
        self.broken_for = 10**9
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path == "/slow":
            self.server.over.wait(60)
            return
        broken = self.path == "/broken" and len(self.server.asked) <= self.server.broken_for
        self.send_response(302 if self.path == "/elsewhere" else 503 if broken else 200)
        if self.path == "/elsewhere":
            self.send_header("Location", "http://127.0.0.2:9/ok")
        self.end_headers()
        self.wfile.write(b'{"status": "up", "version": 7}')

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.calculator(tmp_path / "repository")


def configure(repository: Repository, text: str) -> None:
    repository.write(".executor/config.toml", text)


def outcome(repository: Repository) -> tuple[Any, ...]:
    record = repository.run("show", "@last", "--json").json["execution"]
    return tuple(record[name] for name in ("status", "error_step", "error_code", "health_checks_passed"))


def events(repository: Repository, name: str) -> list[dict[str, Any]]:
    found = repository.run("events", "@last", "--json").json["events"]
    return [event for event in found if event["event"] == name]


HEALTHY = ("completed", None, None, True)
UNHEALTHY = ("rolled_back", "health", "health_check_failed", False)


@contextmanager
def listening() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def test_a_change_stays_when_every_service_is_well(repository: Repository, service: Service) -> None:
    with listening() as port:
        configure(
            repository,
            f"""\
[health.web]
http = "{service.url}/ok"
status = [200, 204]
body = '"version": \\d+'
[health.port]
tcp = "127.0.0.1:{port}"
[health.us]
process = "{Path(sys.executable).name}"
[health.smoke]
command = "{VERIFY}"
timeout = 60
""",
        )
        shown = repository.run("plan", "--patch", "-", stdin=GOOD_PATCH).out
        assert f"health: web  (http {service.url}/ok, within " in shown
        assert "health: smoke" in shown
        assert [] == service.asked

        result = repository.apply(GOOD_PATCH)

    assert 0 == result.code, result.err
    assert HEALTHY == outcome(repository)
    steps = repository.run("show", "@last", "--json").json["steps"]
    assert 4 == [step["step_name"] for step in steps].count("health")
    assert ["/ok"] == service.asked


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('http = "{url}/broken"', "answered 503, not 2xx"),
        ('http = "{url}/ok"\nstatus = 204', "answered 200, not 204"),
        ('http = "{url}/ok"\nbody = "down"', "nothing in its body matches 'down'"),
        ('http = "{url}/elsewhere"', "leads to 127.0.0.2:9, which is not allowed"),
        ('http = "{url}/elsewhere"\nhosts = ["127.0.0.2:9"]', "refused"),
        ('http = "http://127.0.0.1:{closed}/"', "refused"),
        ('tcp = "127.0.0.1:{closed}"', "refused"),
        ('process = "no-such-program"', "no process is called no-such-program"),
        ("command = \"sh -c 'echo the queue is full; exit 3'\"", "exited with 3: the queue is full"),
    ],
)
def test_a_critical_check_that_is_not_satisfied_puts_everything_back(
    repository: Repository, service: Service, table: str, said: str
) -> None:
    before = repository.state()
    with listening() as port:
        closed = port
    configure(repository, "[health.it]\n" + table.format(url=service.url, closed=closed))

    result = repository.apply(GOOD_PATCH)

    assert 1 == result.code, result.err
    assert before == repository.state()
    assert UNHEALTHY == outcome(repository)
    (failed,) = events(repository, "health_check_failed")
    assert ("it", 1) == (failed["check"], failed["tries"])
    assert said in failed["message"]


def test_one_that_is_not_critical_warns(repository: Repository, service: Service) -> None:
    configure(repository, f'[health.web]\nhttp = "{service.url}/broken"\ncritical = false\n')

    result = repository.apply(GOOD_PATCH)

    assert 0 == result.code, result.err
    assert "warning: web is not healthy: answered 503" in result.err
    assert ("completed", None, None, False) == outcome(repository)
    assert ["web"] == [event["check"] for event in events(repository, "health_warning")]
    assert "warning: web is not healthy: answered 503" in repository.run("show", "@last").out


def test_it_is_tried_again_until_it_is_well(repository: Repository, service: Service) -> None:
    service.broken_for = 2
    configure(repository, f'[health.web]\nhttp = "{service.url}/broken"\nretries = 5\ninterval = 0.01\n')

    assert 0 == repository.apply(GOOD_PATCH).code

    assert 3 == len(service.asked)
    assert HEALTHY == outcome(repository)


@pytest.mark.parametrize("table", ['http = "{url}/slow"', 'command = "sleep 60"'])
def test_one_that_hangs_ends_at_its_deadline(repository: Repository, service: Service, table: str) -> None:
    limits = "\nretries = 1000\ninterval = 0.01\ntimeout = 30\ndeadline = 0.5\n"
    configure(repository, "[health.it]\n" + table.format(url=service.url) + limits)
    began = time.monotonic()

    result = repository.apply(GOOD_PATCH)

    assert 1 == result.code, result.err
    assert UNHEALTHY == outcome(repository)
    assert 30 > time.monotonic() - began


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[helth.web]\n", "no setting 'helth'"),
        ("[health.web]\nhttp = \n", "line 2"),
        (
            '[health.web]\nhttp = "http://x/"\nretry = 3\n',
            "[health.web]: Object contains unknown field `retry`",
        ),
        ('[health.web]\nhttp = "http://x/"\nretries = -1\n', "[health.web]: retries: Expected `int` >= 0"),
        ('[health.web]\nhttp = "http://x/"\ntcp = "x:1"\n', "exactly one of http, tcp, process and command"),
        ("[health.web]\n", "exactly one of http, tcp, process and command"),
        ('[health.web]\nhttp = "ftp://x/"\n', "[health.web]: http: give a URL"),
        ('[health.web]\nhttp = "http://x:99999/"\n', "[health.web]: "),
        ('[health.web]\nhttp = "http://x/"\nbody = "("\n', "body: this is no regular expression"),
        ('[health.db]\ntcp = "5432"\n', "tcp: give HOST:PORT"),
        ('[health.db]\ntcp = "x:1"\nstatus = 200\n', "belong to http"),
        ("[health]\nweb = 1\n", "[health.web]"),
    ],
)
def test_a_mistake_in_the_settings_stops_the_change_and_is_named(
    repository: Repository, text: str, said: str
) -> None:
    configure(repository, text)
    before = repository.state()

    result = repository.apply(GOOD_PATCH)

    assert 2 == result.code
    assert said in result.err.replace("\n", " ")
    assert ".executor/config.toml" in result.err
    assert before == repository.state()
