"""Rounds in which the subjects take turns, so that a slow moment of the machine meets all of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

_MOST_REPEATS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds for one unit of work, on the wall and of this process's CPU; None where others do the work."""

    wall: float
    cpu: float | None


# Does a round's share of the work (the number of the round is given) and says what one unit took.
Subject: TypeAlias = Callable[[int], Sample]


def clocked(work: Callable[[], object], units: int) -> Sample:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    cpu_end, wall_end = time.process_time(), time.perf_counter()
    return Sample((wall_end - wall) / units, (cpu_end - cpu) / units)


def interleaved(subjects: Mapping[str, Subject], rounds: int, warm: int = 1) -> dict[str, list[Sample]]:
    """The samples of each subject, one a round; the order rotates, the first `warm` rounds do not count."""
    names = list(subjects)
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    for number in range(warm + rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            sample = subjects[name](number)
            if number >= warm:
                samples[name].append(sample)
    return samples


def repeated(ask: Callable[[Any], object], targets: Sequence[Any], seconds: float) -> Subject:
    """A subject that asks about all targets, as often as fills `seconds`. The unit is one question."""
    once = clocked(lambda: [ask(target) for target in targets], 1)
    times = max(1, min(_MOST_REPEATS, round(seconds / max(once.wall, 1e-6))))

    def work() -> None:
        for _ in range(times):
            for target in targets:
                ask(target)

    return lambda number: clocked(work, times * len(targets))
