"""Copies of a database that is in use."""

from __future__ import annotations

import errno
import os
import secrets
import shlex
import sqlite3
from pathlib import Path

from executor.errors import DatabaseDamaged, DatabaseUnavailable, InvalidSettings
from executor.migrations.connection import open_connection, translating
from executor.migrations.dialect import Connection, Database
from executor.migrations.runner import borrowed
from executor.migrations.sqlite import file_of, integrity_faults
from executor.migrations.target import DatabaseTarget


def backup(db: Database, destination: str | os.PathLike[str]) -> Path:
    """Writes a copy as of one moment, while others read and write, and returns its path.

    The copy is one file, mode 0600, complete on disk and checked before it gets its name. Raises
    InvalidSettings when `destination` exists, which is never overwritten, and for a database of a server,
    naming the command that dumps it; DatabaseUnavailable when the copy cannot be written; DatabaseDamaged
    when the original is damaged.
    """
    path = Path(destination).absolute()
    if os.path.lexists(path):
        raise InvalidSettings(f"{path} exists already and is not overwritten; name another file")
    with borrowed(db, read_only=True) as (connection, database):
        if not isinstance(connection, sqlite3.Connection):
            raise InvalidSettings(
                f"{database} is no file to copy; PostgreSQL's own program does it: "
                + dump_command(database, path)
            )
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            _copy(connection, database, temporary)
            _publish(temporary, path)
        except OSError as cause:
            raise DatabaseUnavailable(f"{path} cannot be written: {cause.strerror or cause}") from cause
        finally:
            temporary.unlink(missing_ok=True)
    return path


def dump_command(database: str, destination: str | os.PathLike[str]) -> str:
    """What copies a database of a server; the password is left to the user's password file."""
    file = shlex.quote(os.fspath(destination))
    return f"pg_dump --format=custom --file={file} {shlex.quote(database)}"


def free_path(wanted: Path) -> Path:
    """`wanted`, or with a number before its ending when that exists."""
    candidate, number = wanted, 1
    while os.path.lexists(candidate):
        number += 1
        candidate = wanted.with_name(f"{wanted.stem}.{number}{wanted.suffix}")
    return candidate


def _copy(source: sqlite3.Connection, database: str, temporary: Path) -> None:
    copy = open_connection(DatabaseTarget(temporary), synchronous="FULL")
    try:
        with translating(database):
            source.backup(copy)
        with translating(str(temporary)):
            # A copy needs no files beside it.
            copy.execute("PRAGMA journal_mode=DELETE")
            faults = integrity_faults(copy)
        if faults:
            raise DatabaseDamaged(f"{database} is damaged ({faults[0]}); restore an earlier copy")
    finally:
        copy.close()
    _sync(temporary)


def _publish(temporary: Path, path: Path) -> None:
    try:
        # Fails when the name is taken, however late somebody took it.
        path.hardlink_to(temporary)
    except FileExistsError as cause:
        raise InvalidSettings(f"{path} exists already and is not overwritten; name another file") from cause
    except OSError as cause:
        if cause.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        # No hard links here.
        temporary.rename(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_beside(connection: Connection, version: int) -> Path | None:
    """A copy named after the version, beside the file of the database; None when there is no file."""
    file = file_of(connection) if isinstance(connection, sqlite3.Connection) else None
    if file is None:
        return None
    original = Path(file)
    wanted = original.with_name(f"{original.stem}.version-{version}{original.suffix or '.db'}")
    # Another connection: the one that holds the write lock cannot be copied from.
    reader = open_connection(DatabaseTarget(original), read_only=True)
    try:
        return backup(reader, free_path(wanted))
    finally:
        reader.close()
