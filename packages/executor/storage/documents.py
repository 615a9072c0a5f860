"""Plans, changesets and decisions as JSON text, and the bytes of files beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from executor.errors import InvalidInput
from executor.models.approval import Approval
from executor.models.change import Changeset, sha256
from executor.models.decision import GovernanceDecision
from executor.models.execution import LineCounts
from executor.models.plan import ChangePlan

T = TypeVar("T")


def encode(document: ChangePlan | Changeset | GovernanceDecision | Approval) -> str:
    return msgspec.json.encode(document).decode()


def decode(text: str | None, kind: type[T]) -> T | None:
    """None for a document that is missing or damaged."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None


class _FileLines(msgspec.Struct):
    lines_added: int = 0
    lines_removed: int = 0


class _Lines(msgspec.Struct):
    changes: list[_FileLines]


def line_counts(text: str | None) -> LineCounts | None:
    """What a changeset adds and removes, without looking at the rest of it. None for a damaged one."""
    lines = decode(text, _Lines)
    if lines is None:
        return None
    return LineCounts(
        sum(file.lines_added for file in lines.changes), sum(file.lines_removed for file in lines.changes)
    )


def without_contents(changeset: Changeset) -> Changeset:
    """The bytes are kept by their hash, once for all documents that name them."""
    changes = tuple(msgspec.structs.replace(change, content=None) for change in changeset.changes)
    return msgspec.structs.replace(changeset, changes=changes)


def with_contents(changeset: Changeset, contents: Mapping[str, bytes]) -> Changeset:
    changes = tuple(
        msgspec.structs.replace(change, content=contents.get(change.new_sha256))
        if change.new_sha256 is not None
        else change
        for change in changeset.changes
    )
    return msgspec.structs.replace(changeset, changes=changes)


def contents_of(changeset: Changeset | None, base: Mapping[str, bytes] | None) -> dict[str, bytes]:
    """All bytes to keep, by their hash. Raises InvalidInput when bytes and hash do not belong together."""
    found = dict(_checked((base or {}).items()))
    if changeset is not None:
        new = ((c.new_sha256, c.content) for c in changeset.changes if c.content is not None)
        found |= _checked(new)
    return found


def _checked(contents: Iterable[tuple[str | None, bytes]]) -> Iterator[tuple[str, bytes]]:
    for name, content in contents:
        actual = sha256(content)
        if name != actual:
            raise InvalidInput(
                f"content of {len(content)} bytes is named {name}, but its SHA-256 is {actual}"
            )
        yield actual, content
