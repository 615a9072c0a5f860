"""One file that holds a correlation: a zip whose first member lists all others with size and SHA-256.

Equal content gives equal bytes: members are sorted, and carry no time and no owner. What is read is trusted
in nothing: every name, size and hash is checked, members are never written anywhere by their name.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import msgspec

from executor.errors import InvalidArchive

FORMAT: Final = "executor-correlation"
FORMAT_VERSION: Final = 1
MANIFEST: Final = "manifest.json"

_MANIFEST_BYTES: Final = 64 << 20
_MEMBERS: Final = 200_000
_MEMBER_BYTES: Final = 2 << 30
# What an archive may unpack to: this, or so many times its own size.
_UNPACKED_BYTES: Final = 1 << 30
_UNPACKED_RATIO: Final = 200
# One row: a changeset of ten thousand files has a few megabytes.
_LINE_BYTES: Final = 64 << 20
_CHUNK: Final = 1 << 20
_LEVEL: Final = 6
_BEGINNING: Final = (1980, 1, 1, 0, 0, 0)

_ENCRYPTED: Final = 0x1
_NAME: Final = re.compile(r"[A-Za-z0-9%._~-]+(?:/[A-Za-z0-9%._~-]+)*")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Member(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`content` says whether exact bytes of files are in the archive."""

    format: str
    format_version: int
    schema_version: int
    correlation_id: str
    executions: int
    content: bool
    members: tuple[Member, ...]


class _Version(msgspec.Struct, frozen=True):
    format: str
    format_version: int


class ArchiveWriter:
    """Collects members in a folder of the caller, then writes them as one file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._members: dict[str, Member] = {}

    def add(self, name: str, data: bytes) -> None:
        with self.member(name) as write:
            write(data)

    @contextmanager
    def member(self, name: str) -> Iterator[_Writer]:
        """What to write the member's bytes with, in pieces."""
        with self._file(len(self._members)).open("xb") as file:
            writer = _Writer(file)
            self._members[name] = Member(name=name, size=0, sha256="")
            yield writer
        self._members[name] = Member(name=name, size=writer.size, sha256=writer.sha256)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.member"

    def write(
        self, file: IO[bytes], *, correlation_id: str, schema_version: int, executions: int, content: bool
    ) -> Manifest:
        places = {name: self._file(number) for number, name in enumerate(self._members)}
        names = sorted(self._members)
        manifest = Manifest(
            format=FORMAT,
            format_version=FORMAT_VERSION,
            schema_version=schema_version,
            correlation_id=correlation_id,
            executions=executions,
            content=content,
            members=tuple(self._members[name] for name in names),
        )
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
            data = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
            archive.writestr(_info(MANIFEST, len(data)), data)
            for name in names:
                with (
                    places[name].open("rb") as source,
                    archive.open(_info(name, self._members[name].size), "w") as target,
                ):
                    while chunk := source.read(_CHUNK):
                        target.write(chunk)
        return manifest


class _Writer:
    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest = file, hashlib.sha256()
        self.size = 0

    def __call__(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.size += len(data)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _info(name: str, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _BEGINNING)
    info.compress_type = zipfile.ZIP_DEFLATED
    info._compresslevel = _LEVEL  # type: ignore[attr-defined]  # else members get another level than texts
    info.create_system = 3
    info.external_attr = 0o600 << 16
    info.file_size = size
    return info


class Archive:
    """An open archive whose list of members has been checked; each member is checked as it is read.

    Everything raises InvalidArchive.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest
        self._archive = archive
        self._members = {member.name: member for member in manifest.members}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._members)

    def size(self, name: str) -> int:
        return self._members[name].size

    def refuse(self, reason: str) -> InvalidArchive:
        return InvalidArchive(str(self.path), reason)

    def read(self, name: str) -> bytes:
        return b"".join(self.chunks(name))

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a member; what is not as the manifest says is refused at the latest behind the last."""
        member, digest, size = self._members[name], hashlib.sha256(), 0
        with _reading(self.path), self._archive.open(name) as file:
            while chunk := file.read(min(_CHUNK, member.size - size + 1)):
                size += len(chunk)
                if size > member.size:
                    raise self.refuse(f"{name} is longer than it says")
                digest.update(chunk)
                yield chunk
        if (size, digest.hexdigest()) != (member.size, member.sha256):
            raise self.refuse(f"{name} is damaged")

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a member, without their ends. A member that is not there has none."""
        if name not in self._members:
            return
        rest = b""
        for chunk in self.chunks(name):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LINE_BYTES:
                raise self.refuse(f"{name} has a line that is too long")
            yield from lines
        if rest:
            raise self.refuse(f"{name} ends within a line")

    def verify(self) -> None:
        """Reads everything once."""
        for name in self._members:
            for _ in self.chunks(name):
                pass


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Raises InvalidArchive for whatever is not an archive as an export writes it."""
    with _reading(path):
        # Whoever names a pipe is told so, and does not wait for somebody to write into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        file = os.fdopen(descriptor, "rb")
    with file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidArchive(str(path), "it is no file")
        with _reading(path):
            archive = zipfile.ZipFile(file)
        with archive:
            with _reading(path):
                manifest = _manifest(path, archive)
                _check(path, archive, manifest, os.fstat(descriptor).st_size)
            yield Archive(path, archive, manifest)


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    infos = archive.infolist()
    if len(infos) > _MEMBERS:
        raise InvalidArchive(str(path), f"it has more than {_MEMBERS:,} members")
    if not infos or infos[0].orig_filename != MANIFEST:
        raise InvalidArchive(str(path), f"it does not begin with {MANIFEST}; it is no export of executor")
    if infos[0].file_size > _MANIFEST_BYTES:
        raise InvalidArchive(str(path), f"its {MANIFEST} is too long")
    with archive.open(infos[0]) as file:
        data = file.read(_MANIFEST_BYTES + 1)
    try:
        version = msgspec.json.decode(data, type=_Version)
        if version.format != FORMAT:
            raise InvalidArchive(str(path), f"it is {version.format!r}, no export of executor")
        if version.format_version != FORMAT_VERSION:
            raise InvalidArchive(
                str(path),
                f"it has format version {version.format_version}, this executor reads {FORMAT_VERSION}; "
                "install a newer executor-graph (pip install -U executor-graph)",
            )
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as cause:
        raise InvalidArchive(str(path), f"its {MANIFEST} is damaged: {cause}") from cause


def _check(path: Path, archive: zipfile.ZipFile, manifest: Manifest, packed: int) -> None:
    """That members and manifest agree, and what it all unpacks to is bounded."""

    def refuse(reason: str) -> InvalidArchive:
        return InvalidArchive(str(path), reason)

    listed = {member.name: member for member in manifest.members}
    infos = archive.infolist()[1:]
    if len(listed) != len(manifest.members) or len(infos) != len(listed):
        raise refuse("its members are not those it lists")
    for info in infos:
        member = listed.get(info.orig_filename)
        if member is None or info.filename != info.orig_filename:
            raise refuse(f"the member {info.orig_filename!r} is not listed")
        if info.flag_bits & _ENCRYPTED or info.compress_type not in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        ):
            raise refuse(f"the member {member.name!r} is packed in a way that is not read")
        if not 0 <= member.size <= _MEMBER_BYTES or info.file_size != member.size:
            raise refuse(f"the member {member.name!r} has not the size it says, or is too large")
        if not is_safe(member.name) or not _SHA256.fullmatch(member.sha256):
            raise refuse(f"the member {member.name!r} has no name that is safe, or no hash")
    if len({info.orig_filename for info in infos}) != len(infos):
        raise refuse("a member is twice there")
    unpacked = sum(member.size for member in manifest.members)
    if unpacked > max(_UNPACKED_BYTES, _UNPACKED_RATIO * packed):
        raise refuse(f"it would unpack to {unpacked:,} bytes")


def is_safe(name: str) -> bool:
    """A relative path of plain names, none of which is hidden or leads elsewhere."""
    return (
        len(name) <= 1024
        and _NAME.fullmatch(name) is not None
        and not any(part.startswith(".") or len(part) > 255 for part in name.split("/"))
    )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except InvalidArchive:
        raise
    except OSError as cause:
        raise InvalidArchive(str(path), f"it cannot be read: {cause.strerror or cause}") from cause
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        zlib.error,
        struct.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OverflowError,
    ) as cause:
        raise InvalidArchive(str(path), f"it is damaged or no archive: {cause}") from cause
