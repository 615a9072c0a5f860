"""A line of JSON for each request: what was asked for, how it came out, how long it took.

Queries are left out: a key of the console, or what somebody searches for, is nobody's business later. So are headers
and bodies, with them tokens and cookies.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Final

import orjson
import structlog

from executor.errors import InvalidSettings

_LONGEST_PATH: Final = 512


class AccessLog:
    """Appends to a file that only its owner can read. Raises InvalidSettings when it cannot be opened."""

    def __init__(self, file: Path) -> None:
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as cause:
            raise InvalidSettings(f"the access log {file} cannot be written: {cause.strerror}") from cause
        self._file: BinaryIO = os.fdopen(descriptor, "ab", buffering=0)
        self._logger = structlog.wrap_logger(
            structlog.BytesLogger(self._file),
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
                structlog.processors.JSONRenderer(serializer=orjson.dumps),
            ],
        )

    def write(self, request_id: str, method: str, path: str, status: int, seconds: float) -> None:
        self._logger.info(
            "request",
            request_id=request_id,
            method=method,
            path=path[:_LONGEST_PATH],
            status=status,
            milliseconds=round(seconds * 1000, 3),
        )

    def close(self) -> None:
        self._file.close()
