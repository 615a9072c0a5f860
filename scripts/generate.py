"""Writes the committed files that are made from others; `--check` only says whether they are current.

The makers stand in the order they have to run in. Each is a program that takes `--write` or `--check`.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAKERS = (
    ("schema text", ("-m", "executor.migrations.schema_text")),
    ("storage statements", ("-m", "executor.storage.compile")),
    ("OpenAPI document", ("-m", "executor_api.openapi")),
    ("command reference", ("scripts/command_reference.py",)),
    ("output shown in the documents", ("scripts/examples.py",)),
)


def main(arguments: Sequence[str]) -> int:
    if any(argument != "--check" for argument in arguments):
        sys.stderr.write("usage: generate.py [--check]\n")
        return 2
    option = "--check" if arguments else "--write"
    failed = []
    for what, maker in MAKERS:
        if subprocess.run([sys.executable, *maker, option], cwd=ROOT).returncode != 0:
            failed.append(what)
    if failed:
        remedy = "; `make generate` writes them anew" if arguments else ""
        sys.stderr.write(f"not current: {', '.join(failed)}{remedy}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
