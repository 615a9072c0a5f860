"""Several attempts of one test at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor


def at_each(numbers: Iterable[int], attempt: Callable[[int], str]) -> list[str]:
    """What `attempt` returns for each number, in order; as many at once as there are processors, at most four."""
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(attempt, numbers))
