"""`executor serve`."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Final, Protocol

import click

from executor.errors import InvalidSettings
from executor_api.settings import DEFAULT_HOST, DEFAULT_PORT, Settings

_PORTS_TRIED: Final = 100


class _Application(Protocol):
    """What the command line offers to its commands."""

    @property
    def root(self) -> Path: ...
    def print(self, result: str) -> None: ...
    def note(self, text: str) -> None: ...


@click.command()
@click.option(
    "--workspace",
    "workspaces",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A workspace to serve (repeatable; the current one). Several share the database of EXECUTOR_DATABASE_URL.",
)
@click.option(
    "--host",
    default=DEFAULT_HOST,
    show_default=True,
    help="The address to listen at; all but the loopback need tokens.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), help=f"The port ({DEFAULT_PORT}, or the next free one)."
)
@click.option("--allow-host", "hosts", multiple=True, help="Another name requests may be addressed to.")
@click.option(
    "--access-log",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Append a line of JSON for each request: no queries, no headers, no bodies.",
)
@click.pass_context
def serve(
    ctx: click.Context,
    workspaces: tuple[Path, ...],
    host: str,
    port: int | None,
    hosts: tuple[str, ...],
    access_log: Path | None,
) -> None:
    """Answer questions about executions over HTTP, and show the console, until stopped with Ctrl-C.

    The URL that is printed works once: it begins the session of the console, which may see contents of files.
    Without a session everything else can be read from this machine.

    \\b
    Example: executor serve
             curl http://localhost:5173/executions?status=failed
    """
    app: _Application = ctx.obj
    listening = _listen(host, port)
    chosen = listening.getsockname()[1]
    with listening:
        if port is None and chosen != DEFAULT_PORT:
            app.note(f"port {DEFAULT_PORT} is taken; using {chosen}")
        settings = Settings(
            workspaces=workspaces or (app.root,),
            host=host,
            port=chosen,
            allowed_hosts=hosts,
            access_log=access_log,
        )
        _run(app, settings, listening)


def _listen(host: str, port: int | None) -> socket.socket:
    """Raises InvalidSettings when no port can be had."""
    tried = [port] if port is not None else range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in tried:
        # With the protocol named, asyncio switches off the waiting for acknowledgements between head and body, which
        # costs a browser 40 ms for every other answer.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, candidate))
            listening.listen(1024)
        except OSError as cause:
            listening.close()
            if cause.errno != errno.EADDRINUSE:
                raise InvalidSettings(f"cannot listen at {host}: {cause.strerror or cause}") from cause
        else:
            return listening
    raise InvalidSettings(
        f"port {port if port is not None else DEFAULT_PORT} of {host} is taken; --port chooses another"
    )


def _run(app: _Application, settings: Settings, listening: socket.socket) -> None:
    from executor_api.app import create_app
    from executor_api.serving import server_of, settle

    application = create_app(settings)
    # Opening now: what is wrong with the database is said here, not to the first who asks.
    application.state.served.store  # noqa: B018
    access = application.state.access
    if not settings.loopback and not access.any_token():
        raise InvalidSettings(
            f"{settings.host} can be reached from other machines, where everybody needs a token and there is none; "
            "make one: executor token create NAME --scope read"
        )
    name = f"[{settings.host}]" if ":" in settings.host else settings.host
    key = access.new_key()
    app.print(f"http://{name}:{settings.port}/ui/session?key={key}")
    app.note(f"serving {', '.join(str(root) for root in application.state.served.roots)}; Ctrl-C stops")
    settle()
    server_of(application).run(sockets=[listening])
