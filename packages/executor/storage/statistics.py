"""Counts and durations become one value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from executor.models.execution import ExecutionStatus, Statistics, TriggerKind
from executor.storage.engine import Row

COUNTED: Final = ("status", "verdict", "risk_level", "trigger_kind", "error_step")

_FAILURES: Final = (ExecutionStatus.FAILED, ExecutionStatus.ROLLED_BACK)
# What a missing value counts as; None is not counted.
_MISSING: Final = {"trigger_kind": TriggerKind.MANUAL.value}


def count_column(name: str, rows: Iterable[Row]) -> Counter[str]:
    """From rows of a value and how often it occurs."""
    counted: Counter[str] = Counter()
    for value, times in rows:
        shown = _MISSING.get(name) if value is None else value
        if shown is not None:
            counted[str(shown)] += times
    return counted


def count_columns(rows: Sequence[Row]) -> dict[str, Counter[str]]:
    """From rows of one value for each counted column and how often these occur together."""
    return {
        name: count_column(
            name, ((row[place], row[-1]) for row in rows if name != "error_step" or row[0] in _FAILURES)
        )
        for place, name in enumerate(COUNTED)
    }


def summarize(counted: Mapping[str, Counter[str]], durations: Sequence[float]) -> Statistics:
    """`durations` are sorted. Rates are over what completed, failed or was rolled back."""
    status = counted["status"]
    completed = status[ExecutionStatus.COMPLETED]
    decided = completed + sum(status[failure] for failure in _FAILURES)
    return Statistics(
        total=status.total(),
        by_status=_most_first(status),
        by_verdict=_most_first(counted["verdict"]),
        by_risk_level=_most_first(counted["risk_level"]),
        by_trigger_kind=_most_first(counted["trigger_kind"]),
        failing_steps=_most_first(counted["error_step"]),
        success_rate=completed / decided if decided else None,
        rollback_rate=status[ExecutionStatus.ROLLED_BACK] / decided if decided else None,
        average_duration_seconds=sum(durations) / len(durations) if durations else None,
        median_duration_seconds=_quantile(durations, 0.5),
        p95_duration_seconds=_quantile(durations, 0.95),
    )


def _most_first(counted: Counter[str]) -> dict[str, Any]:
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _quantile(values: Sequence[float], share: float) -> float | None:
    """Between the two nearest values in proportion, so that the median of two is their middle."""
    if not values:
        return None
    place = (len(values) - 1) * share
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)
