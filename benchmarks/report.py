"""A run as a table for the terminal and as a page of the documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Final

from benchmarks.results import Database, Report, Result
from benchmarks.works import WORKS
from benchmarks.workspaces import WORKS as WORKSPACE_WORKS

_MEANINGS: Final = {work.key: work.meaning for work in (*WORKS, *WORKSPACE_WORKS)}

_PAGE: Final = Path(__file__).with_name("page.md")


def table(report: Report) -> str:
    """Lines of at most 110 characters."""
    lines = [f"{name}: {value}" for name, value in report.machine.items()]
    lines += [f"Rounds: {report.rounds}, {report.seconds:.0f} s in all, begun {report.began}"]
    lines += [_database_line(database) for database in report.databases]
    heading = ("size", "work", "baseline", "store", "ratio", "(24 col.)", "target", "stretch", "")
    lines += ["", _line(heading), _line(["-" * width for width in _WIDTHS])]
    for result in report.results:
        lines.append(_line(_cells(result)))
        lines += _faults(result)
    failed = [result for result in report.results if not result.passed]
    lines += ["", f"{len(failed)} of {len(report.results)} rows failed" if failed else "every target is met"]
    return "\n".join(line.rstrip() for line in lines) + "\n"


_WIDTHS: Final = (5, 34, 10, 10, 7, 9, 6, 7, 7)


def _line(cells: Sequence[str]) -> str:
    size, work, *others = (cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
    right = [cell.strip().rjust(width) for cell, width in zip(others, _WIDTHS[2:], strict=True)]
    return "  ".join((size, work, *right))


def _cells(result: Result) -> list[str]:
    goal = result.goal
    return [
        result.size or "new",
        result.title,
        _seconds(result.baseline_seconds),
        _seconds(result.store_seconds),
        _times(result.ratio),
        f"({_times(result.narrow_ratio)})" if result.narrow_ratio else "",
        _times(goal.target) if goal else _seconds(result.limit_seconds),
        _times(goal.stretch) if goal else "",
        result.verdict,
    ]


def _faults(result: Result) -> Iterator[str]:
    if result.errors or result.lost:
        yield f"       {result.errors} errors, {result.lost} lost"
    elif not result.sound:
        shapes = ", ".join(f"{name} {s.rows} x {s.columns}" for name, s in result.answers.items())
        yield f"       the answers differ: {shapes}"


def _database_line(database: Database) -> str:
    return (
        f"{database.engine} {database.size}: {database.executions:,} executions, "
        f"baseline {_megabytes(database.baseline_bytes)}, store {_megabytes(database.store_bytes)}, "
        f"imported in {database.store_import_seconds:.1f} s"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}x"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    if value >= 1:
        return f"{value:.3g} s"
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} us"


def page(report: Report) -> str:
    """`docs/benchmarks.md`: the words of `page.md` around the numbers of the run."""
    by_engine = groupby(report.results, key=lambda result: result.engine)
    return Template(_PAGE.read_text("utf-8")).substitute(
        machine=_machine(report),
        databases=_databases(report),
        results="\n\n".join(_results(engine, list(results)) for engine, results in by_engine),
        columns=_columns(report),
        rounds=report.rounds,
        meanings=_meanings(report),
    )


def _columns(report: Report) -> int:
    return max(shape.columns for result in report.results for shape in result.answers.values())


def _machine(report: Report) -> str:
    lines = ["| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in report.machine.items()]
    lines.append(f"| Begun | {report.began}, {report.seconds / 60:.0f} minutes in all |")
    return "\n".join(lines)


def _databases(report: Report) -> str:
    lines = ["| Database | Executions | Baseline | Store | Imported in |", "|---|---|---|---|---|"]
    lines += [
        f"| {database.engine} {database.size} | {database.executions:,} "
        f"| {_megabytes(database.baseline_bytes)} | {_megabytes(database.store_bytes)} "
        f"| {database.store_import_seconds:.1f} s |"
        for database in report.databases
    ]
    return "\n".join(lines)


def _results(engine: str, results: list[Result]) -> str:
    lines = [
        f"## Results: {engine}",
        "",
        "| Work | Database | Baseline | Store | Ratio | Target | Stretch | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for _, same in groupby(sorted(results, key=_order), key=lambda result: result.key):
        lines += [_row(result) for result in same]
    failed = [result for result in results if not result.passed]
    return "\n".join([*lines, "", _summary(failed)])


def _order(result: Result) -> int:
    return list(_MEANINGS).index(result.key)


def _summary(failed: list[Result]) -> str:
    if not failed:
        return "Every target is met."
    named = ", ".join(f"{result.title} ({result.size or 'new'})" for result in failed)
    return f"Missed: {named}."


def _row(result: Result) -> str:
    goal = result.goal
    title = f"{result.title} ({result.note})" if result.note else result.title
    narrow = f" ({_times(result.narrow_ratio)})" if result.narrow_ratio else ""
    cells = [
        title,
        result.size or "new",
        _seconds(result.baseline_seconds),
        _seconds(result.store_seconds),
        f"**{_times(result.ratio)}**{narrow}" if result.ratio else "",
        f"≤ {goal.target:g}×" if goal else _limit(result),
        f"{goal.stretch:g}×" if goal else "",
        result.verdict,
    ]
    return f"| {' | '.join(cells)} |".replace("us |", "µs |")


def _limit(result: Result) -> str:
    return "" if result.limit_seconds is None else f"≤ {result.limit_seconds:g} s"


def _meanings(report: Report) -> str:
    measured = {result.key: result.title for result in report.results}
    return "\n".join(
        f"- **{measured[key]}** (`{key}`): {meaning}" for key, meaning in _MEANINGS.items() if key in measured
    )
