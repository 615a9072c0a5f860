"""Adds what `bench.mjs` measures to a workspace of `workspace.py`: python large.py DIRECTORY"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from executor import ExecutionStore
from executor.models.times import format_time

FAMILY = 100_000
CHAIN = 10_000
LINEAGE = 1_000
LINES = 184_000


def family(name: str, size: int, children: int) -> Iterator[dict[str, Any]]:
    begun = datetime.now(UTC) - timedelta(days=2)
    for number in range(size):
        started = begun + timedelta(seconds=number)
        good = number % 7 != 3
        yield {
            "execution_id": f"{name}_{number:06d}",
            "plan_id": f"plan_{number}",
            "changeset_id": f"cs_{number}",
            "decision_id": f"dec_{number}",
            "checksum": "0" * 64,
            "verdict": "allow",
            "risk_level": "low",
            "status": "completed" if good else "rolled_back",
            "affected_paths": ["ledger.py"],
            "started_at": format_time(started),
            "ended_at": format_time(started + timedelta(seconds=5)),
            "duration_seconds": 5.0,
            "correlation_id": name,
            "parent_execution_id": f"{name}_{(number - 1) // children:06d}" if number else None,
            "trigger_kind": "child" if number else "scheduled",
            "title": f"Part {number} of {name}",
        }


def main(directory: Path) -> None:
    with ExecutionStore(directory) as store:
        store.record_many(family("large", FAMILY, 40))
        store.record_many(family("thousand", LINEAGE, 3))
        store.record_many(family("tenthousand", CHAIN, 12))
    folder = next(
        path for path in (directory / ".executor" / "executions").iterdir() if (path / "steps").is_dir()
    )
    log = folder / "steps" / "09-large.log"
    with log.open("w") as out:
        for number in range(LINES):
            out.write(f"{number:06d} step of the build that says what it does, and then some more words\n")
        out.write("ERROR: the last line says why\n")
    sys.stdout.write(f"{folder.name}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
