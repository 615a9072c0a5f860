"""No attempt runs the compiled code of another."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.errors import UnsafePath
from executor.host.bytecode import remove_bytecode
from executor.host.tree import WorkspaceTree
from support.applying import prepare
from support.trees import STATE, File, changeset_between, files_of, snapshot, write_tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = write_tree(
        tmp_path / "workspace", {"answer.py": File(b"VALUE = 0\n"), "package/part.py": File(b"")}
    )
    (root / STATE).mkdir()
    return root


@pytest.fixture
def tree(root: Path) -> Iterator[WorkspaceTree]:
    with WorkspaceTree(root, root / STATE) as opened:
        yield opened


def run(root: Path) -> int:
    """What a real Python, which writes bytecode, takes the module for."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    program = "import answer; print(answer.VALUE)"
    return int(
        subprocess.run(
            [sys.executable, "-c", program], cwd=root, env=variables, check=True, capture_output=True
        ).stdout
    )


def test_two_attempts_of_one_size_within_a_second_each_run_their_own_code(
    root: Path, tree: WorkspaceTree
) -> None:
    """Every version has the same size and, by force, the same time in seconds, as two quick attempts have."""
    second = int(time.time())

    def seen() -> int:
        os.utime(root / "answer.py", (second, second))
        return run(root)

    values = [seen()]
    for value in (1, 2):
        change = changeset_between(
            files_of(snapshot(root)),
            {"answer.py": File(b"VALUE = %d\n" % value), "package/part.py": File(b"")},
        )
        without_caches = change.of([c for c in change.changes if "__pycache__" not in c.path])
        with prepare(tree, without_caches) as transaction:
            transaction.backup()
            transaction.apply()
            values.append(seen())
            assert transaction.rollback().complete
            values.append(seen())

    assert [0, 1, 0, 2, 0] == values
    assert list((root / "__pycache__").iterdir()) != []


def test_python_would_run_the_old_code_otherwise(root: Path) -> None:
    """The trap itself: equal size and equal seconds are all that Python compares."""
    second = int(time.time())
    os.utime(root / "answer.py", (second, second))
    run(root)
    (root / "answer.py").write_bytes(b"VALUE = 1\n")
    os.utime(root / "answer.py", (second, second))

    assert 0 == run(root)


def test_only_the_bytecode_of_the_files_named_goes(root: Path, tree: WorkspaceTree) -> None:
    caches = {
        "__pycache__/answer.cpython-311.pyc": True,
        "__pycache__/answer.cpython-311.opt-1.pyc": True,
        "__pycache__/answer.cpython-311-pytest-9.1.pyc": True,
        "__pycache__/answers.cpython-311.pyc": False,
        "__pycache__/answer.txt": False,
        "package/__pycache__/answer.cpython-311.pyc": False,
        "package/__pycache__/part.cpython-312.pyc": True,
    }
    write_tree(root, {path: File(b"") for path in caches})

    removed = remove_bytecode(tree, ["answer.py", "package/part.py", "README.md", "no/such/file.py"])

    assert {path for path, goes in caches.items() if goes} == set(removed)
    assert {path for path, goes in caches.items() if not goes} == {
        path for path in files_of(snapshot(root)) if "__pycache__" in path
    }


def test_bytecode_behind_a_link_is_not_touched(root: Path, tree: WorkspaceTree, tmp_path: Path) -> None:
    outside = write_tree(tmp_path / "outside", {"answer.cpython-311.pyc": File(b"")})
    (root / "__pycache__").symlink_to(outside)

    with pytest.raises(UnsafePath):
        remove_bytecode(tree, ["answer.py"])

    assert ["answer.cpython-311.pyc"] == list(files_of(snapshot(outside)))


def test_a_deleted_package_does_not_live_on_in_its_cache(root: Path, tree: WorkspaceTree) -> None:
    """A directory that holds nothing but the bytecode of deleted files goes with them, and comes back."""
    before = snapshot(root)
    py_compile.compile(str(root / "package/part.py"))
    change = changeset_between(files_of(before), {"answer.py": File(b"VALUE = 0\n")})

    with prepare(tree, change) as transaction:
        transaction.backup()
        transaction.apply()
        assert not (root / "package").exists()
        assert transaction.rollback().complete

    assert before == snapshot(root)
