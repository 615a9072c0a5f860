"""Other processes that use a store: to write beside each other, to be killed, to be looked into."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parents[2] / "packages"


def run_python(code: str, *arguments: str, **environment: str) -> str:
    """Runs code in a fresh interpreter and returns what it printed; fails when it fails."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCES), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Writes executions and says each on a line once the call that ended it has returned.
_WRITER = """
import sys
from executor.storage.store import ExecutionStore

workspace, prefix, durability = sys.argv[1:]
store = ExecutionStore(workspace, durability=durability)
number = 0
while True:
    name = f"{prefix}-{number}"
    store.record_execution_start(name, "p", "c", "d", "s", "allow", "low", ["a.py"], None)
    step = store.record_step_start(name, 1, "apply")
    store.record_step_end(step, "completed", 0.1)
    store.record_execution_end(name, "completed", 0.2)
    sys.stdout.write(name + "\\n")
    sys.stdout.flush()
    number += 1
"""


class Writer:
    """A process that writes executions until it is killed."""

    def __init__(self, workspace: Path, prefix: str, durability: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(workspace), prefix, durability],
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kill(self) -> tuple[list[str], str]:
        """Kills it with SIGKILL: the executions it said it wrote, and its complaints."""
        self._process.send_signal(signal.SIGKILL)
        out, complaints = self._process.communicate(timeout=60)
        # A line that was torn by the kill says nothing.
        return out.rpartition("\n")[0].splitlines(), complaints

    @property
    def returncode(self) -> Any:
        return self._process.poll()
