"""One look at a service: does it answer? Run as a program of its own, so that a look that hangs can be killed.

Reads a request as JSON from its only argument, prints one line that says what it saw, and exits with 0 when
that is what was asked for. Uses the standard library alone: nothing of the workspace is imported.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import ssl
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

_BODY_BYTES = 1_000_000
_REDIRECTS = 5


class Unhealthy(Exception):
    """The service is not as asked for; the text says how."""


def look(request: dict[str, Any]) -> str:
    """What was seen. Raises Unhealthy, OSError and HTTPException."""
    match request["kind"]:
        case "http":
            return _look_at_url(request)
        case "tcp":
            host, _, port = request["target"].rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port)), timeout=request["timeout"]):
                return f"{request['target']} accepts connections"
        case "process":
            return _look_for_process(request["target"])
    raise ValueError(request["kind"])


def _look_at_url(request: dict[str, Any]) -> str:
    url = request["target"]
    allowed = {urlsplit(url).netloc, *request["hosts"]}
    for _ in range(_REDIRECTS + 1):
        status, location, body = _get(url, request["timeout"])
        onward = urljoin(url, location) if location and 300 <= status < 400 else None
        if onward is None or status in request["status"]:
            break
        if urlsplit(onward).netloc not in allowed or urlsplit(onward).scheme not in ("http", "https"):
            raise Unhealthy(f"answered {status} and leads to {urlsplit(onward).netloc}, which is not allowed")
        url = onward
    else:
        raise Unhealthy(f"leads on more than {_REDIRECTS} times")
    wanted = request["status"]
    if (status not in wanted) if wanted else not 200 <= status < 300:
        raise Unhealthy(f"answered {status}, not {' or '.join(map(str, wanted)) or '2xx'}")
    if request["body"] is not None and re.search(request["body"], body) is None:
        raise Unhealthy(f"answered {status}, but nothing in its body matches {request['body']!r}")
    return f"{url} answered {status}"


def _get(url: str, timeout: float) -> tuple[int, str | None, str]:
    """Goes there directly: a proxy that answers says nothing about the service."""
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(parts.netloc, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"User-Agent": "executor-health", "Accept": "*/*", "Connection": "close"}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return (
            answer.status,
            answer.getheader("Location"),
            answer.read(_BODY_BYTES).decode("utf-8", "replace"),
        )
    finally:
        connection.close()


def _look_for_process(name: str) -> str:
    """A process of that name, or whose program has it; not this one or what started it."""
    ours = {os.getpid(), os.getppid()}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) in ours:
            continue
        try:
            program = (folder / "cmdline").read_text("utf-8", "replace").partition("\0")[0]
            stat = (folder / "stat").read_text("utf-8", "replace")
        except OSError:
            continue
        called = stat[stat.index("(") + 1 : stat.rindex(")")]
        alive = stat[stat.rindex(")") + 2] not in "ZX"
        if alive and name in (called, Path(program).name):
            return f"{name} runs as process {folder.name}"
    raise Unhealthy(f"no process is called {name}")


def main(argument: str) -> int:
    try:
        sys.stdout.write(look(json.loads(argument)) + "\n")
    except (Unhealthy, OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"{error or type(error).__name__}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
