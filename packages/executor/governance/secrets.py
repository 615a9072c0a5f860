"""Looks for secrets in the lines a change adds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from executor.governance.policy import SecretRules
from executor.models.change import Changeset, FileChange
from executor.models.secret_shapes import KEY_BLOCK, KEY_BLOCK_BEGIN, SHAPES, URL_PASSWORD

# Passwords nobody would take for one: what documentation and templates write in their place.
_PLACEHOLDER: Final = re.compile(
    r"[$%{(\[*.].*|[xX*.…_-]+|(?:your|my|the)?[-_]?(?:pass(?:word|wd)?|pwd|pw|secret|token|key|changeme|example|user)",
    re.IGNORECASE,
)


def find_secrets(changeset: Changeset, rules: SecretRules) -> Iterator[str]:
    """`path:line: kind` of everything that looks like a secret; never the secret itself."""
    for change in changeset.changes:
        if change.content and rules.ignore.match(change.path) is None:
            found = {place: None for text, first in _added(change) for place in _in_text(text, first, rules)}
            yield from (f"{change.path}:{line}: {kind}" for line, kind in found)


def _added(change: FileChange) -> Iterator[tuple[str, int]]:
    """Each run of added lines with the number of its first. All of it, when it is not known what is new."""
    content = change.content or b""
    if change.added_lines is None:
        # Text in two bytes a character would hide what it says.
        yield content.replace(b"\0", b"").decode("utf-8", "replace"), 1
        return
    lines = content.split(b"\n")
    for first, last in change.added_lines:
        yield b"\n".join(lines[first - 1 : last]).decode("utf-8", "replace"), first


def _in_text(text: str, first: int, rules: SecretRules) -> Iterator[tuple[int, str]]:
    if rules.built_in:
        for shape in SHAPES:
            if shape.anchor not in text:
                continue
            for match in shape.pattern.finditer(text):
                if shape.name != URL_PASSWORD.name or not _is_placeholder(match):
                    yield first + text.count("\n", 0, match.start()), shape.name
        if KEY_BLOCK_BEGIN in text:
            for match in KEY_BLOCK.finditer(text):
                yield first + text.count("\n", 0, match.start()), "private key"
    if rules.patterns:
        own = [(name, _compiled(pattern)) for name, pattern in rules.patterns]
        for number, line in enumerate(text.split("\n"), first):
            yield from ((number, name) for name, pattern in own if pattern.search(line))


def _is_placeholder(match: re.Match[str]) -> bool:
    password = match[1]
    user = match[0].removeprefix("://").partition(":")[0]
    return password == user or _PLACEHOLDER.fullmatch(password) is not None


_compiled: Final = lru_cache(maxsize=256)(re.compile)
