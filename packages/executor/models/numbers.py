"""Numbers as callers may give them."""

import math
from typing import Any

from executor.errors import InvalidLimit, InvalidNumber


def check_limit(name: str, value: object, maximum: int | None = None) -> int:
    """Returns `value` when it is a whole number from 1 to `maximum`. Raises InvalidLimit."""
    rule = "a whole number of at least 1" if maximum is None else f"a whole number from 1 to {maximum:,}"
    if type(value) is not int or value < 1 or (maximum is not None and value > maximum):
        raise InvalidLimit(name, value, rule)
    return value


def check_count(name: str, value: Any) -> int:
    """Returns `value` when it is a whole number of at least 0 that a database holds. Raises InvalidNumber."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise InvalidNumber(name, value, "a whole number of at least 0")
    return value


def check_seconds(name: str, value: Any) -> float:
    """Returns `value` as a float when it is a finite number of at least 0. Raises InvalidNumber."""
    if type(value) is not float and type(value) is not int:
        raise InvalidNumber(name, value)
    try:
        seconds = float(value)
    except OverflowError as cause:
        raise InvalidNumber(name, value) from cause
    if not math.isfinite(seconds) or seconds < 0:
        raise InvalidNumber(name, value)
    return seconds
