"""`executor token`: shown once, kept as a hash, taken back for good."""

from __future__ import annotations

from pathlib import Path

from support.command import Repository


def test_a_token_is_shown_once_and_taken_back(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.run("init")
    made = repository.run("token", "create", "ci", "--scope", "run", "--scope", "read", "--days", "30")
    text = made.out.strip()
    token_id, _, secret = text.partition(".")
    (listed,) = repository.run("token", "list", "--json").json["tokens"]
    shown = repository.run("token", "list").out
    revoked = repository.run("token", "revoke", token_id)
    (after,) = repository.run("token", "list", "--json").json["tokens"]

    assert (0, 0) == (made.code, revoked.code)
    assert ("ci", ["read", "run"], token_id) == (listed["name"], listed["scopes"], listed["token_id"])
    assert secret not in shown + str(listed)
    assert secret.encode() not in (repository.root / ".executor" / "executor.db").read_bytes()
    assert listed["revoked_at"] is None
    assert after["revoked_at"] is not None


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.run("init")
    results = [
        repository.run("token", *arguments)
        for arguments in (
            ("create", "ci"),
            ("create", "ci", "--scope", "everything"),
            ("create", "", "--scope", "read"),
            ("create", "ci", "--scope", "read", "--days", "0"),
            ("revoke", "tok_gone"),
        )
    ]

    assert [2, 2, 2, 2, 6] == [result.code for result in results]
    assert "executor token list" in results[-1].err
