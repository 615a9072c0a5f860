"""The examples of `docs/python.md` run as they stand there."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import examples
from executor import HostExecutor

DOCUMENT = (examples.ROOT / "docs" / "python.md").read_text()


def statements(code: str) -> Iterator[tuple[ast.stmt, str | None]]:
    """Each with the value that the comment behind it says it has."""
    lines = code.splitlines()
    for node in ast.parse(code).body:
        assert node.end_lineno is not None
        comment = lines[node.end_lineno - 1].partition("  # ")[2]
        yield node, comment if isinstance(node, ast.Expr) and comment else None


def test_every_example_gives_what_its_comments_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one program, from the first to the last, in a directory that the hidden part prepares."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    monkeypatch.chdir(tmp_path)
    (hidden,) = re.findall(r"^<!-- run\n(.*?)^-->$", DOCUMENT, re.MULTILINE | re.DOTALL)
    subprocess.run(["bash", "-euc", hidden], check=True, capture_output=True)
    blocks = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    said, found = [], []
    for block in blocks:
        for node, comment in statements(block):
            if comment is None:
                exec(compile(ast.Module([node], []), "python.md", "exec"), names)
            else:
                assert isinstance(node, ast.Expr)
                said.append((ast.unparse(node), ast.literal_eval(comment)))
                value = eval(compile(ast.Expression(node.value), "python.md", "eval"), names)
                found.append((ast.unparse(node), value))

    assert len(said) > 15
    assert said == found


def test_the_parameters_shown_are_those_of_execute() -> None:
    """By name, in order, with these defaults."""
    (shown,) = re.findall(r"^execute\((.*?)\)$", DOCUMENT, re.MULTILINE | re.DOTALL)
    (function,) = ast.parse(f"def execute({shown}): pass").body
    assert isinstance(function, ast.FunctionDef)
    written = function.args
    actual = inspect.signature(HostExecutor.execute).parameters

    assert ["plan", "changeset", "decision"] == [argument.arg for argument in written.args]
    assert ["self", "plan", "changeset", "decision"] == list(actual)[:4]
    for argument, default in zip(written.kwonlyargs, written.kw_defaults, strict=True):
        assert default is not None
        parameter = actual[argument.arg]
        assert (parameter.KEYWORD_ONLY, ast.literal_eval(default)) == (parameter.kind, parameter.default)
    others = list(actual)[4 + len(written.kwonlyargs) :]
    assert all(actual[name].default is not inspect.Parameter.empty for name in others)
