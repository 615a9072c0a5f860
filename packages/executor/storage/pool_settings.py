"""How a store uses a server: pool size and time-outs, from the environment."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from executor.errors import InvalidSettings

POOL_SIZE: Final = "EXECUTOR_DATABASE_POOL_SIZE"
POOL_TIMEOUT: Final = "EXECUTOR_DATABASE_POOL_TIMEOUT"
LOCK_TIMEOUT: Final = "EXECUTOR_DATABASE_LOCK_TIMEOUT"
RETRY_TIMEOUT: Final = "EXECUTOR_DATABASE_RETRY_TIMEOUT"
PREPARE_THRESHOLD: Final = "EXECUTOR_DATABASE_PREPARE_THRESHOLD"

_LARGEST_POOL: Final = 1_000


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Times are in seconds.

    `prepare_threshold` is how often a connection runs a statement before it keeps it prepared; None never does,
    which is what a pooler in transaction mode needs that does not know prepared statements. Behind a pooler none are
    kept, unless `prepares_behind_pooler`.
    """

    pool_size: int = 8
    pool_timeout: float = 30.0
    lock_timeout: float = 30.0
    retry_timeout: float = 30.0
    prepare_threshold: int | None = 2
    prepares_behind_pooler: bool = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> PoolSettings:
        """Raises InvalidSettings."""
        default = cls()
        threshold = _threshold(environ, default.prepare_threshold)
        return cls(
            pool_size=_whole(environ, POOL_SIZE, default.pool_size, 1, _LARGEST_POOL),
            pool_timeout=_seconds(environ, POOL_TIMEOUT, default.pool_timeout),
            lock_timeout=_seconds(environ, LOCK_TIMEOUT, default.lock_timeout),
            retry_timeout=_seconds(environ, RETRY_TIMEOUT, default.retry_timeout),
            prepare_threshold=threshold,
            prepares_behind_pooler=threshold is not None and bool(environ.get(PREPARE_THRESHOLD)),
        )


def _whole(environ: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = environ.get(name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise InvalidSettings(f"{name} is {text!r}; give a whole number from {least:,} to {most:,}")
    return int(text)


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    # A day; also what keeps the server's milliseconds within its range.
    if not 0 <= seconds <= 86_400:
        raise InvalidSettings(f"{name} is {text!r}; give seconds from 0 to 86,400")
    return seconds


def _threshold(environ: Mapping[str, str], default: int | None) -> int | None:
    if environ.get(PREPARE_THRESHOLD, "").lower() == "never":
        return None
    try:
        return _whole(environ, PREPARE_THRESHOLD, default or 0, 0, 1_000_000)
    except InvalidSettings as cause:
        raise InvalidSettings(f"{cause}, or 'never'") from cause
