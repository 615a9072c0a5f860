"""The one layer of file operations: complete, interruptible, inherited by nobody."""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from executor.errors import WorkspaceUnwritable
from executor.host import files
from support.faults import Fault, faulty

SAFE_HALF = ("tree", "lock", "journal", "bytecode", "rollback", "apply")
HOST = Path(files.__file__).parent


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    with files.closing(files.open_root(tmp_path)) as fd:
        yield fd


@pytest.mark.parametrize("module", SAFE_HALF)
def test_no_other_module_touches_files(module: str) -> None:
    """Of `os` they use what opens no file; `open`, `shutil`, and the writing half of `Path` do not occur."""
    allowed = {"os.getpid", "os.register_at_fork", "os.stat_result"}
    forbidden = {"open", "unlink", "rename", "replace", "mkdir", "rmdir", "chmod", "touch", "symlink_to"}
    forbidden |= {"write_bytes", "write_text", "read_bytes", "read_text", "iterdir", "exists", "hardlink_to"}
    code = ast.parse((HOST / f"{module}.py").read_text())
    used = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(code)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    called = {
        node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        for node in ast.walk(code)
        if isinstance(node, ast.Call)
        and not (
            isinstance(node.func, ast.Attribute)
            and _owner(node.func) in ("files", "Journal", "cls", "msgspec")
        )
        and isinstance(node.func, ast.Name | ast.Attribute)
    }
    imported = {alias.name for node in ast.walk(code) if isinstance(node, ast.Import) for alias in node.names}

    assert {name for name in used if name.startswith("os.")} <= allowed
    assert not called & (forbidden - ({"replace"} if module in ("apply", "bytecode", "files") else set()))
    assert not imported & {"shutil", "tempfile", "io"}


def _owner(function: ast.Attribute) -> str:
    value = function.value
    while isinstance(value, ast.Attribute):
        value = value.value
    return value.id if isinstance(value, ast.Name) else ""


def test_a_short_write_is_continued(folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data[:3])))

    with files.closing(files.create_file("f", dir_fd=folder)) as fd:
        files.write_all(fd, b"0123456789")

    assert b"0123456789" == (tmp_path / "f").read_bytes()


def test_a_short_read_is_continued(folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    read, pread = os.read, os.pread
    monkeypatch.setattr(os, "read", lambda fd, size: read(fd, min(size, 3)))
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: pread(fd, min(size, 3), offset))

    with files.closing(files.open_file("f", dir_fd=folder)) as fd:
        assert b"0123456789" == files.read_all(fd)
        assert b"2345678" == files.read_at(fd, 7, 2)
        assert b"89" == files.read_at(fd, 7, 8)


def test_a_new_file_never_takes_the_place_of_another(folder: int, tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "there").write_bytes(b"there")

    with pytest.raises(FileExistsError):
        files.publish_new("new", "there", dir_fd=folder, new_dir_fd=folder)

    assert b"there" == (tmp_path / "there").read_bytes()


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOTSUP])
def test_where_there_are_no_hard_links_a_new_file_is_renamed(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "there").write_bytes(b"there")

    with pytest.raises(FileExistsError):
        files.publish_new("new", "there", dir_fd=folder, new_dir_fd=folder)
    files.publish_new("new", "free", dir_fd=folder, new_dir_fd=folder)

    assert {"there": b"there", "free": b"new"} == {p.name: p.read_bytes() for p in tmp_path.iterdir()}


def test_no_descriptor_reaches_a_child(folder: int, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with (
        files.closing(files.open_file("f", dir_fd=folder)) as first,
        files.closing(files.create_file("g", dir_fd=folder)) as second,
        files.closing(files.open_directory(".", dir_fd=folder)) as third,
    ):
        program = f"import os\nfor fd in {[folder, first, second, third]}:\n    try: os.fstat(fd)\n"
        program += "    except OSError: continue\n    raise SystemExit(1)\n"
        result = subprocess.run([sys.executable, "-c", program], close_fds=False, check=False)

    assert 0 == result.returncode


def test_a_link_or_a_fifo_put_in_the_way_in_the_last_moment_is_neither_followed_nor_waited_for(
    folder: int, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "fifo")

    for open_it in (files.open_file, files.create_file, files.open_directory):
        with pytest.raises(OSError, match=r"symbolic links|exists|Not a directory"):
            open_it("link", dir_fd=folder)
    with files.closing(files.open_file("fifo", dir_fd=folder)) as fd:
        assert "a FIFO" == files.kind(files.status_of(fd).st_mode)


def test_an_error_of_the_system_names_operation_path_and_reason() -> None:
    message = "cannot write a/b: No space left on device"
    with pytest.raises(WorkspaceUnwritable, match=message) as caught, files.reporting("write", "a/b"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert ("a/b", "write", errno.ENOSPC) == (caught.value.path, caught.value.operation, caught.value.errno)


def test_a_directory_that_cannot_be_synced_is_no_error(folder: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)

    files.sync_directory(folder)
    with pytest.raises(OSError, match="Invalid"):
        files.sync(folder)


def test_mount_points_are_spelled_as_paths(folder: int) -> None:
    assert "/" in files.mount_points()


def test_a_file_replaced_as_a_whole_is_the_old_one_while_it_cannot_be_written(
    folder: int, tmp_path: Path
) -> None:
    files.write_whole("f", b"old", dir_fd=folder)
    for nth in (1, 2, 3):
        with faulty(Fault(nth=nth, error=errno.ENOSPC)) as fault, pytest.raises(OSError, match="No space"):
            files.write_whole("f", b"new", dir_fd=folder)
        assert fault.hit is not None

    assert {"f": b"old"} == {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(FileExistsError):
        files.write_new("f", b"new", dir_fd=folder, mode=0o644)
    assert {"f": b"old"} == {p.name: p.read_bytes() for p in tmp_path.iterdir()}


def test_a_tree_is_removed_however_deep_and_whatever_its_modes_and_never_what_a_link_leads_to(
    folder: int, tmp_path: Path
) -> None:
    """Deeper than a path may be long, and than a process may have files open."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_bytes(b"")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to("../kept")
    (tmp_path / "tree/closed").mkdir()
    (tmp_path / "tree/closed/file").write_bytes(b"")
    (tmp_path / "tree/closed").chmod(0)
    deep = "import os, sys\nos.chdir(sys.argv[1])\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')"
    subprocess.run([sys.executable, "-c", deep, str(tmp_path / "tree")], check=True)

    assert files.remove_tree(tmp_path / "tree")
    assert files.remove_tree(tmp_path / "tree")
    assert ["kept", "kept/file"] == sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*"))


def test_what_cannot_be_removed_of_a_tree_does_not_keep_the_rest(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for name in "abc":
        (tmp_path / "tree" / name).write_bytes(b"")

    with faulty(Fault(nth=2, operations=frozenset({"unlink"}))):
        assert not files.remove_tree(tmp_path / "tree")

    assert ["b"] == [path.name for path in (tmp_path / "tree").iterdir()]


def test_only_a_regular_file_is_copied(folder: int, tmp_path: Path) -> None:
    """Read to its end, also where it has grown since it was looked at; with its permissions and its time."""
    (tmp_path / "file").write_bytes(b"x" * files.CHUNK)
    (tmp_path / "file").chmod(0o755)
    os.utime(tmp_path / "file", (1, 1))
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("file")

    def copy(name: str, new_name: str) -> os.stat_result:
        found = files.status(name, dir_fd=folder)
        if name == "file":
            with (tmp_path / name).open("ab") as file:
                file.write(b"more")
        return files.copy_file(name, found, new_name, dir_fd=folder, new_dir_fd=folder)

    for name in ("fifo", "link"):
        with pytest.raises(OSError, match="no regular file"):
            copy(name, "copy")
    status = copy("file", "copy")

    assert (tmp_path / "file").read_bytes() == (tmp_path / "copy").read_bytes()
    assert (tmp_path / "copy").stat().st_size == files.CHUNK + 4
    assert (0o100755, 10**9) == (status.st_mode, status.st_mtime_ns)
    with pytest.raises(FileExistsError):
        copy("file", "copy")
