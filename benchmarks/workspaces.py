"""The rows about a workspace: what a scratch copy costs, and what a run adds to its check."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from benchmarks.results import BASELINE, STORE, Goal, Shape
from benchmarks.timing import Sample, clocked
from benchmarks.works import Case, Settings, Work
from executor.host.scratch import ScratchCopy
from executor.host.tree import WorkspaceTree

ENGINE: Final = "workspace"
_IN_A_FOLDER: Final = 100

CAPTURE: Final = Work(
    "capture",
    "capture, tree of 10,000 files",
    "A scratch copy of a git work tree, and what was changed in it, as for `executor run -- COMMAND`; one file "
    "is. The baseline is `git worktree add` and `git status` in it.",
    "wall",
    Goal(1.5, 1.2),
)
ADDED: Final = Work(
    "run_added",
    "executor run, beside its check",
    "What `executor run --verify true` takes from start to end, imports included, less what `true` takes.",
    "wall",
)
ADDED_LIMIT: Final = 0.5
WORKS: Final = (CAPTURE, ADDED)


def workspace_cases(directory: Path, settings: Settings) -> Iterator[Case]:
    environ = _environ(directory)
    yield _capture_case(directory, settings.workspace_files, environ)
    yield _added_case(directory, environ)


def _capture_case(directory: Path, count: int, environ: Mapping[str, str]) -> Case:
    root = _repository(directory / "captured", count, environ)
    state = root / ".executor"
    state.mkdir()
    (state / ".gitignore").write_text("*\n")
    first, found = "part0/file0.py", {BASELINE: 0, STORE: 0}

    def by_git(number: int) -> Sample:
        copy = directory / "worktree"

        def work() -> None:
            _git(root, environ, "worktree", "add", "--quiet", "--detach", str(copy))
            (copy / first).write_text("changed\n")
            found[BASELINE] = len(_git(copy, environ, "status", "--porcelain").splitlines())

        taken = clocked(work, 1)
        _git(root, environ, "worktree", "remove", "--force", str(copy))
        return Sample(taken.wall, None)

    def by_capture(number: int) -> Sample:
        with WorkspaceTree(root, state) as tree:
            copy = ScratchCopy(tree, state, f"exec_{number}", environ=environ)

            def work() -> None:
                copy.make()
                (copy.root / first).write_text("changed\n")
                found[STORE] = len(copy.changes())

            taken = clocked(work, 1)
            copy.remove()
        return Sample(taken.wall, None)

    case = Case(CAPTURE, {BASELINE: by_git, STORE: by_capture}, {})

    def checked(number: int) -> Sample:
        sample = by_capture(number)
        case.answers = {name: Shape(rows, 1) for name, rows in found.items()}
        return sample

    case.subjects[STORE] = checked
    return case


def _added_case(directory: Path, environ: Mapping[str, str]) -> Case:
    root = _repository(directory / "run", 1, environ)
    patch = directory / "change.diff"

    def added(number: int) -> Sample:
        patch.write_text(f"--- /dev/null\n+++ b/new{number}.py\n@@ -0,0 +1 @@\n+x = {number}\n")
        command = [sys.executable, "-m", "executor", "run", "--verify", "true", "--patch", str(patch)]
        whole = clocked(lambda: _run(command, root, environ), 1)
        check = clocked(lambda: _run(["true"], root, environ), 1)
        return Sample(whole.wall - check.wall, None)

    return Case(ADDED, {STORE: added}, {}, limit_seconds=ADDED_LIMIT)


def _repository(root: Path, count: int, environ: Mapping[str, str]) -> Path:
    """A committed work tree of `count` files of some hundred bytes to some kilobytes."""
    for number in range(count):
        file = root / f"part{number // _IN_A_FOLDER}/file{number % _IN_A_FOLDER}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"VALUE = {number}\n" * (20 + number % 50))
    _git(root, environ, "init", "--quiet")
    _git(root, environ, "add", "--all")
    _git(root, environ, "commit", "--quiet", "--message", "Start")
    return root


def _git(root: Path, environ: Mapping[str, str], *arguments: str) -> bytes:
    return _run(["git", *arguments], root, environ)


def _run(command: list[str], root: Path, environ: Mapping[str, str]) -> bytes:
    """What it printed. Raises CalledProcessError when it fails: a row about that would be about nothing."""
    return subprocess.run(
        command, cwd=root, env=environ, check=True, stdin=subprocess.DEVNULL, capture_output=True
    ).stdout


def _environ(directory: Path) -> dict[str, str]:
    """Without what agents, CI systems and executions around this one say; with a name to commit by."""
    home = directory / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\n\tname = Bench\n\temail = bench@example.invalid\n")
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "PYTHONPATH") if name in os.environ}
    return {**kept, "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}
