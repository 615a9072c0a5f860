"""A web server that is notified, and the outbox it is notified from."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from executor.host.outbox import Outbox

PATIENCE = 90.0


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


@dataclass
class Webhook:
    """Answers with each of `answers` in turn, then with the last again. With `held` it answers once released."""

    answers: Sequence[int] = (204,)
    held: bool = False
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook/secret-path"

    @contextmanager
    def serving(self) -> Iterator[Webhook]:
        server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        server.daemon_threads = True
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            server.shutdown()
            thread.join()
            server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.requests.append(Request(self.path, dict(self.headers), body))
                if webhook.held:
                    webhook.released.wait(PATIENCE)
                status = webhook.answers[min(len(webhook.requests), len(webhook.answers)) - 1]
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"http://127.0.0.1:{webhook.port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def await_empty(root: Path) -> Outbox:
    """Waits until nothing is to be delivered any more, and nobody delivers."""
    outbox = Outbox(root / ".executor")
    end = time.monotonic() + PATIENCE
    while outbox.pending():
        assert time.monotonic() < end, outbox.pending()
        time.sleep(0.05)
    return await_delivery(root)


def await_delivery(root: Path) -> Outbox:
    """Waits until nobody delivers for this workspace any more; what has been tried may still be there."""
    outbox = Outbox(root / ".executor")
    end = time.monotonic() + PATIENCE
    quiet = 0
    while quiet < 3:
        assert time.monotonic() < end
        with outbox.alone() as alone:
            # Who has just been started has not taken the lock yet.
            untried = any(not letter.tries for letter in outbox.pending())
            quiet = quiet + 1 if alone and not untried else 0
        time.sleep(0.05)
    return outbox
