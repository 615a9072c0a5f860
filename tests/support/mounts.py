"""Programs in a mount namespace of their own, where the machine lets one have it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@functools.cache
def available() -> bool:
    """Whether file systems can be mounted for one program alone."""
    if shutil.which("unshare") is None:
        return False
    trial = ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


def run_mounted(commands: str, program: str, *arguments: object) -> None:
    """Runs shell `commands` that mount, then a Python `program`; both see `arguments`.

    Skips the test where this is not allowed.
    """
    if not available():
        pytest.skip("mount namespaces are not allowed here")
    path = os.pathsep.join([str(Path(__file__).resolve().parent.parent), *filter(None, sys.path)])
    script = f'set -e\n{commands}\nexec "$PYTHON" -c "$PROGRAM" "$@"'
    result = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, "sh", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, "PYTHON": sys.executable, "PROGRAM": program},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
