"""A secret that a check prints, or that stands in a title, reaches neither disk nor terminal."""

from __future__ import annotations

from pathlib import Path

from executor import ExecutionStore
from support.command import BROKEN_PATCH, Repository

VALUE = "correct-horse-battery"
PASSWORD = "hunter2hunter2"
PATTERN = "ghp_" + "a1B2c3D4e5F6" * 3
URL = f"https://ada:{PASSWORD}@example.invalid/feed"
NOISY = """\
import os, sys
print(os.environ["DEPLOY_TOKEN"], os.environ["FEED_URL"])
print("{pattern}", file=sys.stderr)
sys.exit(os.environ["DEPLOY_TOKEN"] + " and {pattern}")
"""


def test_no_text_of_a_failing_execution_holds_a_secret(tmp_path: Path) -> None:
    repository = Repository.calculator(tmp_path / "repository")
    script = tmp_path / "noisy.py"
    script.write_text(NOISY.format(pattern=PATTERN))
    environ = {"DEPLOY_TOKEN": VALUE, "FEED_URL": URL}
    named = ("--env", "DEPLOY_TOKEN", "--env", "FEED_URL")

    ran = repository.run(
        *("run", "--patch", "-", "--verify", f"python {script}", *named),
        *("--title", f"Use {VALUE}", "--why", f"read {URL} with {PATTERN}"),
        stdin=BROKEN_PATCH,
        environ=environ,
    )

    assert 1 == ran.code, ran.err
    retried = repository.run("retry", "@last", "--why", f"{VALUE} {PASSWORD} {PATTERN}", environ=environ)
    assert 1 == retried.code, retried.err
    told = [ran.out, ran.err, retried.out, retried.err]
    for command in ("show", "logs", "events", "lineage", "diff"):
        for form in ((), ("--json",)):
            told.append("".join(_texts(repository, command, *form)))
    told.append("".join(_texts(repository, "show", "--replay")))
    files = [path for path in (repository.root / ".executor").rglob("*") if path.is_file()]
    secrets = [VALUE, PASSWORD, PATTERN]
    assert [] == [(s, text) for s in secrets for text in told if s in text]
    assert [] == [(s, str(path)) for s in secrets for path in files if s.encode() in path.read_bytes()]
    # The logs that the database keeps are compressed: no search of its bytes would find one.
    kept = _kept_logs(repository)
    assert 2 == len(kept)
    assert [] == [(s, log) for s in secrets for log in kept if s.encode() in log]
    # The words were there to be masked.
    assert 4 <= "".join(_texts(repository, "logs")).count("[redacted]")
    assert [] == [str(path) for path in files if "executions" in path.parts and path.stat().st_mode & 0o077]


def _kept_logs(repository: Repository) -> list[bytes]:
    with ExecutionStore(repository.root) as store:
        found = [
            store.get_step_log(record.execution_id, log.name)
            for record in store.list_executions()
            for log in store.list_step_logs(record.execution_id)
        ]
    return [log for log in found if log is not None]


def _texts(repository: Repository, command: str, *options: str) -> tuple[str, str]:
    result = repository.run(command, "@last", *options)
    assert 0 == result.code, result.err
    return result.out, result.err


def test_a_check_that_holds_a_secret_is_refused_before_anything_is_kept(tmp_path: Path) -> None:
    repository = Repository.calculator(tmp_path / "repository")
    environ = {"DEPLOY_TOKEN": VALUE}
    for secret, word in ((PASSWORD, URL), (PATTERN, PATTERN), (VALUE, VALUE)):
        for change in (("--patch", "-"), ("--", "true")):
            ran = repository.run(
                "run", "--verify", f"curl {word}", *change, stdin=BROKEN_PATCH, environ=environ
            )
            assert 2 == ran.code, ran.err
            assert secret not in ran.err
            assert "--env NAME" in ran.err
    files = [path for path in (repository.root / ".executor").rglob("*") if path.is_file()]
    for secret in (PASSWORD, PATTERN, VALUE):
        assert [] == [str(path) for path in files if secret.encode() in path.read_bytes()]
    # The way that the message names.
    script = "sh -c 'test \"$DEPLOY_TOKEN\"'"
    ran = repository.run(
        "run",
        "--patch",
        "-",
        "--verify",
        script,
        "--env",
        "DEPLOY_TOKEN",
        stdin=BROKEN_PATCH,
        environ=environ,
    )
    assert 0 == ran.code, ran.err
