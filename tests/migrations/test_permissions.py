"""Files the user may not read or write, tried by a process without root's rights."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.databases import NEWEST, bytes_below, kept_database

NOBODY = 65534
# Imports first: the user may not be allowed to read the sources either.
PROGRAM = """
import os, sys
from executor.errors import ExecutorError
from executor.migrations import connect, get_current_version, open_current, run_migrations, status
if os.getuid() == 0:
    os.setgroups([])
    os.setgid({nobody})
    os.setuid({nobody})
try:
    print(eval(sys.argv[1], globals(), {{"db": sys.argv[2]}}))
except ExecutorError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """Open to all, unlike tmp_path."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
        path.chmod(0o755)


def said(expression: str, db: Path) -> str:
    """What a user without rights gets; files are theirs so far as the modes say."""
    if os.getuid() == 0:
        for path in (db.parent, *db.parent.iterdir()):
            os.chown(path, NOBODY, NOBODY)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(nobody=NOBODY), expression, str(db)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "" == done.stderr
    return done.stdout


@pytest.mark.parametrize("door", ["connect(db)", "open_current(db)", "run_migrations(db)"])
@pytest.mark.parametrize("wal", [False, True], ids=["rollback journal", "WAL"])
def test_a_read_only_file_is_refused_for_writing(directory: Path, door: str, wal: bool) -> None:
    """At once, not at the first write, and with the command that helps."""
    db = kept_database(directory / "executor.db", 2, wal=wal)
    db.chmod(0o444)
    before = bytes_below(directory)

    assert f"DatabaseUnavailable {db} is read-only; make it writable (chmod u+w)\n" == said(door, db)
    assert before == bytes_below(directory)


def test_an_unreadable_file_is_refused(directory: Path) -> None:
    """Permission denied, and what to do."""
    db = kept_database(directory / "executor.db", 2)
    db.chmod(0)

    for door in ("connect(db)", "connect(db, read_only=True)", "status(db)"):
        assert f"DatabaseUnavailable {db}: permission denied; make it readable" in said(door, db)


def test_a_file_cannot_be_made_in_a_read_only_directory(directory: Path) -> None:
    """The message names the directory."""
    directory.chmod(0o555)

    answer = said("connect(db)", directory / "executor.db")

    assert answer.startswith("DatabaseUnavailable")
    assert f"make the directory {directory} writable" in answer
    assert [] == list(directory.iterdir())


@pytest.mark.parametrize("wal", [False, True], ids=["rollback journal", "WAL"])
def test_a_database_in_a_read_only_place_can_be_read(directory: Path, wal: bool) -> None:
    """An archived database answers; nothing is written beside it."""
    db = kept_database(directory / "executor.db", NEWEST, wal=wal)
    db.chmod(0o444)
    directory.chmod(0o555)
    before = bytes_below(directory)

    assert f"{NEWEST}\n" == said("get_current_version(connect(db, read_only=True))", db)
    assert f"{NEWEST}\n" == said("status(db).current", db)
    assert before == bytes_below(directory)


def test_a_wal_database_in_a_read_only_directory_is_refused_for_writing(directory: Path) -> None:
    """A writable file is not enough: SQLite needs files beside it."""
    db = kept_database(directory / "executor.db", NEWEST, wal=True)
    directory.chmod(0o555)

    answer = said("open_current(db)", db)

    assert answer.startswith("DatabaseUnavailable")
    assert "directory" in answer
    assert "writable" in answer


def test_a_directory_that_may_not_be_entered_is_refused(directory: Path) -> None:
    """Permission denied on the way."""
    (directory / "closed").mkdir(mode=0o700)
    db = kept_database(directory / "closed" / "executor.db", NEWEST)
    db.parent.chmod(0o000)
    try:
        answer = said("open_current(db)", db)
    finally:
        db.parent.chmod(0o700)

    assert answer.startswith("DatabaseUnavailable")
    assert "ermission denied" in answer
