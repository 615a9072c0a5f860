"""Risk levels in order."""

from collections.abc import Iterable
from typing import Final

from executor.models.execution import RiskLevel

RISK_ORDER: Final = (RiskLevel.LOW, RiskLevel.MEDIUM, RiskLevel.HIGH, RiskLevel.CRITICAL)


def highest(levels: Iterable[RiskLevel]) -> RiskLevel:
    """The highest level; `low` when there is none."""
    return max(levels, key=RISK_ORDER.index, default=RiskLevel.LOW)
