"""How the application meets the network: the settings of its server, in one place."""

from __future__ import annotations

import gc
import sys
from typing import Final

import uvicorn
from starlette.types import ASGIApp

# What runs when the server is stopped gets so long to finish.
SHUTDOWN_SECONDS: Final = 10
_SWITCH_SECONDS: Final = 0.0005


def settle() -> None:
    """For a process that serves and does nothing else, once all is loaded.

    What was loaded stays, and need not be looked through by the garbage collector again and again. Threads that
    make large answers give way to the event loop sooner.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_SECONDS)


def server_of(application: ASGIApp) -> uvicorn.Server:
    """Not listening yet: `run` and `serve` take the sockets to listen at."""
    return uvicorn.Server(
        uvicorn.Config(
            application,
            log_level="warning",
            access_log=False,
            server_header=False,
            # Nobody is believed about where a request came from, or needs to be.
            proxy_headers=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            http="h11",
            ws="none",
            lifespan="on",
        )
    )
