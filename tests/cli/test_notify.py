"""`[notify]` of `config.toml`: others are told how executions come out."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from executor.host.outbox import LONGEST
from support.command import BROKEN_PATCH, GOOD_PATCH, VERIFY, Repository
from support.webhooks import PATIENCE, Webhook, await_delivery, await_empty

SECRET = "correct-horse-battery"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.calculator(tmp_path / "repository")


def settle(repository: Repository, **settings: object) -> None:
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    repository.write(".executor/config.toml", "[notify]\n" + "\n".join(lines) + "\n")


def test_a_webhook_hears_of_a_rollback_signed_and_without_secrets(repository: Repository) -> None:
    """Only of the outcomes that are asked for; the exit code and the record know nothing of it."""
    environ = {"HOOK_SECRET": SECRET}
    with Webhook().serving() as webhook:
        settle(repository, webhook=webhook.url, secret_env="HOOK_SECRET")
        done = repository.run(*("run", "--patch", "-", "--verify", VERIFY), stdin=GOOD_PATCH, environ=environ)
        repository.git("checkout", "--quiet", ".")
        ran = repository.run(
            *("run", "--patch", "-", "--verify", VERIFY, "--title", f"Say {SECRET}", "--json"),
            stdin=BROKEN_PATCH,
            environ=environ,
        )
        outbox = await_empty(repository.root)

    assert (0, 1) == (done.code, ran.code), done.err
    record = ran.json["execution"]
    (request,) = webhook.requests
    told = request.json
    assert "rolled_back" == told["event"] == request.headers["X-Executor-Event"]
    assert record["execution_id"] == told["execution"]["execution_id"]
    assert ("rolled_back", "verify") == (told["execution"]["status"], told["execution"]["error_step"])
    assert ["calculator.py"] == told["execution"]["affected_paths"]
    assert str(repository.root) == told["workspace"]["path"]
    assert "[redacted]" in told["text"]
    assert SECRET.encode() not in request.body
    assert told["delivery_id"] == request.headers["X-Executor-Delivery"]
    timestamp = request.headers["X-Executor-Timestamp"]
    expected = hmac.new(SECRET.encode(), timestamp.encode() + b"." + request.body, hashlib.sha256)
    assert f"sha256={expected.hexdigest()}" == request.headers["X-Executor-Signature-256"]
    assert [] == outbox.dropped()


def test_a_command_hears_of_what_waits_for_a_person(repository: Repository) -> None:
    """It gets JSON on standard input, harmless variables and those that are named, and is ended in time."""
    told = repository.root.parent / "told"
    script = f"cat > {told}.new; env >> {told}.env; mv {told}.new {told}; exec sleep 60"
    settle(repository, command=["sh", "-c", script], env=["NAMED"], timeout=2)
    environ = {"NAMED": "here", "UNNAMED": "away"}

    ran = repository.run("run", "--patch", "-", "--no-verify", "--json", stdin=GOOD_PATCH, environ=environ)
    end = time.monotonic() + PATIENCE
    while not told.exists():
        assert time.monotonic() < end
        time.sleep(0.05)

    assert 3 == ran.code
    notification = json.loads(told.read_text())
    assert "need_approval" == notification["event"]
    assert f"executor approve {ran.json['execution']['execution_id']}" in notification["text"]
    assert notification["reasons"]
    seen = Path(f"{told}.env").read_text()
    assert ("NAMED=here" in seen, "UNNAMED" in seen) == (True, False)
    settle(repository, command=["true"])
    await_empty(repository.root)


def test_what_fails_is_tried_again_until_it_is_taken(repository: Repository) -> None:
    """The second try brings the same body under the same id."""
    with Webhook(answers=(500, 200)).serving() as webhook:
        settle(repository, webhook=webhook.url, on=["failed"])
        assert 1 == repository.run("run", "--", "false").code
        await_empty(repository.root)

    first, second = webhook.requests
    assert first.body == second.body
    assert first.headers["X-Executor-Delivery"] == second.headers["X-Executor-Delivery"]


def test_a_server_that_is_down_hears_of_it_when_it_is_up(repository: Repository) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    webhook = Webhook(port=port)
    settle(repository, webhook=webhook.url, on=["completed"])

    assert 0 == repository.run("run", "--", "true").code
    tries = repository.root / ".executor/notify"
    end = time.monotonic() + PATIENCE
    while not list(tries.glob("*.tries")):
        assert time.monotonic() < end
        time.sleep(0.02)
    with webhook.serving():
        await_empty(repository.root)

    assert ["completed"] == [request.json["event"] for request in webhook.requests]


def test_a_slow_server_holds_nobody_up(repository: Repository) -> None:
    with Webhook(held=True).serving() as webhook:
        settle(repository, webhook=webhook.url, on=["completed"])
        assert 0 == repository.run("run", "--", "true").code
        end = time.monotonic() + PATIENCE
        while not webhook.requests:
            assert time.monotonic() < end
            time.sleep(0.02)

        # It is being delivered still, and nothing waits for it.
        assert 0 == repository.run("list").code
        assert 0 == repository.apply(GOOD_PATCH).code
        assert 1 == len(webhook.requests)
        webhook.released.set()
        await_empty(repository.root)

    assert 2 == len({request.headers["X-Executor-Delivery"] for request in webhook.requests})


def test_what_cannot_be_delivered_is_named_and_delivered_by_a_later_start(repository: Repository) -> None:
    """Without its key nothing is sent unsigned. A redirect is followed nowhere."""
    with Webhook(answers=(302, 204)).serving() as webhook:
        settle(repository, webhook_env="HOOK_URL", secret_env="HOOK_SECRET", on=["completed"])
        addressed = {"HOOK_URL": webhook.url}
        assert 0 == repository.run("run", "--", "true", environ=addressed).code
        (letter,) = await_delivery(repository.root).pending()
        doctor = repository.run("doctor", "--quick", environ=addressed)

        assert "the variable HOOK_SECRET is not set" == letter.error
        assert (0, True) == (doctor.code, "HOOK_SECRET is not set" in doctor.out)
        assert [] == webhook.requests

        assert 0 == repository.run("list", environ={**addressed, "HOOK_SECRET": SECRET}).code
        await_empty(repository.root)

    assert ["/hook/secret-path"] * 2 == [request.path for request in webhook.requests]
    found = repository.run("doctor", "--quick", "--json").json["findings"]
    assert [] == [finding for finding in found if finding["code"] == "undelivered"]


def test_what_could_not_be_delivered_for_a_day_is_given_up(repository: Repository) -> None:
    settle(repository, webhook_env="HOOK_URL", on=["completed"])
    assert 0 == repository.run("run", "--", "true").code
    await_delivery(repository.root)
    (letter,) = (repository.root / ".executor/notify").glob("*.json")
    old = time.time() - LONGEST - 60
    os.utime(letter, (old, old))

    repository.run("list")
    outbox = await_empty(repository.root)

    assert [letter.stem] == outbox.dropped()
    found = repository.run("doctor", "--quick", "--json").json["findings"]
    assert ["notifications_dropped"] == [f["code"] for f in found if "notif" in f["code"]]


def test_a_recovered_execution_is_told_once_as_recovered(repository: Repository) -> None:
    with Webhook().serving() as webhook:
        settle(repository, webhook=webhook.url)
        started = repository.root.parent / "started"
        process = repository.start(
            *("run", "--patch", "-", "--verify", f"sh -c 'touch {started}; exec sleep 60'")
        )
        assert process.stdin is not None
        process.stdin.write(GOOD_PATCH)
        process.stdin.close()
        end = time.monotonic() + PATIENCE
        while not started.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()

        assert 0 == repository.run("recover").code
        repository.run("recover")
        await_empty(repository.root)

    (request,) = webhook.requests
    told = request.json
    assert ("recovered", "rolled_back") == (told["event"], told["execution"]["status"])
    assert "cut_short" == told["execution"]["error_code"]


def test_what_was_posted_when_its_process_died_is_delivered_by_the_next_start(
    repository: Repository,
) -> None:
    """As when the delivering process is killed, too: the outbox is on the disk before anybody tries."""
    with Webhook().serving() as webhook:
        settle(repository, webhook=webhook.url, on=["completed"])
        program = (
            "import os, sys\n"
            "from pathlib import Path\n"
            "from executor.host import notify\n"
            "notify.Notifier._deliver = lambda self: os._exit(9)\n"
            "from executor.cli import main\n"
            "sys.argv[1:] = ['run', '--', 'true']\n"
            "main()\n"
        )
        died = subprocess.run(
            [sys.executable, "-c", program], cwd=repository.root, env=repository.environ, timeout=60
        )
        assert 9 == died.returncode
        # The mark of its process is there, too: recovery finds that all was over, and tells it again.
        repository.run("list")
        await_empty(repository.root)

    ids = {request.headers["X-Executor-Delivery"] for request in webhook.requests}
    assert (1, {"completed"}) == (len(ids), {request.json["event"] for request in webhook.requests})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('command = ["true"]\nwebhook = "https://example.com"', "exactly one"),
        ('on = ["failed"]', "exactly one"),
        ('command = ["true"]\non = ["exploded"]', "on"),
        ('command = "true"', "command"),
        ('command = ["true"]\ntimout = 3', "timout"),
        ('webhook = "http://example.com/hook"', "https"),
        ('webhook = "https://me:word@example.com/hook"', "without a user"),
        ('webhook = "file:///etc/passwd"', "URL"),
        ('command = ["true"]\nsecret_env = "X"', "secret_env"),
        ('webhook = "https://example.com"\nsecret_env = "A=B"', "A=B"),
    ],
)
def test_a_mistake_is_named_before_anything_is_changed(repository: Repository, text: str, named: str) -> None:
    repository.write(".executor/config.toml", f"[notify]\n{text}\n")
    before = repository.state()

    refused = [repository.apply(GOOD_PATCH), repository.run("run", "--", "touch", "x")]

    assert [(2, True, True)] * 2 == [
        (result.code, "[notify]" in result.err, named in result.err) for result in refused
    ]
    assert before == repository.state()
    assert 1 == repository.run("doctor", "--quick").code


def test_the_receiver_of_the_page_takes_what_is_genuine_and_nothing_else() -> None:
    page = (Path(__file__).parents[2] / "docs/notifications.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # the example itself is what is tested
    body, now = b'{"event": "completed"}', str(int(time.time()))

    def headers(timestamp: str) -> dict[str, str]:
        digest = hmac.new(SECRET.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
        return {"X-Executor-Timestamp": timestamp, "X-Executor-Signature-256": f"sha256={digest}"}

    genuine = names["is_genuine"]
    assert genuine(SECRET.encode(), headers(now), body)
    assert not genuine(b"another key", headers(now), body)
    assert not genuine(SECRET.encode(), headers(now), body + b" ")
    assert not genuine(SECRET.encode(), headers(str(int(now) - 3600)), body)
