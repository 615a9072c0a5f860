"""Answers a client may keep, as long as it asks whether they still hold."""

from __future__ import annotations

import hashlib

from starlette.requests import Request
from starlette.responses import Response


def unchanged(request: Request, tag: str) -> Response | None:
    """304 when the client has this version already."""
    known = {text.strip().removeprefix("W/") for text in request.headers.get("if-none-match", "").split(",")}
    return Response(status_code=304, headers=headers(tag)) if known & {tag, "*"} else None


def headers(tag: str) -> dict[str, str]:
    return {"ETag": tag, "Cache-Control": "private, no-cache"}


def tag_of(content: bytes) -> str:
    return f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'
