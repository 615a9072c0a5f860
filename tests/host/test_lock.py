"""One execution at a time in a workspace, for as long as its process lives and no longer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from executor.errors import InvalidNumber, LockHeld
from executor.host.lock import WorkspaceLock
from executor.host.tree import WorkspaceTree

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "workspace/.executor").mkdir(parents=True)
    return tmp_path / "workspace"


@pytest.fixture
def state(root: Path) -> Path:
    return root / ".executor"


@pytest.fixture
def tree(root: Path) -> Iterator[WorkspaceTree]:
    with WorkspaceTree(root) as opened:
        yield opened


def python(program: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", program, *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


HOLD = """
import sys; from pathlib import Path
from executor.host.lock import WorkspaceLock; from executor.host.tree import WorkspaceTree
lock = WorkspaceLock.acquire(WorkspaceTree(Path(sys.argv[1])), Path(sys.argv[2]), "exec_other")
print("held", flush=True); sys.stdin.read()
"""


def test_a_second_execution_is_told_who_holds_the_workspace(tree: WorkspaceTree, state: Path) -> None:
    with (
        WorkspaceLock.acquire(tree, state, "exec_first", clock=lambda: NOON),
        pytest.raises(LockHeld) as caught,
    ):
        WorkspaceLock.acquire(tree, state, "exec_second")

    assert f"execution 'exec_first' (process {os.getpid()}, since 2026-01-31T12:00:00" in str(caught.value)


def test_a_released_lock_can_be_taken_again_and_leaves_nothing_behind(
    tree: WorkspaceTree, state: Path
) -> None:
    lock = WorkspaceLock.acquire(tree, state, "exec_first")
    lock.release()
    lock.release()

    with WorkspaceLock.acquire(tree, state, "exec_second"):
        pass

    assert [] == list(state.iterdir())


def test_the_lock_does_not_depend_on_where_the_state_lies(tree: WorkspaceTree, tmp_path: Path) -> None:
    """Two state directories, one workspace: still one at a time; the holder is then not known by name."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()

    with (
        WorkspaceLock.acquire(tree, tmp_path / "one", "exec_first"),
        pytest.raises(LockHeld, match="another process"),
    ):
        WorkspaceLock.acquire(tree, tmp_path / "two", "exec_second")


def test_a_note_that_cannot_be_read_or_written_changes_nothing(tree: WorkspaceTree, state: Path) -> None:
    with WorkspaceLock.acquire(tree, state / "missing", "exec_first"):
        pass
    with WorkspaceLock.acquire(tree, state, "exec_first"):
        (note,) = state.iterdir()
        note.write_bytes(b"\xff{")
        with pytest.raises(LockHeld, match="another process"):
            WorkspaceLock.acquire(tree, state, "exec_second")


def test_who_waits_gets_the_lock_when_it_is_free(root: Path, tree: WorkspaceTree, state: Path) -> None:
    holder = subprocess.Popen(
        python(HOLD, root, state), env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert b"held\n" == holder.stdout.readline()
        with pytest.raises(LockHeld, match="exec_other"):
            WorkspaceLock.acquire(tree, state, "exec_mine", wait_seconds=0.2)
        holder.stdin.close()

        WorkspaceLock.acquire(tree, state, "exec_mine", wait_seconds=60).release()


def test_a_killed_holder_holds_no_more(root: Path, tree: WorkspaceTree, state: Path) -> None:
    with subprocess.Popen(
        python(HOLD, root, state), env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert b"held\n" == holder.stdout.readline()
        holder.kill()
        holder.wait()

        WorkspaceLock.acquire(tree, state, "exec_mine").release()


@pytest.mark.parametrize(
    "start",
    [
        # A daemon of a check, started with every descriptor a careless program would pass on.
        "subprocess.Popen(['sleep', '600'], start_new_session=True, close_fds=False).pid",
        # A forked process that never executes anything.
        "os.fork() or time.sleep(600)",
    ],
)
def test_a_child_that_outlives_the_holder_does_not_keep_the_lock(
    root: Path, tree: WorkspaceTree, state: Path, start: str
) -> None:
    program = f"""
import os, subprocess, sys, time; from pathlib import Path
from executor.host.lock import WorkspaceLock; from executor.host.tree import WorkspaceTree
lock = WorkspaceLock.acquire(WorkspaceTree(Path(sys.argv[1])), Path(sys.argv[2]), "exec_other")
print({start}, flush=True); os._exit(0)
"""
    process = subprocess.Popen(python(program, root, state), env=environment(), stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.stdout.close()
        process.wait()
    try:
        os.kill(child, 0)
        # A forked process lets go when it first runs, which may be after the holder is gone.
        WorkspaceLock.acquire(tree, state, "exec_mine", wait_seconds=60).release()
    finally:
        os.kill(child, 9)


def test_eight_processes_take_turns(root: Path, state: Path) -> None:
    """Each adds one to a number in a file, read and written in two steps; no step of another lies between."""
    program = """
import sys; from pathlib import Path
from executor.host.lock import WorkspaceLock; from executor.host.tree import WorkspaceTree
root, state = Path(sys.argv[1]), Path(sys.argv[2])
number = root / "number"
with WorkspaceTree(root) as tree:
    for _ in range(5):
        with WorkspaceLock.acquire(tree, state, "exec_" + sys.argv[3], wait_seconds=120):
            number.write_text(str(int(number.read_text()) + 1))
"""
    (root / "number").write_text("0")
    processes = [
        subprocess.Popen(python(program, root, state, index), env=environment()) for index in range(8)
    ]

    assert [0] * 8 == [process.wait() for process in processes]
    assert "40" == (root / "number").read_text()
    assert [] == list(state.iterdir())


@pytest.mark.parametrize("wait", [-1.0, float("nan"), float("inf")])
def test_a_waiting_time_is_a_number_of_seconds(tree: WorkspaceTree, state: Path, wait: float) -> None:
    with pytest.raises(InvalidNumber):
        WorkspaceLock.acquire(tree, state, "exec_mine", wait_seconds=wait)
