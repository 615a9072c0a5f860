"""Measures the store against the bare driver: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks import report, results
from benchmarks.engines import ENGINES
from benchmarks.run import run
from benchmarks.works import WORKS, Settings
from benchmarks.workspaces import WORKS as WORKSPACE_WORKS

ROOT: Final = Path(__file__).resolve().parent.parent
KEPT: Final = ROOT / "benchmarks" / "results.json"
PAGE: Final = ROOT / "docs" / "benchmarks.md"
_KEYS: Final = [work.key for work in (*WORKS, *WORKSPACE_WORKS)]
SIZES: Final = {"10k": 10_000, "100k": 100_000, "1m": 1_000_000}


def main(arguments: Sequence[str] | None = None) -> int:
    """1 when a target is missed."""
    options = _options(arguments)
    if options.docs_from:
        _write_page(results.load(options.docs_from))
        return 0
    settings = Settings(
        sizes={size: SIZES[size] for size in options.sizes},
        rounds=options.rounds,
        slice_seconds=options.slice,
    )
    engines = [ENGINES[name] for name in options.engines]
    only = [key for key in options.only or _KEYS if key not in options.without]
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    output = options.output or ROOT / "build" / "bench" / f"{stamp}.json"
    found = run(engines, settings, _say, only, lambda report: results.save(report, output), workspaces=True)
    results.save(found, output)
    sys.stdout.write(report.table(found))
    _say(f"all numbers are in {output}")
    if options.write_docs:
        _write_page(found)
    return 0 if found.passed else 1


def _write_page(found: results.Report) -> None:
    results.save(found, KEPT)
    PAGE.write_text(report.page(found), "utf-8")
    _say(f"wrote {PAGE} and {KEPT}")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--engines",
        type=_listed(ENGINES),
        default=list(ENGINES),
        help=f"of {', '.join(ENGINES)}, with commas; by default all",
    )
    parser.add_argument(
        "--sizes",
        type=_listed(SIZES),
        default=list(SIZES),
        help=f"of {', '.join(SIZES)}, with commas; by default all",
    )
    parser.add_argument(
        "--only",
        type=_listed(_KEYS),
        default=[],
        help=f"keys of rows, with commas: {', '.join(_KEYS)}",
    )
    parser.add_argument("--without", type=_listed(_KEYS), default=[], help="keys of rows that are left out")
    parser.add_argument("--rounds", type=_positive, default=7, help="how often each row is measured (7)")
    parser.add_argument(
        "--slice", type=float, default=0.1, help="seconds that a subject is asked for in a round (0.1)"
    )
    parser.add_argument("--output", type=Path, help="the file for all numbers, by default in build/bench/")
    parser.add_argument(
        "--write-docs", action="store_true", help="keep the results and write docs/benchmarks.md from them"
    )
    parser.add_argument("--docs-from", type=Path, help="measure nothing, write the page from such a file")
    return parser.parse_args(arguments)


def _listed(known: Collection[str]) -> Callable[[str], list[str]]:
    """Names with commas between them, each of them known."""

    def parse(text: str) -> list[str]:
        names = [name.lower() for name in text.split(",") if name]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: use {', '.join(known)}")
        return names

    return parse


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("give a number of at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
