"""What a server is told when it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 5173
# Browsers that were led here by a foreign name are sent away, whatever address that name has.
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`workspaces` are directories in or below the workspaces to serve, the current directory by default.

    `allowed_hosts` are names, beside those of the loopback and `host`, that a request may be addressed to.
    `access_log` gets a line of JSON for each request. `environ` is what the parts of a workspace read their
    variables from.
    """

    workspaces: tuple[Path, ...] = (Path(),)
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    allowed_hosts: tuple[str, ...] = ()
    access_log: Path | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @property
    def loopback(self) -> bool:
        """Only this machine can reach the server."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def hosts(self) -> frozenset[str]:
        """Every name a request may be addressed to, in lower case."""
        bound = f"[{self.host}]" if ":" in self.host else self.host
        return frozenset(name.lower() for name in (*LOOPBACK_NAMES, bound, *self.allowed_hosts))

    @property
    def cookie(self) -> str:
        """The name of the session cookie. Cookies know no ports: two servers on one host need two names."""
        return f"executor_session_{self.port}"
