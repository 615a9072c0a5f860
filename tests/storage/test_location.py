"""Where the state of a workspace is, and what a workspace is called."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from executor.errors import DatabaseUnavailable, InvalidSettings, WorkspaceNotFound
from executor.storage.location import (
    create_state_directory,
    ensure_workspace_id,
    main_worktree,
    read_workspace_id,
    resolve_workspace,
    state_directory,
)


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "main"
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    return folder


def test_the_state_of_a_directory_is_inside_it(tmp_path: Path) -> None:
    assert tmp_path / ".executor" == state_directory(tmp_path, {})


def test_a_variable_moves_the_state(tmp_path: Path) -> None:
    assert Path("/elsewhere") == state_directory(tmp_path, {"EXECUTOR_STATE_DIR": "/elsewhere"})
    assert tmp_path / "near" == state_directory(tmp_path, {"EXECUTOR_STATE_DIR": "near"})
    assert tmp_path / ".executor" == state_directory(tmp_path, {"EXECUTOR_STATE_DIR": ""})


def test_linked_worktrees_share_the_state_of_the_main_one(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "linked"))

    assert repository / ".executor" == state_directory(tmp_path / "linked", {})
    assert repository == main_worktree(repository)


def test_a_worktree_of_a_bare_repository_has_its_own_state(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    git(tmp_path / "bare.git", "worktree", "add", "-q", str(tmp_path / "linked"))

    assert tmp_path / "linked" == main_worktree(tmp_path / "linked")


def test_a_submodule_has_its_own_state(repository: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repository), "inner")

    assert outer / "inner" == main_worktree(outer / "inner")


@pytest.mark.parametrize("text", ["", "gitdir:", "gitdir: gone", "nonsense", "\udcff"])
def test_a_git_file_that_leads_nowhere_changes_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / ".git").write_text(text, errors="surrogateescape")

    assert tmp_path == main_worktree(tmp_path)


def test_a_workspace_is_a_directory_that_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for path in ("gone", "file", "nul\0"):
        with pytest.raises(WorkspaceNotFound):
            resolve_workspace(tmp_path / path)
    monkeypatch.chdir(tmp_path)

    assert tmp_path.resolve() == resolve_workspace()
    assert tmp_path.resolve() == resolve_workspace(str(tmp_path))


def test_a_new_state_directory_keeps_itself_out_of_git(repository: Path) -> None:
    state = repository / ".executor"
    create_state_directory(state)
    for name in ("policy.yaml", "config.toml", "executor.db", "workspace.id"):
        (state / name).touch()

    status = subprocess.run(
        ["git", "-C", str(repository), "status", "--porcelain", "-uall"], capture_output=True, check=True
    )

    assert ["?? .executor/config.toml", "?? .executor/policy.yaml"] == status.stdout.decode().splitlines()


def test_an_own_ignore_file_stays(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine")
    create_state_directory(tmp_path)

    assert "mine" == (tmp_path / ".gitignore").read_text()


def test_a_state_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnavailable, match="file"):
        create_state_directory(tmp_path / "file" / "state")


def test_the_name_of_a_workspace_is_made_once(tmp_path: Path) -> None:
    state = tmp_path / ".executor"
    assert read_workspace_id(state, {}) is None

    name = ensure_workspace_id(state, {})

    assert name.startswith("ws_")
    assert name == ensure_workspace_id(state, {}) == read_workspace_id(state, {})


def test_many_at_once_make_one_name(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(lambda _: ensure_workspace_id(tmp_path / ".executor", {}), range(32)))

    assert 1 == len(names)
    assert ["workspace.id"] == sorted(p.name for p in (tmp_path / ".executor").iterdir() if "id" in p.name)


def test_a_file_system_without_hard_links_gets_a_name_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []

    def refuse(source: Path, target: Path) -> None:
        refused.append(target.name)
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)

    name = ensure_workspace_id(tmp_path / ".executor", {})

    assert name == ensure_workspace_id(tmp_path / ".executor", {})
    assert [".gitignore", "workspace.id"] == sorted(path.name for path in (tmp_path / ".executor").iterdir())
    assert "workspace.id" in refused


def test_a_variable_names_the_workspace(tmp_path: Path) -> None:
    assert "team/ä" == ensure_workspace_id(tmp_path / "gone", {"EXECUTOR_WORKSPACE_ID": "team/ä"})
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("name", ["a\nb", "x" * 257])
def test_a_name_has_printable_characters(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidSettings, match="EXECUTOR_WORKSPACE_ID"):
        ensure_workspace_id(tmp_path, {"EXECUTOR_WORKSPACE_ID": name})


@pytest.mark.parametrize("content", [b"", b"a\0b", b"\xff"])
def test_a_damaged_name_is_not_replaced(tmp_path: Path, content: bytes) -> None:
    """A new name would cut the workspace off from its past."""
    (tmp_path / "workspace.id").write_bytes(content)

    with pytest.raises(InvalidSettings, match=r"workspace\.id"):
        ensure_workspace_id(tmp_path, {})

    assert content == (tmp_path / "workspace.id").read_bytes()


def test_a_name_that_cannot_be_kept_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    create_state_directory(tmp_path)
    monkeypatch.setattr(os, "link", refuse)

    with pytest.raises(DatabaseUnavailable, match="Permission denied"):
        ensure_workspace_id(tmp_path, {})
