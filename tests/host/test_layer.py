"""Whatever the host changes on disk goes through one layer, where every operation can be made to fail."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import executor

PACKAGE = Path(executor.__file__).parent
# Its own layer, and two that lie below it; the faults of the tests are put into all three.
LAYER = ("host/files.py", "events/lines.py", "storage/location.py")
PARTS = sorted(
    str(path.relative_to(PACKAGE))
    for folder in ("host", "events", "storage", "changes", "planner", "governance")
    for path in (PACKAGE / folder).glob("*.py")
)
_EXPORT = "the archive of an export, which is neither in the workspace nor in its state"
# What may be done elsewhere, and why.
EXCEPTIONS = {
    ("host/archive.py", "open for writing"): _EXPORT,
    ("host/transfer.py", "open for writing"): _EXPORT,
    ("host/transfer.py", "os.fsync"): _EXPORT,
    ("host/transfer.py", ".chmod"): _EXPORT,
    ("host/transfer.py", ".hardlink_to"): _EXPORT,
    ("host/transfer.py", ".rename"): _EXPORT,
    ("host/transfer.py", "tempfile.TemporaryDirectory"): _EXPORT,
    ("host/kept_artifacts.py", "os.utime"): "a file in memory, without a name",
    ("host/checks.py", "os.write"): "into the pipe to the supervisor",
    ("host/supervisor.py", "os.write"): "into pipes; a program of its own, which touches no file",
    ("host/supervisor.py", "os.O_RDWR"): "/dev/null",
    ("storage/compile.py", ".write_text"): "`make generate`, not a part of what users run",
}

OF_OS = {
    *("rename", "replace", "renames", "unlink", "remove", "rmdir", "removedirs", "mkdir", "makedirs"),
    *("link", "symlink", "mkfifo", "mknod", "write", "pwrite", "writev", "truncate", "ftruncate"),
    *("fsync", "fdatasync", "chmod", "fchmod", "lchmod", "chown", "fchown", "lchown", "utime"),
    *("sendfile", "copy_file_range", "setxattr", "removexattr", "O_CREAT", "O_WRONLY", "O_RDWR", "O_TRUNC"),
}
OF_PATHS = {
    *("write_text", "write_bytes", "mkdir", "rmdir", "unlink", "touch", "chmod", "lchmod"),
    *("symlink_to", "hardlink_to"),
}
MODULES = {"shutil": {"which"}, "tempfile": set[str]()}


def changes(source: str) -> Iterator[str]:
    """What a module uses that changes something on disk, as it is spelt."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = node.value.id
            if name == "os" and node.attr in OF_OS:
                yield f"os.{node.attr}"
            elif name in MODULES and node.attr not in MODULES[name]:
                yield f"{name}.{node.attr}"
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "shutil", "tempfile"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        if isinstance(node, ast.Call):
            yield from _call(node)


def _call(node: ast.Call) -> Iterator[str]:
    called = node.func
    if isinstance(called, ast.Attribute):
        owner = called.value
        if isinstance(owner, ast.Name) and owner.id in ("files", "os"):
            return
        if called.attr in OF_PATHS:
            yield f".{called.attr}"
        # Of a path, `replace` and `rename` take the target alone; of a text, two things.
        if called.attr in ("replace", "rename") and len(node.args) == 1 and not node.keywords:
            yield f".{called.attr}"
    name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
    if name in ("open", "fdopen"):
        modes = [item.value for item in node.args if isinstance(item, ast.Constant)]
        modes += [item.value.value for item in node.keywords if isinstance(item.value, ast.Constant)]
        if any(
            isinstance(mode, str) and set(mode) <= set("rwaxbt+") and set(mode) & set("wax+")
            for mode in modes
        ):
            yield "open for writing"


@pytest.mark.parametrize("module", [part for part in PARTS if part not in LAYER])
def test_no_other_module_changes_anything_on_disk(module: str) -> None:
    found = set(changes((PACKAGE / module).read_text("utf-8")))

    assert found == {use for name, use in EXCEPTIONS if name == module}


@pytest.mark.parametrize(
    "source",
    [
        *("os.rename(a, b)", "path.write_text('x')", "open(name, 'w')", "path.open('ab')", "a.replace(b)"),
        *("shutil.rmtree(x)", "from os import unlink", "os.open(p, os.O_CREAT)", "x.y.mkdir(parents=True)"),
    ],
)
def test_what_would_go_past_the_layer_is_seen(source: str) -> None:
    assert list(changes(source))


@pytest.mark.parametrize(
    "source", ["files.unlink(a, dir_fd=b)", "'a'.replace('a', 'b')", "open(name)", "shutil.which('git')"]
)
def test_what_changes_nothing_is_not_mistaken(source: str) -> None:
    assert not list(changes(source))
