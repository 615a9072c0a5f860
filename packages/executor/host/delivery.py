"""Empties the outbox of notifications: `python -m executor.host.delivery STATE`.

Started detached by whoever posts something and at the next start while something waits. One at a time delivers;
it ends by itself within a minute, and what could not be delivered waits for the next start.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import os
import signal
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from executor import __version__
from executor.errors import InvalidSettings
from executor.events.redaction import Redactor
from executor.host import files
from executor.host.cause import cause_line
from executor.host.checks import run_check
from executor.host.config import webhook_problem
from executor.host.environment import check_environment
from executor.host.outbox import LONGEST, Letter, Outbox
from executor.host.settings import load_notify
from executor.models.plan import Check

if TYPE_CHECKING:
    from executor.host.config import NotifySettings

# Seconds this process goes on trying, and after which the kernel ends it, whatever it waits for.
_PATIENCE: Final = 25.0
_DEADLINE: Final = 60
# Seconds between two looks at the outbox: others post while this waits.
_INTERVAL: Final = 0.2
# A command finds what it is told on standard input; the supervisor of checks has none to give.
_WITH_INPUT: Final = 'body=$0; exec "$@" <"$body"'
_ERROR_LENGTH: Final = 300


class Undelivered(Exception):
    """A try failed. `lasting`: the next one only makes sense from another start."""

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        self.lasting = lasting
        super().__init__(message)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Whoever answers for the address may not name another one."""

    def redirect_request(self, *_: Any) -> None:
        return None


def empty(outbox: Outbox, environ: Mapping[str, str], *, patience: float) -> None:
    """Delivers what is there and what is posted meanwhile, as often as it takes, for `patience` seconds."""
    until = time.monotonic() + patience
    given_up: set[str] = set()
    while time.monotonic() < until:
        with outbox.alone() as alone:
            if not alone:
                return
            _deliver(outbox, environ, until, given_up)
        # Somebody who posted while the lock was held has started a process that found it taken and went.
        if all(letter.delivery_id in given_up for letter in outbox.pending()):
            return


def _deliver(outbox: Outbox, environ: Mapping[str, str], until: float, given_up: set[str]) -> None:
    redactor = Redactor(environ)
    outbox.sweep()
    while time.monotonic() < until:
        letters = [letter for letter in outbox.pending() if letter.delivery_id not in given_up]
        if not letters:
            return
        for letter in letters:
            if time.time() - letter.written > LONGEST:
                outbox.drop(letter)
            elif letter.next_try - time.time() > max(until - time.monotonic(), 0.0):
                given_up.add(letter.delivery_id)
            elif letter.next_try <= time.time() and time.monotonic() < until:
                try:
                    _try(letter, outbox.path, environ, redactor)
                except Undelivered as error:
                    said = redactor.redact(str(error))[:_ERROR_LENGTH]
                    outbox.failed(letter, said, at_next_start=error.lasting)
                    if error.lasting:
                        given_up.add(letter.delivery_id)
                else:
                    outbox.remove(letter)
        time.sleep(_INTERVAL)


def _try(letter: Letter, folder: Path, environ: Mapping[str, str], redactor: Redactor) -> None:
    """Raises Undelivered."""
    try:
        body = msgspec.json.decode(letter.body, type=dict[str, Any])
        root, event = Path(body["workspace"]["path"]), str(body["event"])
        settings = load_notify(root)
    except (msgspec.DecodeError, KeyError, TypeError) as cause:
        raise Undelivered(f"what is to be delivered is damaged: {cause}", lasting=True) from cause
    except InvalidSettings as cause:
        raise Undelivered(str(cause), lasting=True) from cause
    if settings is None:
        # Nobody wants to know any more.
        return
    if settings.command:
        _run(letter, settings, root, folder, environ, redactor)
    else:
        _send(letter, event, settings, environ)


def _send(letter: Letter, event: str, settings: NotifySettings, environ: Mapping[str, str]) -> None:
    """Raises Undelivered. Its messages never name the address: its path may be a secret."""
    url = settings.webhook or environ.get(settings.webhook_env or "", "")
    if not url:
        raise Undelivered(f"the variable {settings.webhook_env} is not set", lasting=True)
    problem = webhook_problem(url)
    if problem is not None:
        raise Undelivered(f"the variable {settings.webhook_env} holds no address: {problem}", lasting=True)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"executor/{__version__}",
        "X-Executor-Event": event,
        "X-Executor-Delivery": letter.delivery_id,
        "X-Executor-Timestamp": str(int(time.time())),
    }
    if settings.secret_env is not None:
        secret = environ.get(settings.secret_env)
        if not secret:
            raise Undelivered(f"the variable {settings.secret_env} is not set", lasting=True)
        signed = headers["X-Executor-Timestamp"].encode() + b"." + letter.body
        digest = hmac.new(secret.encode("utf-8", "surrogateescape"), signed, hashlib.sha256).hexdigest()
        headers["X-Executor-Signature-256"] = f"sha256={digest}"
    opener = urllib.request.build_opener(
        _NoRedirects(), urllib.request.HTTPSHandler(context=ssl.create_default_context())
    )
    request = urllib.request.Request(url, data=letter.body, headers=headers, method="POST")
    try:
        with opener.open(request, timeout=settings.timeout):
            return
    except urllib.error.HTTPError as cause:
        cause.close()
        also = "; redirects are not followed" if 300 <= cause.code < 400 else ""
        raise Undelivered(f"the webhook answered {cause.code}{also}") from cause
    except urllib.error.URLError as cause:
        raise Undelivered(f"the webhook cannot be reached: {cause.reason}") from cause
    except (OSError, http.client.HTTPException, ValueError) as cause:
        raise Undelivered(f"the webhook does not answer: {cause or type(cause).__name__}") from cause


def _run(
    letter: Letter,
    settings: NotifySettings,
    root: Path,
    folder: Path,
    environ: Mapping[str, str],
    redactor: Redactor,
) -> None:
    """Raises Undelivered."""
    body = folder / f"{letter.delivery_id}.json"
    log = folder / f".{letter.delivery_id}.log"
    try:
        result = run_check(
            Check(
                name="notify",
                argv=("/bin/sh", "-c", _WITH_INPUT, str(body), *settings.command),
                timeout_seconds=settings.timeout,
            ),
            cwd=root,
            log_path=log,
            environment=check_environment(environ, settings.env),
            redactor=redactor,
        )
    finally:
        files.remove_file(log)
    if not result.passed:
        said = cause_line(result.tail)
        raise Undelivered(f"the command {result.summary}" + (f": {said}" if said else ""))


def main() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(_DEADLINE)
    with suppress(OSError):
        # The state directory may be gone, or full: then there is nothing to be done here.
        empty(Outbox(Path(sys.argv[1])), os.environ, patience=_PATIENCE)


if __name__ == "__main__":
    main()
