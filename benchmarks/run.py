"""A whole run: makes the databases, measures every row, says how it goes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine
from benchmarks.engine import Engine
from benchmarks.results import BASELINE, NARROW, STORE, Database, Report, Result, ratio, time_taken
from benchmarks.timing import interleaved
from benchmarks.web import http_cases
from benchmarks.works import (
    UPGRADE,
    WRITERS,
    Case,
    Databases,
    Settings,
    import_cases,
    reading_cases,
    recording_cases,
    upgrade_case,
    writers_case,
)
from benchmarks.workspaces import ENGINE, workspace_cases
from benchmarks.workspaces import WORKS as WORKSPACE_WORKS

Say = Callable[[str], None]

_WORKSPACES = frozenset(work.key for work in WORKSPACE_WORKS)


def run(
    engines: Sequence[Engine],
    settings: Settings,
    say: Say,
    only: Collection[str] = (),
    keep: Callable[[Report], None] = lambda report: None,
    *,
    workspaces: bool = False,
) -> Report:
    """`only`: the keys of the rows to measure, by default all. `say` is told about the progress. `workspaces`:
    also the rows about a workspace, which no engine has a part in.

    `keep` gets what there is so far after every row: a run takes long and may be interrupted.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        directory = Path(name)
        described = dict(machine.describe(directory))
        report = Report(
            began=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=0.0,
            rounds=settings.rounds,
            machine=described,
            databases=[],
            results=[],
        )

        def take(name: str, case: Case, size: str | None) -> None:
            nonlocal report
            result = measure(name, case, size, settings)
            say(f"{name} {size or 'new':>5}  {result.title:<34} {_short(result)}")
            report.results.append(result)
            report = replace(report, seconds=round(time.monotonic() - began, 1))
            keep(report)

        if workspaces and (not only or not _WORKSPACES.isdisjoint(only)):
            for case in workspace_cases(directory, settings):
                if not only or case.work.key in only:
                    take(ENGINE, case, None)
        for engine in engines if not only or not _WORKSPACES.issuperset(only) else ():
            with engine.running():
                described.update(engine.versions())
                for size, case in _cases(engine, directory, settings, report.databases, say, only):
                    take(engine.name, case, size)
    return report


def _cases(
    engine: Engine,
    directory: Path,
    settings: Settings,
    databases: list[Database],
    say: Say,
    only: Collection[str],
) -> Iterator[tuple[str | None, Case]]:
    def wanted(case: Case) -> bool:
        return not only or case.work.key in only

    for case in (*import_cases(engine, directory, settings), writers_case(engine, directory, settings)):
        if wanted(case):
            yield None, case
    for size, executions in settings.sizes.items():
        if not only or set(only) != {UPGRADE.key}:
            say(f"{engine.name} {size:>5}  making the databases ({executions:,} executions)")
            made = Databases(engine, directory, size, settings, say)
            databases.append(made.describe())
            if wanted(made.import_case()):
                yield size, made.import_case()
            for cases in (reading_cases, recording_cases, http_cases):
                with ExitStack() as stack:
                    for case in filter(wanted, cases(made, settings, stack)):
                        yield size, case
            made.discard()
        if not only or UPGRADE.key in only:
            say(f"{engine.name} {size:>5}  upgrading {executions:,} old executions")
            yield size, upgrade_case(engine, directory, size, executions)


def measure(name: str, case: Case, size: str | None, settings: Settings) -> Result:
    samples = interleaved(case.subjects, settings.rounds, warm=0 if case.work is WRITERS else 1)
    clock, stored = case.work.clock, samples[STORE]
    baseline, narrow = samples.get(BASELINE), samples.get(NARROW)
    measured = ratio(stored, baseline, clock) if baseline else None
    return Result(
        engine=name,
        key=case.work.key,
        title=case.work.title,
        size=size,
        clock=clock,
        store_seconds=time_taken(stored, clock),
        baseline_seconds=time_taken(baseline, clock) if baseline else None,
        narrow_seconds=time_taken(narrow, clock) if narrow else None,
        ratio=measured[0] if measured else None,
        ratio_range=measured[1] if measured else None,
        narrow_ratio=ratio(stored, narrow, clock)[0] if narrow else None,
        goal=case.work.goal,
        limit_seconds=case.limit_seconds,
        answers=dict(case.answers),
        errors=sum(case.errors),
        lost=sum(case.lost),
        note=case.note,
    )


def _short(result: Result) -> str:
    if result.ratio is None:
        return f"{result.store_seconds * 1e3:.3f} ms"
    return f"{result.ratio:.2f}x {result.verdict}"
