"""Real git repositories for tests."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


def git(root: Path, *arguments: str) -> str:
    """The output of a git command that has to succeed, without its last line break."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.rstrip("\n")


def make_repository(root: Path, files: Mapping[str, str]) -> Path:
    """A repository with one commit that holds `files`."""
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "-q")
    commit_all(root, files)
    return root


def commit_all(root: Path, files: Mapping[str, str]) -> None:
    """Writes `files` and commits everything that is not ignored."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "change")
