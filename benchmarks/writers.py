"""Several processes that write one database at the same time.

As a program, one of these processes: it opens the database, says so, waits for a line on its standard
input, records its share, and says how many of its records failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.baseline.dataset import COLUMNS, Row, new_rows
from benchmarks.engine import Engine
from benchmarks.engines import ENGINES
from benchmarks.recording import recorder

ROOT: Final = Path(__file__).resolve().parent.parent
_FIRST_ROW: Final = 100_000_000
_APART: Final = 1_000_000
_PATIENCE_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one race: `lost` were acknowledged but are not there."""

    seconds: float
    records: int
    errors: int
    lost: int


def race(engine: Engine, subject: str, place: str, processes: int, records: int) -> Outcome:
    """`subject` is `baseline` or `store`. The time runs from the word go until the last has finished.

    The database is new: all processes open it at the same time, which is no part of the time.
    """
    if subject == "baseline":
        engine.baseline(place, durability="normal", columns=COLUMNS).close()
    writers = [_start(engine.name, subject, place, number, records) for number in range(processes)]
    try:
        for writer in writers:
            _expect(writer, "ready")
        began = time.perf_counter()
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        errors = sum(int(_expect(writer, "done")) for writer in writers)
        seconds = time.perf_counter() - began
    finally:
        for writer in writers:
            _end(writer)
    found = _ended(engine, subject, place)
    return Outcome(seconds, processes * records, errors, processes * records - errors - found)


def _start(engine: str, subject: str, place: str, number: int, records: int) -> subprocess.Popen[str]:
    paths = os.pathsep.join((str(ROOT), str(ROOT / "packages")))
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.writers", engine, subject, place, str(number), str(records)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _expect(writer: subprocess.Popen[str], word: str) -> str:
    assert writer.stdout is not None
    said = writer.stdout.readline().split()
    if not said or said[0] != word:
        raise RuntimeError(f"a writer said {' '.join(said)!r} in place of {word!r}")
    return said[-1]


def _end(writer: subprocess.Popen[str]) -> None:
    for stream in (writer.stdin, writer.stdout):
        if stream is not None:
            stream.close()
    try:
        writer.wait(_PATIENCE_SECONDS if sys.exc_info()[0] is None else 0)
    except subprocess.TimeoutExpired:
        writer.kill()
        writer.wait()


def _ended(engine: Engine, subject: str, place: str) -> int:
    """How many executions are there and have their end."""
    if subject == "store":
        with engine.store(place, durability="normal") as store:
            counted = store.get_statistics().by_status
            return counted.get("completed", 0) + counted.get("failed", 0)
    baseline = engine.baseline(place, durability="normal", columns=COLUMNS)
    try:
        return sum(baseline.count(status, 1_000_000_000) for status in ("completed", "failed"))
    finally:
        baseline.close()


def main(arguments: Sequence[str]) -> None:
    name, subject, place, number, records = arguments
    engine = ENGINES[name]
    rows = new_rows(_FIRST_ROW + int(number) * _APART, int(records))
    if subject == "store":
        with engine.store(place, durability="normal") as store:
            _write([recorder(store, row) for row in rows])
    else:
        baseline = engine.baseline(place, durability="normal", columns=COLUMNS)
        _write([_bare(baseline.record, row) for row in rows])
        baseline.close()


def _bare(write: Callable[[Row], None], row: Row) -> Callable[[], None]:
    return lambda: write(row)


def _write(jobs: Sequence[Callable[[], None]]) -> None:
    _say("ready")
    if not sys.stdin.readline():
        return
    errors = 0
    for job in jobs:
        try:
            job()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted and shown
            errors += 1
            sys.stderr.write(f"writer: {error!r}\n")
    _say(f"done {errors}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
