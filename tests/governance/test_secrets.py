"""Secrets in added lines: found by kind and line, never shown, and only where lines are new."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.changes.document import read_changeset
from executor.changes.lines import compare_lines, split_lines
from executor.changes.patch import read_patch
from executor.governance.policy import PathRules, SecretRules
from executor.governance.secrets import find_secrets
from executor.models.change import Changeset, FileChange, Operation, sha256
from support.patches import MemoryTree

TOKEN = "ghp_" + "a1B2" * 6
RULES = SecretRules()


def change(content: bytes, added: tuple[tuple[int, int], ...] | None) -> Changeset:
    return Changeset.of(
        [
            FileChange(
                operation=Operation.CREATE,
                path="a.py",
                new_sha256=sha256(content),
                new_mode=0o644,
                content=content,
                added_lines=added,
            )
        ]
    )


def found(text: str, rules: SecretRules = RULES) -> list[str]:
    return list(find_secrets(change(text.encode(), None), rules))


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f"token = '{TOKEN}'", "GitHub token"),
        ("aws = AKIA" + "ABCD" * 4, "AWS access key"),
        ("-----BEGIN RSA PRIVATE KEY-----", "private key"),
        ("db = 'postgresql://app:s3cr3t-word@db/app'", "password in a URL"),
        ("db = 'postgresql://db/app?user=app&password=s3cr3t-word'", "password in a URL"),
        ("curl -H 'Authorization: Bearer abcdef0123456789'", "authorization header"),
    ],
)  # fmt: skip
def test_a_secret_is_named_by_line_and_kind_and_not_shown(line: str, kind: str) -> None:
    assert found(f"first\n{line}\nlast\n") == [f"a.py:2: {kind}"]


@pytest.mark.parametrize(
    "line",
    [
        "postgresql://user:password@localhost/db",
        "https://user:$TOKEN@example.org",
        "https://user:${TOKEN}@example.org",
        "postgresql://db/app?user=app&password=${PASSWORD}",
        "amqp://guest:guest@localhost",
        "ghp_short",
        "a sk-learn pipeline",
        "-----BEGIN PUBLIC KEY-----",
    ],
)
def test_placeholders_and_what_only_looks_alike_are_no_secrets(line: str) -> None:
    assert found(line + "\n") == []


def test_only_added_lines_are_looked_at() -> None:
    tree = MemoryTree({"a.py": f"old = '{TOKEN}'\nx = 1\n".encode()})
    harmless = b"--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n old = '%s'\n-x = 1\n+x = 2\n" % TOKEN.encode()
    leaking = harmless.replace(b"+x = 2", b"+x = '%s'" % TOKEN.encode())

    assert list(find_secrets(Changeset.of(read_patch(harmless, tree)), RULES)) == []
    assert list(find_secrets(Changeset.of(read_patch(leaking, tree)), RULES)) == ["a.py:2: GitHub token"]


def test_a_renamed_file_adds_only_the_lines_that_differ() -> None:
    tree = MemoryTree({"old.py": f"t = '{TOKEN}'\nx = 1\n".encode()})
    moved = b'{"version": 1, "changes": [{"operation": "rename", "from": "old.py", "path": "new.py"}]}'

    assert list(find_secrets(Changeset.of(read_changeset(moved, tree)), RULES)) == []


def test_what_is_not_known_to_be_old_is_new_and_binary_hides_nothing() -> None:
    binary = b"\0\0" + TOKEN.encode() + b"\0"
    tree = MemoryTree({"a.bin": b"\0old"})
    update = read_changeset(
        b'{"version": 1, "changes": [{"operation": "update", "path": "a.bin", "content_base64": "%s"}]}'
        % base64.b64encode(binary),
        tree,
    )

    assert update[0].added_lines is None
    assert list(find_secrets(Changeset.of(update), RULES)) == ["a.bin:1: GitHub token"]
    wide = change(f"t = '{TOKEN}'\n".encode("utf-16-le"), None)
    assert list(find_secrets(wide, RULES)) == ["a.py:1: GitHub token"]


def test_own_patterns_are_matched_line_by_line_and_paths_can_be_left_out() -> None:
    own = SecretRules(built_in=False, patterns=(("internal", r"^int_\d+$"),))

    assert found(f"int_1\nx int_2\n{TOKEN}\n", own) == ["a.py:1: internal"]
    assert found("int_1\n", SecretRules(patterns=own.patterns, ignore=PathRules(patterns=("*.py",)))) == []


lines = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n", b"d"]), max_size=12).map(b"".join)


@given(lines, lines)
def test_the_runs_are_exactly_the_lines_that_have_to_be_added(old: bytes, new: bytes) -> None:
    compared = compare_lines(old, new)

    assert compared.runs is not None
    numbers = [number for first, last in compared.runs for number in range(first, last + 1)]
    assert len(numbers) == compared.added
    assert numbers == sorted(set(numbers))
    kept = [line for number, line in enumerate(split_lines(new), 1) if number not in numbers]
    rest = iter(split_lines(old))
    assert all(line in rest for line in kept), "what is not added stands in the old file, in this order"
