"""The command `executor` as a user runs it, in a real git repository."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CACHES = {"__pycache__", ".pytest_cache"}

CALCULATOR = """\
def add(a, b):
    return a + b
"""
TEST = """\
import unittest

import calculator


class CalculatorTest(unittest.TestCase):
    def test_add(self):
        self.assertEqual(calculator.add(2, 3), 5)
"""
# Found on PATH: the checkout may stand in a directory with a space in its name.
VERIFY = "python -m unittest -q"

# Same size as the line they replace: only the hash tells them apart.
BROKEN_PATCH = """\
--- a/calculator.py
+++ b/calculator.py
@@ -1,2 +1,2 @@
 def add(a, b):
-    return a + b
+    return a - b
"""
GOOD_PATCH = """\
--- a/calculator.py
+++ b/calculator.py
@@ -1,2 +1,2 @@
 def add(a, b):
-    return a + b
+    return b + a
"""


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        value = json.loads(self.out)
        assert isinstance(value, dict)
        assert value.pop("version") == 1
        return value


class Repository:
    """A git work tree that `executor` is run in."""

    def __init__(self, root: Path, environ: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.environ = {**os.environ, "NO_COLOR": "1", **(environ or {})}

    @classmethod
    def calculator(cls, root: Path) -> Repository:
        repository = cls(root)
        repository.write("calculator.py", CALCULATOR)
        repository.write("test_calculator.py", TEST)
        repository.git("init", "--quiet")
        repository.git("add", "--all")
        repository.git("commit", "--quiet", "--message", "Start")
        return repository

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=self.root, env=self.environ, check=True, capture_output=True, text=True
        ).stdout

    def start(
        self, *arguments: str, cwd: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "executor", *arguments],
            cwd=cwd or self.root,
            env={**self.environ, **(environ or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def ignoring(self, *numbers: signal.Signals) -> Iterator[None]:
        """What is started meanwhile ignores these signals from its birth, as `nohup` arranges it."""
        before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def run(
        self,
        *arguments: str,
        stdin: str = "",
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Result:
        """Runs the command to its end; anything that looks like a crash of its own fails the test."""
        process = self.start(*arguments, cwd=cwd, environ=environ)
        out, err = process.communicate(stdin, timeout=120)
        assert "Traceback (most recent call last)" not in err, err
        return Result(process.returncode, out, err)

    def apply(self, patch: str, *arguments: str, verify: str | None = VERIFY) -> Result:
        checks = ["--verify", verify] if verify else []
        return self.run("run", "--patch", "-", *checks, *arguments, stdin=patch)

    def state(self) -> dict[str, tuple[int, str]]:
        """Path → mode and hash of everything but `.git`, `.executor` and caches."""
        return {str(p.relative_to(self.root)): _state(p) for p in self._files(self.root)}

    def _files(self, folder: Path) -> Iterator[Path]:
        for path in sorted(folder.iterdir()):
            if path.name in CACHES or (folder == self.root and path.name in (".git", ".executor")):
                continue
            yield path
            if path.is_dir() and not path.is_symlink():
                yield from self._files(path)


def _state(path: Path) -> tuple[int, str]:
    status = path.lstat()
    if path.is_symlink():
        return status.st_mode, str(path.readlink())
    return status.st_mode, hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
