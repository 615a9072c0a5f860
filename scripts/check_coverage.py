"""Runs the tests of the graph under coverage and fails when a branch of the graph's code was not taken.

What is held to it: `executor.graph` whole, and the methods of the store that answer the same questions.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
GRAPH: Final = "packages/executor/graph.py"
STORE: Final = "packages/executor/storage/store.py"
METHODS: Final = (
    "get_execution_lineage",
    "_lineage",
    "_ancestors",
    "_descendants",
    "list_executions_by_correlation",
    "count_executions_by_correlation",
    "get_root_execution",
    "get_attempt_tree",
    "is_unresolved",
    "is_unresolved.work",
)
TESTS: Final = (
    "tests/test_graph.py",
    "tests/storage/test_contract.py",
    "-k",
    "test_graph or (sqlite and (lineage or chain or root or unresolved or graph or siblings or cycle))",
)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="coverage.") as name:
        data = Path(name, "data")
        coverage = (sys.executable, "-m", "coverage")
        environ = {**os.environ, "COVERAGE_FILE": str(data)}
        tests = (*coverage, "run", "--branch", "-m", "pytest", "-q", "--timeout", "1200", *TESTS)
        done = subprocess.run(tests, cwd=ROOT, env=environ)
        if done.returncode != 0:
            return done.returncode
        report = Path(name, "report.json")
        asked = f"--include=*/{GRAPH},*/{STORE}"
        subprocess.run((*coverage, "json", "-q", "-o", report, asked), cwd=ROOT, env=environ, check=True)
        missing = list(_missing(json.loads(report.read_text())["files"]))
    for line in missing:
        sys.stderr.write(f"not taken: {line}\n")
    if not missing:
        sys.stdout.write(f"every branch of {GRAPH} and of {len(METHODS)} methods of {STORE} was taken\n")
    return 1 if missing else 0


def _missing(files: dict[str, Any]) -> Iterator[str]:
    yield from _gaps(GRAPH, files[GRAPH])
    functions = files[STORE]["functions"]
    for method in METHODS:
        yield from _gaps(f"{STORE}, {method}", functions[f"ExecutionStore.{method}"])


def _gaps(what: str, measured: dict[str, Any]) -> Iterator[str]:
    for line in measured["missing_lines"]:
        yield f"{what}, line {line}"
    for start, end in measured["missing_branches"]:
        yield f"{what}, line {start} to {end}"


if __name__ == "__main__":
    sys.exit(main())
