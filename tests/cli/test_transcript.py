"""`executor run --transcript FILE|URL`: what an agent said is kept beside what it did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from executor.host.transcript import TRANSCRIPT_BYTES
from support.command import BROKEN_PATCH, GOOD_PATCH, VERIFY, Repository

SECRET = "correct-horse-battery"
ENVIRON = {"API_TOKEN": SECRET}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.calculator(tmp_path / "repository")


def kept(repository: Repository) -> Path:
    shown = repository.run("show", "@last", "--json").json
    assert ("transcript", True) == (shown["transcript"], "transcript" in shown["artifacts"])
    file = Path(shown["execution"]["artifact_path"]) / "transcript"
    assert str(file) in repository.run("show", "@last").out
    assert 0o600 == file.stat().st_mode & 0o777
    return file


@pytest.mark.parametrize("patch", [GOOD_PATCH, BROKEN_PATCH])
def test_a_file_beside_a_patch_is_kept_redacted(repository: Repository, patch: str) -> None:
    """Whatever comes of the change. A secret is found in JSON, too; the file itself stays as it is."""
    text = json.dumps({"said": f"use {SECRET}\nnow"}) + "\n"
    source = repository.write("../session.jsonl", text)

    ran = repository.run(
        *("run", "--patch", "-", "--verify", VERIFY, "--transcript", "../session.jsonl"),
        stdin=patch,
        environ=ENVIRON,
    )

    assert (0 if patch == GOOD_PATCH else 1) == ran.code, ran.err
    assert {"said": "use [redacted]\nnow"} == json.loads(kept(repository).read_text())
    assert text == source.read_text()


def test_a_long_one_keeps_its_beginning_and_its_end(repository: Repository) -> None:
    """No part of a secret is left at the edges of what is left out."""
    lines = "".join(f"{number} {SECRET}\n" for number in range(600_000))
    repository.write("../long", lines)

    assert 0 == repository.run("run", "--transcript", "../long", "--", "true", environ=ENVIRON).code

    text = kept(repository).read_text()
    assert len(text) <= TRANSCRIPT_BYTES < len(lines)
    assert ("0 [redacted]\n", "599999 [redacted]\n") == (text[:13], text[-18:])
    assert 1 == text.count("bytes left out")
    assert [] == [word for word in ("correct", "horse", "battery") if word in text]


@pytest.mark.parametrize("code", [0, 3])
def test_the_file_a_command_writes_is_kept_when_it_has_ended(repository: Repository, code: int) -> None:
    """Also of a command that failed, and of one that is run again."""
    told = repository.root.parent / "told"
    script = f"echo one >> {told}; exit {code}"

    ran = repository.run("run", "--transcript", "../told", "--", "sh", "-c", script)

    assert (1 if code else 0) == ran.code
    assert "one\n" == kept(repository).read_text()
    if code:
        assert 1 == repository.run("retry", "--rerun").code
        assert "one\none\n" == kept(repository).read_text()


def test_a_file_inside_the_workspace_is_the_one_the_command_wrote(repository: Repository) -> None:
    """It works in a copy. A link it leaves there is not followed."""
    repository.write(".gitignore", "*.log\n")
    script = "echo told > session.log; echo > a.txt"
    ran = repository.run("run", "--no-verify", "--transcript", "session.log", "--", "sh", "-c", script)
    assert 0 == ran.code, ran.err
    assert "told\n" == kept(repository).read_text()

    linked = repository.run(
        "run", "--transcript", "session.log", "--", "sh", "-c", "ln -s /etc/hostname session.log"
    )
    assert (0, True) == (linked.code, "no transcript is kept" in linked.err)
    assert repository.run("show", "@last", "--json").json["transcript"] is None


def test_one_that_is_missing_is_told_before_a_patch_and_after_a_command(repository: Repository) -> None:
    refused = repository.apply(GOOD_PATCH, "--transcript", "nowhere")
    directory = repository.apply(GOOD_PATCH, "--transcript", ".")
    recorded = (repository.root / ".executor").exists()
    ran = repository.run("run", "--transcript", "nowhere", "--", "true")

    assert (2, True) == (refused.code, "nowhere cannot be read: No such file" in refused.err)
    assert (2, False) == (directory.code, recorded)
    assert (0, True) == (ran.code, "no transcript is kept" in ran.err)


def test_an_address_is_kept_as_it_is(repository: Repository) -> None:
    url = "https://example.com/sessions/1?view=all"
    assert 0 == repository.apply(GOOD_PATCH, "--transcript", url).code

    shown = repository.run("show", "@last", "--json").json
    assert (url, url) == (shown["transcript"], shown["plan"]["transcript_url"])
    assert "transcript" not in shown["artifacts"]
    assert url in repository.run("show", "@last").out
    assert 0 == repository.run("run", "--transcript", url, "--", "true").code
    assert url == repository.run("show", "@last", "--json").json["transcript"]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/x",
        "file:///etc/passwd",
        "javascript://example.com/%0aalert(1)",
        "https://me:word@example.com/",
        "https:///x",
        "https://example.com:x/",
        "https://example.com/a b",
        f"https://example.com/?key={SECRET}",
    ],
)
def test_an_address_nobody_should_follow_is_refused(repository: Repository, url: str) -> None:
    """Before anything is recorded, and before the command runs."""
    for command in (("--patch", "-"), ("--", "touch", "../ran")):
        ran = repository.run("run", "--transcript", url, *command, stdin=GOOD_PATCH, environ=ENVIRON)
        assert (2, True) == (ran.code, "--transcript" in ran.err), ran.err
    assert not (repository.root.parent / "ran").exists()
    assert [] == repository.run("list", "--json").json["executions"]
