"""Tokens: what a program, or a browser, identifies itself with to a server."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from executor.models.ids import new_id

SECRET_BYTES: Final = 32
LONGEST: Final = 256


class Scope(StrEnum):
    """What a caller may do.

    `content` is what holds contents of files: changesets, diffs, logs. `admin` may bring commands of its own.
    """

    READ = "read"
    RUN = "run"
    APPROVE = "approve"
    CONTENT = "content"
    ADMIN = "admin"


class TokenKind(StrEnum):
    """A `key` is exchanged, once, for a `session` of the console."""

    TOKEN = "token"
    KEY = "key"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token as it is kept: `scopes` are words with blanks in between, of the secret only the SHA-256."""

    token_id: str
    kind: str
    name: str
    scopes: str
    secret_sha256: str
    created_at: str
    valid_until: str | None = None
    revoked_at: str | None = None

    def allows(self, scope: Scope) -> bool:
        return scope.value in self.scopes.split()

    def holds(self, now: str) -> bool:
        """Whether it is neither revoked nor too old at `now` (a time as stored)."""
        return self.revoked_at is None and (self.valid_until is None or now < self.valid_until)

    def is_good(self, secret: str, now: str) -> bool:
        """Whether the secret is this token's, and the token holds at `now` (a time as stored)."""
        equal = hmac.compare_digest(_digest(secret), self.secret_sha256)
        return equal and self.holds(now)


def new_token(
    kind: TokenKind, name: str, scopes: frozenset[Scope], *, created_at: str, valid_until: str | None = None
) -> tuple[str, TokenRecord]:
    """The text that is shown once, and what is kept of it."""
    prefix = {TokenKind.TOKEN: "tok", TokenKind.KEY: "key", TokenKind.SESSION: "ses"}[kind]
    token_id, secret = new_id(prefix), secrets.token_urlsafe(SECRET_BYTES)
    listed = " ".join(scope.value for scope in Scope if scope in scopes)
    record = TokenRecord(token_id, kind.value, name, listed, _digest(secret), created_at, valid_until)
    return f"{token_id}.{secret}", record


def split_token(text: str) -> tuple[str, str] | None:
    """Id and secret of what somebody presents; None for what is no token."""
    token_id, separator, secret = text.partition(".")
    return (token_id, secret) if separator and len(text) <= LONGEST and text.isascii() else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
