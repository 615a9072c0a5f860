"""What every request passes before anything else looks at it.

A page of another origin in the user's browser can send requests to a server on the loopback. It cannot choose
the Host, Origin and Sec-Fetch-Site headers the browser adds; these are what tells it from the console.
"""

from __future__ import annotations

import re
import secrets
import time
from typing import Final
from urllib.parse import unquote_to_bytes

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from executor_api.access_log import AccessLog
from executor_api.problems import problem
from executor_api.settings import Settings

MAX_BODY: Final = 1 << 20
MAX_DEPTH: Final = 64
MAX_QUERY: Final = 16 << 10
MAX_PATH: Final = 8 << 10
MAX_HEADERS: Final = 32 << 10

CONSOLE: Final = "/ui"
_CONSOLE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# Whatever an answer holds, a browser that shows it runs none of it.
_DATA_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
# As they go over the wire: every answer has them, and making them anew would cost more than the answer.
_CONSOLE_HEADERS: Final = (*_HEADERS, (b"content-security-policy", _CONSOLE_POLICY.encode()))
_DATA_HEADERS: Final = (*_HEADERS, (b"content-security-policy", _DATA_POLICY.encode()))
_NOT_KEPT: Final = (b"cache-control", b"no-store")
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS: Final = bytes.maketrans(b"[]{}", b"()()")
_OTHER_BYTES: Final = bytes(set(range(256)) - set(b"[]{}"))
# Looking at more than this is left to a thread.
_LARGE: Final = 64 << 10
_OWN_SITES: Final = frozenset({b"none", b"same-origin"})
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class _TooLarge(Exception):
    pass


class _Unusable(Exception):
    def __init__(self, status: int, code: str, detail: str) -> None:
        self.status, self.code, self.detail = status, code, detail


class Guard:
    """Refuses what did not come from a program of the user or the console itself, and what is too large.

    Replaces the path by one in which an escaped slash stays apart from one that separates segments.
    """

    def __init__(self, app: ASGIApp, settings: Settings, access_log: AccessLog | None = None) -> None:
        self.app = app
        self._hosts = settings.hosts
        self._log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self._log is None:
            await self._answer(scope, receive, send, secrets.token_hex(8))
            return
        began, request_id, path = time.monotonic(), secrets.token_hex(8), scope["path"]
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._answer(scope, receive, noting, request_id)
        finally:
            self._log.write(request_id, scope["method"], path, status, time.monotonic() - began)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        scope["executor_request_id"] = request_id
        console = scope["path"] == CONSOLE or scope["path"].startswith(CONSOLE + "/")
        fixed = _CONSOLE_HEADERS if console else _DATA_HEADERS
        identified = (b"x-request-id", request_id.encode())

        async def decorated(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [*message.get("headers", ()), identified, *fixed]
                if not any(name == b"cache-control" for name, _ in given):
                    given.append(_NOT_KEPT)
                message["headers"] = given
            await send(message)

        try:
            self._check(scope, console=console)
            if scope["method"] in _WITH_BODY:
                receive = _replayed(await _body(Headers(scope=scope), receive))
        except _Unusable as error:
            answer = problem(error.status, error.code, error.detail, request_id=request_id)
            await answer(scope, receive, decorated)
            return
        scope["path"] = segmented(scope.get("raw_path") or scope["path"].encode())
        await self.app(scope, receive, decorated)

    def _check(self, scope: Scope, *, console: bool) -> None:
        size = 0
        hosts: list[bytes] = []
        # Of a header that stands there twice no other part may believe another one.
        origins: list[bytes] = []
        sites: list[bytes] = []
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            if name == b"host":
                hosts.append(value)
            elif name == b"origin":
                origins.append(value)
            elif name == b"sec-fetch-site":
                sites.append(value)
        if size > MAX_HEADERS:
            raise _Unusable(431, "headers_too_large", f"headers may have {MAX_HEADERS:,} bytes")
        if len(scope["query_string"]) > MAX_QUERY or len(scope.get("raw_path") or b"") > MAX_PATH:
            raise _Unusable(
                414, "address_too_long", f"the query may have {MAX_QUERY:,} bytes, the path {MAX_PATH:,}"
            )
        host = hosts[0].decode("latin-1") if len(hosts) == 1 else None
        if host is None or host_name(host) not in self._hosts:
            raise _Unusable(
                421,
                "host_not_allowed",
                "this server is not known by the name of the Host header; start it with --allow-host NAME",
            )
        if any(origin.decode("latin-1").lower() not in _origins_of(host) for origin in origins):
            raise _Unusable(403, "cross_origin", "requests of pages of another origin are not answered")
        if any(site not in _OWN_SITES for site in sites) and not _navigates(scope, console=console):
            raise _Unusable(403, "cross_origin", "requests of pages of another site are not answered")


def host_name(host: str) -> str:
    """The name in a Host header, without port, in lower case."""
    name = host.lower()
    if name.startswith("["):
        return name[: name.find("]") + 1]
    return name.partition(":")[0]


def _origins_of(host: str) -> tuple[str, str]:
    # Behind a proxy that ends TLS the page has another scheme than we see, under the same name.
    return f"http://{host.lower()}", f"https://{host.lower()}"


def _navigates(scope: Scope, *, console: bool) -> bool:
    """Whether somebody followed a link to the console, which may stand anywhere."""
    headers = Headers(scope=scope)
    opens = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return scope["method"] == "GET" and opens and (console or scope["path"] == "/")


async def _body(headers: Headers, receive: Receive) -> bytes:
    too_large = _Unusable(413, "body_too_large", f"a body may have {MAX_BODY:,} bytes")
    announced = headers.get("content-length", "0")
    if announced.isdigit() and int(announced[:20]) > MAX_BODY:
        raise too_large
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise too_large
        more = message.get("more_body", False)
    if body and headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _Unusable(415, "json_expected", "send the body as application/json")
    if await to_thread.run_sync(too_deep, body) if len(body) > _LARGE else too_deep(body):
        raise _Unusable(422, "body_too_deep", f"a body may be nested {MAX_DEPTH} levels deep")
    return body


def _replayed(body: bytes) -> Receive:
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def too_deep(body: bytes) -> bool:
    """Whether the brackets of a JSON text are nested too deep; those in strings do not count.

    Peels off one level at a time, the innermost first, which stays in C. What is left of text that is not
    balanced are closing brackets, then opening ones.
    """
    brackets = _STRING.sub(b"", body).translate(_BRACKETS, _OTHER_BYTES)
    for _ in range(MAX_DEPTH):
        if b"()" not in brackets:
            break
        brackets = brackets.replace(b"()", b"")
    return b"()" in brackets or brackets.count(b"(") > MAX_DEPTH


def segmented(raw_path: bytes) -> str:
    """The path decoded, except for `/` and `%` that were escaped: routes split it, then decode these."""
    path, _, _ = raw_path.partition(b"?")
    if b"%" not in path:
        return path.decode("utf-8", "replace")
    decoded = b"/".join(
        unquote_to_bytes(segment).replace(b"%", b"%25").replace(b"/", b"%2F") for segment in path.split(b"/")
    )
    return decoded.decode("utf-8", "replace")
