"""What a run found, as it is kept in JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec

from benchmarks.timing import Sample

BASELINE: Final = "baseline"
STORE: Final = "store"
# The baseline with the columns of the data set only, fewer than the store answers with.
NARROW: Final = "narrow"

# `worst`: on the wall, and the slowest round counts.
Clock = Literal["cpu", "wall", "worst"]


@dataclass(frozen=True, slots=True)
class Goal:
    """The ratio a row of the table has to reach, and the one it would be proud of."""

    target: float
    stretch: float


@dataclass(frozen=True, slots=True)
class Shape:
    """Rows and columns of an answer, or rows that were written and 0."""

    rows: int
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One row of the table. Times are seconds for one unit of the work: one question, one execution."""

    engine: str
    key: str
    title: str
    # How many executions the database holds; None: a new one for each round.
    size: str | None
    clock: Clock
    store_seconds: float
    baseline_seconds: float | None = None
    narrow_seconds: float | None = None
    ratio: float | None = None
    ratio_range: tuple[float, float] | None = None
    narrow_ratio: float | None = None
    goal: Goal | None = None
    # The time it may take, where there is no ratio.
    limit_seconds: float | None = None
    answers: Mapping[str, Shape] = field(default_factory=dict)
    errors: int = 0
    lost: int = 0
    note: str = ""

    @property
    def sound(self) -> bool:
        """Whether the same was asked and everything is there: without that, times say nothing."""
        shapes = [shape for name, shape in self.answers.items() if name != NARROW]
        return not self.errors and not self.lost and all(shape == shapes[0] for shape in shapes)

    @property
    def passed(self) -> bool:
        """A row without a goal passes when it is sound."""
        if self.limit_seconds is not None:
            return self.sound and self.store_seconds <= self.limit_seconds
        if self.goal is None or self.ratio is None:
            return self.sound
        return self.sound and self.ratio <= self.goal.target

    @property
    def verdict(self) -> str:
        if not self.sound:
            return "WRONG"
        if self.limit_seconds is not None:
            return "pass" if self.passed else "FAIL"
        if self.goal is None or self.ratio is None:
            return "-"
        if self.ratio > self.goal.target:
            return "FAIL"
        return "stretch" if self.ratio <= self.goal.stretch else "pass"


@dataclass(frozen=True, slots=True)
class Database:
    """The database of one size: how many executions it holds and what it took to make it."""

    engine: str
    size: str
    executions: int
    baseline_bytes: int
    store_bytes: int
    store_import_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole run."""

    began: str
    seconds: float
    rounds: int
    machine: Mapping[str, str]
    databases: list[Database]
    results: list[Result]
    format: int = 1

    @property
    def passed(self) -> bool:
        return all(result.passed for result in self.results)


def time_taken(samples: Sequence[Sample], clock: Clock) -> float:
    """Of reads the median of the CPU time, of writes the best time on the wall: what the disk allows."""
    if clock == "worst":
        return max(sample.wall for sample in samples)
    if clock == "wall":
        return min(sample.wall for sample in samples)
    return statistics.median(_cpu(sample) for sample in samples)


def ratio(
    samples: Sequence[Sample], base: Sequence[Sample], clock: Clock
) -> tuple[float, tuple[float, float]]:
    """How many times as long as the base, and the least and the most in one round.

    Of reads the median over the rounds, each round against itself: what slows the machine down for a
    while slows both down. Of writes the best against the best.
    """
    if clock != "cpu":
        each = [a.wall / b.wall for a, b in zip(samples, base, strict=True)]
        middle = time_taken(samples, clock) / time_taken(base, clock)
    else:
        each = [_cpu(a) / max(_cpu(b), 1e-9) for a, b in zip(samples, base, strict=True)]
        middle = statistics.median(each)
    return middle, (min(each), max(each))


def _cpu(sample: Sample) -> float:
    if sample.cpu is None:
        raise ValueError("work of other processes has no CPU time here")
    return sample.cpu


def save(report: Report, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def load(path: Path) -> Report:
    return msgspec.json.decode(path.read_bytes(), type=Report)
