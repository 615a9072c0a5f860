"""`executor show --replay`: the artifacts alone tell the story, and say what they cannot tell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.api import client
from support.command import BROKEN_PATCH, GOOD_PATCH, Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository.calculator(tmp_path / "repository")
    assert repository.apply(BROKEN_PATCH, "--title", "Subtract", "--why", "to fail").code == 1
    assert repository.apply(GOOD_PATCH).code == 0
    return repository


def folders(repository: Repository) -> list[Path]:
    return sorted((repository.root / ".executor/executions").iterdir())


def test_the_story_is_told_without_a_database(repository: Repository) -> None:
    recorded = repository.run("events", "@last-failed", "--json").json["events"]
    shown = repository.run("show", "@last-failed", "--json").json
    for file in (repository.root / ".executor").glob("executor.db*"):
        file.unlink()

    told = repository.run("show", "--replay", "@last-failed", "--json")

    assert 0 == told.code, told.err
    assert (True, []) == (told.json["complete"], told.json["gaps"])
    assert recorded == told.json["events"]
    assert (shown["execution"], shown["plan"], shown["decision"], shown["artifacts"]) == tuple(
        told.json[name] for name in ("execution", "plan", "decision", "artifacts")
    )
    text = repository.run("show", "--replay", "@last-failed").out
    for expected in ("Subtract", "why: to fail", "rollback_end", "AssertionError", "ended rolled_back"):
        assert expected in text, text
    assert "ended completed" in repository.run("show", "--replay", "@last").out
    assert "calculator.py" in repository.run("show", "--replay", folders(repository)[1].name[-8:]).out
    # Nothing was opened or made.
    assert not (repository.root / ".executor/executor.db").exists()


def test_what_is_missing_or_damaged_is_said(repository: Repository) -> None:
    folder = folders(repository)[0]
    (folder / "plan.json").unlink()
    (folder / "decision.json").write_bytes(b'{"half": ')
    events = folder / "events.jsonl"
    lines = events.read_bytes().splitlines(keepends=True)
    events.write_bytes(b"".join([lines[0], *lines[2:-1]]) + lines[-1][:20])

    told = repository.run("show", "--replay", folder.name, "--json").json

    assert not told["complete"]
    for expected in (
        "plan.json is missing",
        "decision.json is damaged",
        "lacks the events 2",
        "says that it ended",
    ):
        assert any(expected in gap for gap in told["gaps"]), told["gaps"]
    assert len(lines) - 2 == len(told["events"])
    assert "incomplete: plan.json is missing" in repository.run("show", "--replay", folder.name).err


def test_a_link_is_not_followed_and_an_unknown_id_not_found(repository: Repository, tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere.json"
    secret.write_text(json.dumps({"title": "from elsewhere"}))
    folder = folders(repository)[0]
    (folder / "execution.json").unlink()
    (folder / "execution.json").symlink_to(secret)
    (folder.parent / "exec_link").symlink_to(tmp_path)

    told = repository.run("show", "--replay", folder.name)

    assert "elsewhere" not in told.out
    assert "execution.json is missing" in told.err
    for name in ("exec_link", "nothing", "", "../executions"):
        assert 6 == repository.run("show", "--replay", name).code, name
    several = repository.run("show", "--replay", folder.name[:8])
    assert (2, "several executions" in several.err) == (several.code, True)
    assert 2 == repository.run("show", "--replay", "@last", "--all-workspaces").code


def test_what_an_execution_should_have_and_has_not_is_named(repository: Repository) -> None:
    """By show and over HTTP; a log that the database keeps is there."""
    folder = folders(repository)[0]
    assert [] == repository.run("show", folder.name, "--json").json["artifacts_missing"]
    assert "incomplete" not in repository.run("show", folder.name).err
    for name in ("plan.json", "execution.json", "steps/04-verify.log"):
        (folder / name).unlink()
    lines = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "events.jsonl").write_bytes(b"".join(lines[:-1]))

    shown = repository.run("show", folder.name, "--json").json

    missing = ["events.jsonl", "execution.json", "plan.json"]
    assert missing == shown["artifacts_missing"]
    assert "artifacts are incomplete: events.jsonl, execution.json" in repository.run("show", folder.name).err
    with client(repository.root) as api:
        listed = api.get(f"/executions/{folder.name}/artifacts").json()
    assert (False, missing) == (listed["complete"], listed["missing"])


def test_who_undid_it_is_told_without_a_database(repository: Repository) -> None:
    first = repository.run("show", "@last", "--json").json["execution"]["execution_id"]

    def told(execution_id: str) -> tuple[str | None, str | None]:
        story = repository.run("show", "--replay", execution_id, "--json").json
        return story["reverts"], story["reverted_by"]

    assert (None, None) == told(first)
    assert 0 == repository.run("revert", first, "--verify", "true").code
    undo = repository.run("show", "@last", "--json").json["execution"]["execution_id"]
    assert [(None, undo), (first, None)] == [told(first), told(undo)]
    assert f"reverted by {undo}" in repository.run("show", "--replay", first).out
    assert f"reverts {first}" in repository.run("show", "--replay", undo).out

    assert 1 == repository.run("revert", undo, "--verify", "false").code
    assert (None, undo) == told(first)
    assert 0 == repository.run("revert", undo, "--verify", "true").code
    again = repository.run("show", "@last", "--json").json["execution"]["execution_id"]
    assert [(None, None), (first, again), (undo, None)] == [told(first), told(undo), told(again)]
