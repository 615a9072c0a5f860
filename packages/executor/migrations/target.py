"""Which database is meant: a path or a URL."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from executor.errors import InvalidSettings

SUPPORTED: Final = "a path, or sqlite:///relative/path.db, or sqlite:////absolute/path.db"

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DatabaseTarget:
    """A database, not yet opened. `path` is absolute, so a later change of directory does not matter.

    `path` is None for `:memory:`, a database that ends with its connection.
    """

    path: Path | None

    @classmethod
    def parse(cls, db: str | os.PathLike[str] | DatabaseTarget) -> DatabaseTarget:
        """Raises InvalidSettings for a URL of another kind; the message never repeats a password."""
        if isinstance(db, DatabaseTarget):
            return db
        name = os.fspath(db)
        url = _URL.fullmatch(name) if isinstance(db, str) else None
        if url is not None:
            name = _path_of_url(url[1], url[2])
        if name == ":memory:":
            return cls(None)
        if not name or "\0" in name:
            raise InvalidSettings(f"{name!r} names no database; give {SUPPORTED}")
        return cls(Path(name).absolute())

    def __str__(self) -> str:
        return ":memory:" if self.path is None else str(self.path)


def _path_of_url(scheme: str, rest: str) -> str:
    if scheme.lower() != "sqlite":
        raise InvalidSettings(f"databases of the kind {scheme}:// are not supported; give {SUPPORTED}")
    if "?" in rest or "#" in rest:
        raise InvalidSettings(
            "options in a sqlite URL are not supported; write ? and # of a path as %3F and %23"
        )
    if rest and not rest.startswith("/"):
        raise InvalidSettings("a sqlite URL names no host; give sqlite:/// and the path")
    return unquote(rest[1:], errors="surrogateescape") or ":memory:"
