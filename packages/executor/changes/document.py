"""JSON changesets: the document a program writes when it has no diff."""

from __future__ import annotations

import base64
import json
import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from executor.changes.base import BaseReader
from executor.changes.changelist import ChangeList, Claim, Place
from executor.changes.limits import DEFAULT_LIMITS, ChangeLimits
from executor.changes.paths import canonical_path
from executor.errors import InvalidChange, UnsafePath
from executor.models.change import FileChange, sha256

_Path = Annotated[
    str,
    Meta(
        description="Relative to the workspace, `/` between components, no `.` or `..`, Unicode NFC.",
        min_length=1,
        max_length=4096,
    ),
]
_Text = Annotated[str, Meta(description="The whole content, stored as UTF-8.")]
_Base64 = Annotated[str, Meta(description="The whole content in base 64, for anything that is not UTF-8.")]
_Mode = Annotated[
    Literal["0644", "0755"], Meta(description="Only whether the file is executable is taken from it.")
]
_Digest = Annotated[
    str,
    Meta(
        description="SHA-256 of the file before the change; the change is refused when it is another.",
        pattern="^[0-9a-f]{64}$",
    ),
]


class _Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="operation"):
    path: _Path


class CreateFile(_Change, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="create"):
    """A file that is not there yet. Exactly one of `content` and `content_base64` is given."""

    content: _Text | None = None
    content_base64: _Base64 | None = None
    mode: _Mode = "0644"


class UpdateFile(_Change, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="update"):
    """New content for a file that is there. Exactly one of `content` and `content_base64` is given."""

    content: _Text | None = None
    content_base64: _Base64 | None = None
    mode: _Mode | None = None
    old_sha256: _Digest | None = None


class DeleteFile(_Change, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="delete"):
    """A file that goes away."""

    old_sha256: _Digest | None = None


class RenameFile(
    _Change, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="rename", rename={"source": "from"}
):
    """A file that moves from `from` to `path`, with new content when one is given."""

    source: _Path
    content: _Text | None = None
    content_base64: _Base64 | None = None
    mode: _Mode | None = None
    old_sha256: _Digest | None = None


class ChangeMode(_Change, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="chmod"):
    """A file that becomes executable, or stops being so."""

    mode: _Mode
    old_sha256: _Digest | None = None


AnyChange = CreateFile | UpdateFile | DeleteFile | RenameFile | ChangeMode


class ChangesetDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to files of a workspace, all of them applied or none."""

    version: Annotated[Literal[1], Meta(description="The version of this format.")]
    title: Annotated[str, Meta(description="One line about what this does.", max_length=500)] | None = None
    changes: Annotated[tuple[AnyChange, ...], Meta(min_length=1)]


_DECODER: Final = msgspec.json.Decoder(ChangesetDocument)
_OFFSET: Final = re.compile(r" ?\(byte ([0-9]+)\)$")
_AT: Final = re.compile(r" - at `([^`]*)`$")


def read_changeset(
    data: bytes, base: BaseReader, *, limits: ChangeLimits = DEFAULT_LIMITS
) -> tuple[FileChange, ...]:
    """What a JSON changeset does to the tree behind `base`, sorted by path.

    Raises InvalidChange (with the JSON path of the mistake), UnsafePath, or BaseChanged with every file
    that is not there, is there already, or has another hash than the document says.
    """
    return resolve_changeset(parse_changeset(data, limits=limits), base, limits=limits)


def parse_changeset(data: bytes, *, limits: ChangeLimits = DEFAULT_LIMITS) -> ChangesetDocument:
    """The document, checked for its shape only. Raises InvalidChange."""
    limits.check("input_bytes", len(data))
    try:
        document = _DECODER.decode(data)
    except msgspec.DecodeError as cause:
        raise _malformed(str(cause), data) from cause
    except UnicodeDecodeError as cause:
        raise InvalidChange("the changeset is not valid UTF-8") from cause
    _refuse_repeated_keys(data)
    limits.check("files", len(document.changes))
    for index, change in enumerate(document.changes):
        _check_content(change, _place(index))
    return document


def resolve_changeset(
    document: ChangesetDocument, base: BaseReader, *, limits: ChangeLimits = DEFAULT_LIMITS
) -> tuple[FileChange, ...]:
    """The canonical list of a parsed document; raises as `read_changeset` does."""
    claims = [_claim(index, change) for index, change in enumerate(document.changes)]
    changes = ChangeList(claims, base, limits)
    for claim, change in zip(claims, document.changes, strict=True):
        _add(changes, claim, change)
        changes.check_conflicts()
    return changes.finish()


def _place(index: int) -> Place:
    return Place(json_path=f"$.changes[{index}]")


def _claim(index: int, change: AnyChange) -> Claim:
    place = _place(index)
    renames = isinstance(change, RenameFile)
    return Claim(
        path=_canonical(change.path, place, "path"),
        place=place,
        writes=not isinstance(change, DeleteFile),
        fresh=renames or isinstance(change, CreateFile),
        source=_canonical(change.source, place, "from") if isinstance(change, RenameFile) else None,
        moves=renames,
    )


def changeset_schema() -> dict[str, Any]:
    """The JSON Schema of a changeset document."""
    schema = msgspec.json.schema(ChangesetDocument)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Executor changeset",
        **schema,
    }


def _malformed(message: str, data: bytes) -> InvalidChange:
    offset = _OFFSET.search(message)
    line = data.count(b"\n", 0, int(offset[1])) + 1 if offset else None
    message = _OFFSET.sub("", message)
    return InvalidChange(f"the changeset cannot be read: {_AT.sub(_at, message)}", line=line)


def _at(match: re.Match[str]) -> str:
    return f" (at `{match[1]}`)"


def _refuse_repeated_keys(data: bytes) -> None:
    """Of a key that is given twice readers take one or the other, so two of them would see two changes."""

    def pairs(items: list[tuple[str, Any]]) -> None:
        keys = [key for key, _ in items]
        if len(set(keys)) < len(keys):
            repeated = next(key for key in keys if keys.count(key) > 1)
            raise InvalidChange(f"the changeset gives the key {repeated!r} twice in one object")

    json.loads(data, object_pairs_hook=pairs)


def _check_content(change: AnyChange, place: Place) -> None:
    if isinstance(change, DeleteFile | ChangeMode):
        return
    if change.content is not None and change.content_base64 is not None:
        raise place.invalid("`content` and `content_base64` are both given", change.path)
    if change.content is None and change.content_base64 is None and not isinstance(change, RenameFile):
        raise place.invalid("`content` or `content_base64` is missing", change.path)


def _add(changes: ChangeList, claim: Claim, change: AnyChange) -> None:
    content = None if isinstance(change, DeleteFile | ChangeMode) else _content(change, claim.place)
    if isinstance(change, CreateFile):
        changes.write(claim, content or b"", None, executable=change.mode == "0755")
        return
    entry = changes.old(claim)
    if entry is None:
        return
    if change.old_sha256 not in (None, sha256(entry.content)):
        changes.conflict(claim.source or claim.path, "has another hash than the changeset says")
    elif isinstance(change, DeleteFile):
        changes.delete(claim, entry)
    else:
        executable = None if change.mode is None else change.mode == "0755"
        changes.write(claim, entry.content if content is None else content, entry, executable=executable)


def _canonical(raw: str, place: Place, key: str) -> str:
    try:
        return canonical_path(raw)
    except UnsafePath as cause:
        raise Place(json_path=f"{place.json_path}.{key}").unsafe(cause.path or raw, cause.reason) from cause


def _content(change: CreateFile | UpdateFile | RenameFile, place: Place) -> bytes | None:
    if change.content is not None:
        return change.content.encode()
    if change.content_base64 is None:
        return None
    try:
        return base64.b64decode(change.content_base64, validate=True)
    except ValueError as cause:
        raise place.invalid(f"`content_base64` is not base 64: {cause}", change.path) from cause
