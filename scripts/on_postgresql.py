"""Runs a command with EXECUTOR_DATABASE_URL naming a PostgreSQL server of its own: on_postgresql.py COMMAND…"""

from __future__ import annotations

import os
import subprocess
import sys

from executor.migrations.target import URL_VARIABLE
from executor.testing.postgres import PostgresMissing, PostgresServer


def main() -> int:
    try:
        server = PostgresServer()
    except PostgresMissing as missing:
        sys.stderr.write(f"{missing}\n")
        return 2
    with server:
        return subprocess.run(
            sys.argv[1:], env={**os.environ, URL_VARIABLE: server.url}, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
