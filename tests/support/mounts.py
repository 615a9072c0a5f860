"""Programs in a mount namespace of their own, where the machine lets one have it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from support.phases import Mode, skip_phase

_WAYS = {
    "a mount namespace of a user's own": ["unshare", "-Urm"],
    "a mount namespace of root's": ["unshare", "-m"],
}


@functools.cache
def _way() -> str | None:
    """How file systems can be mounted for one program alone; None where they cannot."""
    if shutil.which("unshare") is None:
        return None
    for name, unshare in _WAYS.items():
        trial = [*unshare, "mount", "-t", "tmpfs", "none", "/mnt"]
        if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
            return name
    return None


def run_mounted(mode: Mode, commands: str, program: str, *arguments: object) -> str:
    """Runs shell `commands` that mount, then a Python `program`, whose output it returns; both see `arguments`.

    Skips the test where this is not allowed.
    """
    way = _way()
    if way is None:
        skip_phase("mount namespaces are not allowed here")
    mode(f"real mounts, in {way}")
    path = os.pathsep.join([str(Path(__file__).resolve().parent.parent), *filter(None, sys.path)])
    script = f'set -e\n{commands}\nexec "$PYTHON" -c "$PROGRAM" "$@"'
    result = subprocess.run(
        [*_WAYS[way], "sh", "-c", script, "sh", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, "PYTHON": sys.executable, "PROGRAM": program},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
