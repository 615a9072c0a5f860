"""Times as stored: aware UTC, fixed-width ISO-8601 text, six fractional digits and `Z`.

Text order is time order, on every engine. Times of old rows are kept as they are.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from executor.errors import InvalidTime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


def format_time(value: datetime, name: str = "time") -> str:
    """Raises InvalidTime when `value` has no zone."""
    if value.tzinfo is None or value.utcoffset() is None:
        raise InvalidTime(name, value)
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    # isoformat drops the fraction when it is zero unless the width is asked for.
    return value.isoformat(timespec="microseconds")[:26] + "Z"


def parse_time(text: str, name: str = "time") -> datetime:
    """Reads any ISO-8601 spelling with a zone. Raises InvalidTime."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError as cause:
        raise InvalidTime(name, text) from cause
    if value.tzinfo is None:
        raise InvalidTime(name, text)
    return value.astimezone(UTC)
