"""Who may do what.

On the loopback reading is open. What holds contents of files (changesets, diffs, logs), and whatever changes
something, needs the session of the console, which `executor serve` hands out through a URL that works once.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from fastapi import Request

from executor.host.origin import account_name
from executor_api.problems import Refused
from executor_api.settings import Settings

SESSION_SECONDS: Final = 7 * 24 * 3600


class Scope(StrEnum):
    """What a caller may do. `content` is what holds contents of files."""

    READ = "read"
    RUN = "run"
    APPROVE = "approve"
    CONTENT = "content"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: `actor` as records name them. `token` says that it is a program with a token of its own."""

    actor: str
    token: bool = False
    admin: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {"actor": self.actor, "token": self.token, "admin": self.admin}


class Sessions:
    """The console's sessions of this process. Only digests are kept. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: set[bytes] = set()
        self._sessions: dict[bytes, float] = {}

    def new_key(self) -> str:
        """What can be exchanged for a session, once."""
        key = secrets.token_urlsafe(32)
        with self._lock:
            self._keys.add(_digest(key))
        return key

    def begin(self, key: str) -> str | None:
        """The secret of a new session, or None for a key that is unknown or used."""
        digest = _digest(key)
        with self._lock:
            if not any(hmac.compare_digest(digest, known) for known in self._keys):
                return None
            self._keys.discard(digest)
            session = secrets.token_urlsafe(32)
            self._sessions[_digest(session)] = time.monotonic() + SESSION_SECONDS
            return session

    def holds(self, secret: str) -> bool:
        digest = _digest(secret)
        with self._lock:
            ends = next(
                (ends for known, ends in self._sessions.items() if hmac.compare_digest(digest, known)), 0.0
            )
        return time.monotonic() < ends


class Access:
    """Asked at the beginning of every operation."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.sessions = Sessions()

    @property
    def cookie(self) -> str:
        return self._settings.cookie

    def require(self, request: Request, scope: Scope) -> Caller:
        """Raises Refused."""
        session = request.cookies.get(self.cookie)
        if session is not None and self.sessions.holds(session):
            return Caller(account_name())
        if scope is Scope.READ and self._settings.loopback:
            return Caller("anybody")
        raise Refused(
            401,
            "unauthorized",
            "this needs the session of the console; executor serve prints the URL that begins one",
            {"WWW-Authenticate": "Cookie"},
        )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
