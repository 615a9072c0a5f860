"""Which database is meant: a path or a URL."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from executor.errors import InvalidSettings

SUPPORTED: Final = (
    "a path, or sqlite:///relative/path.db, or sqlite:////absolute/path.db, "
    "or postgresql://user@host:port/database"
)

URL_VARIABLE: Final = "EXECUTOR_DATABASE_URL"
# Leads to the same database past a connection pooler.
DIRECT_URL_VARIABLE: Final = "EXECUTOR_DATABASE_DIRECT_URL"

_SERVER_SCHEMES: Final = ("postgresql", "postgres")
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_HOST: Final = r"(?:[A-Za-z0-9._%-]*|\[[0-9A-Fa-f:.%]*\])(?::[0-9]*)?"
_SERVER_URL: Final = re.compile(
    rf"""
    (?:(?P<user>[^:@/?#\s]*)(?::[^@/?#\s]*)?@)?   # who, and a password that goes nowhere
    (?P<hosts>{_HOST}(?:,{_HOST})*)               # a folder of sockets is written %2F…
    (?:/(?P<database>[^/@:?\#\s]*))?
    (?:\?(?:[^@\#\s]*&)?service=(?P<service>[^@\#\s&]*)(?:&[^@\#\s]*)?
    |\?[^@\#\s]*)?                               # options of libpq, which may hold a password, too
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class DatabaseTarget:
    """A database, not yet opened. `path` is absolute, so a later change of directory does not matter.

    `path` is None for `:memory:`, a database that ends with its connection, and for a database of a server,
    which has a `url`. Its text, unlike the URL, may be shown: it holds no password.
    """

    path: Path | None
    # Passwords may be in them.
    url: str | None = field(default=None, repr=False)
    direct_url: str | None = field(default=None, repr=False)
    # What is shown: for a server the URL without password and options.
    name: str = field(default="", compare=False)

    @classmethod
    def parse(
        cls, db: str | os.PathLike[str] | DatabaseTarget, environ: Mapping[str, str] = os.environ
    ) -> DatabaseTarget:
        """Raises InvalidSettings for a URL of another kind; the message never repeats a password.

        EXECUTOR_DATABASE_DIRECT_URL counts for the database that EXECUTOR_DATABASE_URL names, and no other.
        """
        if isinstance(db, DatabaseTarget):
            return db
        name = os.fspath(db)
        url = _URL.fullmatch(name) if isinstance(db, str) else None
        if url is not None and url[1].lower() in _SERVER_SCHEMES:
            direct = environ.get(DIRECT_URL_VARIABLE) if name == environ.get(URL_VARIABLE) else None
            if direct:
                _name_of_server(direct, DIRECT_URL_VARIABLE)
            shown = _name_of_server(name, "the URL of the database")
            return cls(None, _as_libpq_knows_it(name), _as_libpq_knows_it(direct or "") or None, shown)
        if url is not None:
            name = _path_of_url(url[1], url[2])
        if name == ":memory:":
            return cls(None)
        if not name or "\0" in name:
            raise InvalidSettings(f"{name!r} names no database; give {SUPPORTED}")
        return cls(Path(name).absolute())

    @property
    def is_server(self) -> bool:
        """Whether a PostgreSQL server has it."""
        return self.url is not None

    def __str__(self) -> str:
        return self.name or (":memory:" if self.path is None else str(self.path))


def _as_libpq_knows_it(url: str) -> str:
    """It knows its schemes in lower case only."""
    scheme, separator, rest = url.partition("://")
    return scheme.lower() + separator + rest


def _name_of_server(url: str, called: str) -> str:
    """The URL without password and options, but for the service in whose place they stand in a file."""
    scheme, _, rest = url.partition("://")
    parts = _SERVER_URL.fullmatch(rest) if scheme.lower() in _SERVER_SCHEMES else None
    if parts is None:
        raise InvalidSettings(
            f"{called} cannot be read; write postgresql://user:password@host:port/database, and each of "
            "@ : / ? # % and blanks in user, password and database as % and two hexadecimal digits (@ is %40)"
        )
    user = f"{parts['user']}@" if parts["user"] else ""
    database = f"/{parts['database']}" if parts["database"] else ""
    service = f"?service={parts['service']}" if parts["service"] else ""
    return f"postgresql://{user}{parts['hosts']}{database}{service}"


def _path_of_url(scheme: str, rest: str) -> str:
    kind, plus, _ = scheme.lower().partition("+")
    if plus and kind in (*_SERVER_SCHEMES, "sqlite"):
        raise InvalidSettings(f"{scheme}:// names a driver, and Executor has its own; give {SUPPORTED}")
    if kind != "sqlite":
        raise InvalidSettings(f"databases of the kind {scheme}:// are not supported; give {SUPPORTED}")
    if "?" in rest or "#" in rest:
        raise InvalidSettings(
            "options in a sqlite URL are not supported; write ? and # of a path as %3F and %23"
        )
    if rest and not rest.startswith("/"):
        raise InvalidSettings("a sqlite URL names no host; give sqlite:/// and the path")
    return unquote(rest[1:], errors="surrogateescape") or ":memory:"
