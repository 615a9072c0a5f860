"""Who may do what.

On the loopback reading is open. What holds contents of files (changesets, diffs, logs), and whatever changes
something, needs a token with the scope, or the session of the console, which `executor serve` hands out through a
URL that works once. Both are kept in the database, so they hold for every server on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from fastapi import Request

from executor.errors import TokenNotFound
from executor.host.origin import account_name
from executor.models.times import format_time, utc_now
from executor.models.token import Scope, TokenKind, TokenRecord, new_token, split_token
from executor.storage.store import ExecutionStore
from executor_api.problems import Refused
from executor_api.settings import Settings

SESSION_SECONDS: Final = 7 * 24 * 3600
_KEY_SECONDS: Final = 24 * 3600
_SESSION_SCOPES: Final = frozenset({Scope.READ, Scope.RUN, Scope.APPROVE, Scope.CONTENT})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: `actor` as records name them. `token` says that it is a program with a token of its own."""

    actor: str
    token: bool = False
    admin: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {"actor": self.actor, "token": self.token, "admin": self.admin}


class Access:
    """Asked at the beginning of every operation."""

    def __init__(self, settings: Settings, store: Callable[[], ExecutionStore]) -> None:
        self._settings = settings
        self._store = store

    @property
    def cookie(self) -> str:
        return self._settings.cookie

    def require(self, request: Request, scope: Scope) -> Caller:
        """Raises Refused."""
        given = request.headers.get("authorization")
        if given is not None:
            kind, _, text = given.partition(" ")
            token = self._good(text.strip(), TokenKind.TOKEN) if kind.lower() == "bearer" else None
            return self._allowed(token, scope)
        if scope is Scope.READ and self._settings.loopback:
            return Caller("anybody")
        return self._allowed(self._good(request.cookies.get(self.cookie, ""), TokenKind.SESSION), scope)

    def new_key(self) -> str:
        """What can be exchanged for a session, once, within a day."""
        return self._new(TokenKind.KEY, frozenset(), _KEY_SECONDS)

    def begin_session(self, key: str) -> str | None:
        """The secret of a new session, or None for a key that is unknown, used or too old."""
        known = self._good(key, TokenKind.KEY)
        if known is None:
            return None
        try:
            first = self._store().revoke_token(known.token_id)
        except TokenNotFound:
            # It ran out and was forgotten in this moment.
            return None
        return self._new(TokenKind.SESSION, _SESSION_SCOPES, SESSION_SECONDS) if first else None

    def any_token(self) -> bool:
        """Whether some program could get in."""
        now = format_time(utc_now())
        return any(
            token.kind == TokenKind.TOKEN and token.holds(now) for token in self._store().list_tokens()
        )

    def _new(self, kind: TokenKind, scopes: frozenset[Scope], seconds: int) -> str:
        now = utc_now()
        text, record = new_token(
            kind,
            account_name(),
            scopes,
            created_at=format_time(now),
            valid_until=format_time(now + timedelta(seconds=seconds)),
        )
        self._store().record_token(record)
        return text

    def _good(self, text: str, kind: TokenKind) -> TokenRecord | None:
        presented = split_token(text)
        if presented is None:
            return None
        token_id, secret = presented
        token = self._store().get_token(token_id)
        if token is None or token.kind != kind or not token.is_good(secret, format_time(utc_now())):
            return None
        return token

    @staticmethod
    def _allowed(token: TokenRecord | None, scope: Scope) -> Caller:
        if token is None:
            raise Refused(
                401,
                "unauthorized",
                "this needs a token (executor token create) or the session of the console, which the URL begins "
                "that executor serve prints",
                {"WWW-Authenticate": "Bearer"},
            )
        if not token.allows(scope):
            raise Refused(403, "scope_missing", f"the token has no scope {scope.value}: {token.scopes}")
        if token.kind == TokenKind.SESSION:
            return Caller(account_name())
        return Caller(f"token:{token.name}", token=True, admin=token.allows(Scope.ADMIN))
